"""CroCo weights as naver/croco names and saves them, to our names and back, and how weights come to a model of ours.

Sources: the names, shapes and settings of the files published with Weinzaepfel et al., CroCo (arXiv 2210.10716), CroCo
v2 (arXiv 2211.10408), its stereo and flow networks, and Wang et al., DUSt3R (arXiv 2312.14132), which keeps the same
encoder and two copies of the decoder. ViT files are `vit_weights.py`'s.

Letters: N patches.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

from humanpt.models.croco import CroCoConfig
from humanpt.models.positions import PositionCode, cosine_table, resize_table

WeightKind = Literal["humanpt", "croco", "croco-finetuned", "dust3r", "vit"]
LEARNED_TABLE = "encoder.positions.added"
PUBLISHED_SIDE = 14
"""Patches on a side of the pictures that the published weights were trained on."""
ROUNDING = 5e-3
"""How far a table may be from ours and still be it: what storing it in bfloat16 does."""
PREFIXES = {
    "patch_embed.": "encoder.patch_embed.",
    "enc_blocks.": "encoder.blocks.",
    "enc_norm.": "encoder.norm.",
    "decoder_embed.": "to_decoder.",
    "dec_blocks.": "decoder.blocks.",
    "dec_norm.": "decoder.norm.",
    "prediction_head.": "to_pixels.",
}
"""Names of naver/croco, and ours."""
SIZES = {
    "patch_size": "patch_size",
    "enc_embed_dim": "enc_dim",
    "enc_depth": "enc_depth",
    "enc_num_heads": "enc_heads",
    "dec_embed_dim": "dec_dim",
    "dec_depth": "dec_depth",
    "dec_num_heads": "dec_heads",
}
"""Settings of naver/croco's network, and the fields of our config."""
HEADS = {"enc_num_heads": "enc_heads", "dec_num_heads": "dec_heads"}
"""Those among them that no shape of a weight tells."""


@dataclass(frozen=True, kw_only=True)
class Weights:
    """The weights of a file under our names, and what they want of a model."""

    kind: WeightKind
    """Whose file it is."""
    tensors: Mapping[str, Tensor]
    """By our names."""
    theirs: Mapping[str, str] = field(default_factory=dict)
    """For each of our names the one in the file, where it is another."""
    unused: tuple[str, ...] = ()
    """Names in the file that mean nothing to our network."""
    fixed: tuple[str, ...] = ()
    """Tables in the file that are not stored here because they follow from the sizes; they were found to agree."""
    sizes: Mapping[str, int] = field(default_factory=dict)
    """The fields of `CroCoConfig` that the file decides."""
    positions: PositionCode | None = None
    """The position code that the weights were trained with; None where the file does not tell."""
    rope_base: float = 100.0
    """Base of the rotary frequencies."""
    assumed: bool = False
    """Whether the position code is that usual for the kind, since the file has neither settings nor tables."""
    cosine_side: int | None = None
    """Patches on a side that its sine-cosine tables are made for; None where it has none."""


def from_croco(weights: Mapping[str, Tensor], saved_with: Mapping[str, Any]) -> Weights:
    """Read weights in naver/croco's layout: CroCo v1 and v2, its stereo and flow networks, and DUSt3R's kin.

    Args:
        weights: tensors by their names.
        saved_with: what the file holds beside them: `croco_kwargs`, or `args` as a dictionary, or neither.

    Raises:
        ValueError: if the settings or shapes are of a network that ours is not.
    """
    settings = croco_settings(saved_with)
    tensors, theirs, unused = {}, {}, []
    for name, tensor in weights.items():
        ours = _our_name(name)
        if ours is None:
            unused.append(name)
        else:
            tensors[ours], theirs[ours] = tensor, name
    kind = _kind(weights.keys())
    assumed = not settings and "enc_pos_embed" not in weights
    usual_code = {"pos_embed": "RoPE100"} if assumed and kind == "dust3r" else {}
    positions, base = _position_code(usual_code | dict(settings))
    sizes = measured_sizes(tensors)
    usual = CroCoConfig()  # naver/croco's own defaults, where a file does not say otherwise
    if settings or all(getattr(usual, name) == size for name, size in sizes.items()):
        for setting, ours in HEADS.items():
            if f"{ours[:3]}_depth" in sizes:
                sizes[ours] = _whole_number(settings.get(setting, getattr(usual, ours)), setting)
    fixed: tuple[str, ...] = ()
    side = None
    if positions == "cosine":
        positions, side, fixed, table = _tables(weights)
        tensors |= table
        unused = [name for name in unused if name not in fixed and not (table and name == "enc_pos_embed")]
        theirs |= dict.fromkeys(table, "enc_pos_embed")
    return Weights(
        kind=kind,
        tensors=tensors,
        theirs=theirs,
        unused=tuple(unused),
        fixed=fixed,
        sizes=sizes,
        positions=positions,
        rope_base=base,
        assumed=assumed,
        cosine_side=side,
    )


def to_croco(tensors: Mapping[str, Tensor], config: CroCoConfig) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Write a model's weights in naver/croco's layout.

    Args:
        tensors: the model's state.
        config: its sizes.

    Returns:
        Tensors under their names, and `croco_kwargs`, what their network is made with.

    Raises:
        ValueError: if the model has no cross-attention, which their network always has.
    """
    if not config.cross_attention:
        raise ValueError("naver/croco's network has cross-attention, this one was trained without (--objective mae)")
    named = {_their_name(name): tensor for name, tensor in tensors.items() if name != LEARNED_TABLE}
    if config.positions != "rope":
        for name, width in (("enc_pos_embed", config.enc_dim), ("dec_pos_embed", config.dec_dim)):
            made_for = (config.cosine_grid,) * 2 if config.cosine_grid else config.grid
            named[name] = resize_table(cosine_table(width, made_for), config.grid)
    if config.positions == "learned":
        named["enc_pos_embed"] = tensors[LEARNED_TABLE]
    kwargs: dict[str, Any] = {setting: getattr(config, ours) for setting, ours in SIZES.items()}
    code = f"RoPE{config.rope_base:g}" if config.positions == "rope" else "cosine"
    return named, {"img_size": config.image_size} | kwargs | {"pos_embed": code}


def croco_settings(saved_with: Mapping[str, Any]) -> Mapping[str, Any]:
    """The settings of the network that a naver/croco file tells, an empty dictionary where it tells none.

    Raises:
        ValueError: if they cannot be read without running them.
    """
    args = saved_with.get("args")
    found = saved_with.get("croco_kwargs")
    if found is None and isinstance(args, Mapping):
        found = args.get("croco_args")
        if found is None and isinstance(args.get("model"), str):
            found = _called_with(args["model"])
    if found is None:
        return {}
    if not isinstance(found, Mapping):
        raise ValueError(f"its settings are a {type(found).__name__}, not values by name")
    if not found.get("norm_im2_in_dec", True):
        raise ValueError("its decoder does not norm the second picture's tokens (norm_im2_in_dec), ours does")
    return {str(name): value for name, value in found.items()}


def measured_sizes(tensors: Mapping[str, Tensor]) -> dict[str, int]:
    """The sizes that the shapes of weights tell, under our names.

    Raises:
        ValueError: if the map of patches is not one of square colour patches.
    """
    sizes: dict[str, int] = {}
    patches = tensors.get("encoder.patch_embed.proj.weight")
    if patches is not None:
        if patches.ndim != 4 or patches.shape[1] != 3 or patches.shape[2] != patches.shape[3]:
            raise ValueError(f"its patch map has the shape {tuple(patches.shape)}, which is not of square RGB patches")
        sizes |= {"enc_dim": patches.shape[0], "patch_size": patches.shape[2]}
    widening = tensors.get("to_decoder.weight")
    if widening is not None and any(name.startswith("decoder.blocks.") for name in tensors):
        sizes["dec_dim"] = widening.shape[0]
    for prefix, name in (("encoder.blocks.", "enc_depth"), ("decoder.blocks.", "dec_depth")):
        numbers = {name.removeprefix(prefix).partition(".")[0] for name in tensors if name.startswith(prefix)}
        if numbers:
            sizes[name] = len(numbers)
    return sizes


def _kind(names: Collection[str]) -> WeightKind:
    if any(name.startswith(("dec_blocks2.", "downstream_head")) for name in names):
        return "dust3r"
    return "croco-finetuned" if any(name.startswith("head.") for name in names) else "croco"


def _called_with(text: str) -> dict[str, Any]:
    """The keyword arguments in a call written as text, such as `CroCoNet(enc_depth=24)`, read as literals.

    Those that mean nothing to us may be anything; DUSt3R's hold infinities by name.
    """
    try:
        call = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise ValueError(f"its setting args.model is no call that can be read: {text[:60]!r}") from None
    if not isinstance(call, ast.Call) or call.args:
        raise ValueError(f"its setting args.model is no call with named values: {text[:60]!r}")
    found = {}
    for keyword in call.keywords:
        if keyword.arg in {*SIZES, "img_size", "pos_embed", "norm_im2_in_dec"}:
            try:
                found[keyword.arg] = ast.literal_eval(keyword.value)
            except ValueError:
                raise ValueError(f"its setting {keyword.arg} is no plain value, so it was not evaluated") from None
    return found


def _position_code(settings: Mapping[str, Any]) -> tuple[PositionCode, float]:
    code = settings.get("pos_embed", "cosine")
    if code == "cosine":
        return "cosine", CroCoConfig().rope_base
    try:
        base = float(str(code).removeprefix("RoPE"))
    except ValueError:
        base = 0.0
    if not str(code).startswith("RoPE") or not 0 < base < math.inf:
        raise ValueError(f"its position code is {code!r}; ours are cosine and RoPE with a base, such as RoPE100")
    return "rope", base


def _tables(weights: Mapping[str, Tensor]) -> tuple[PositionCode, int | None, tuple[str, ...], dict[str, Tensor]]:
    """A file's position code, patches on a side of fixed tables, names of those that agree with ours, a learned one."""
    sides: dict[str, int] = {}
    square = {
        name: math.isqrt(len(table))
        for name in ("enc_pos_embed", "dec_pos_embed")
        if (table := weights.get(name)) is not None and table.ndim == 2 and math.isqrt(len(table)) ** 2 == len(table)
    }  # pictures that are not square are of a fine-tuned network, whose own pre-training had our table
    for name, side in square.items():
        for made_for in (side, PUBLISHED_SIDE):
            if name not in sides and _agrees(weights[name], made_for, side):
                sides[name] = made_for
    if "enc_pos_embed" in square and "enc_pos_embed" not in sides:
        return "learned", sides.get("dec_pos_embed"), tuple(sides), {LEARNED_TABLE: weights["enc_pos_embed"]}
    return "cosine", sides.get("enc_pos_embed"), tuple(sides), {}


def _agrees(table: Tensor, made_for: int, side: int) -> bool:
    """Whether a table is our sine-cosine one of `made_for` patches on a side, resized to `side`."""
    width = table.shape[1]
    if width % 4:
        return False
    ours = resize_table(cosine_table(width, (made_for, made_for)), (side, side))
    return torch.allclose(table.float(), ours, atol=ROUNDING)


def _our_name(name: str) -> str | None:
    if name == "mask_token":
        return name
    return next((ours + name.removeprefix(p) for p, ours in PREFIXES.items() if name.startswith(p)), None)


def _their_name(name: str) -> str:
    if name == "mask_token":
        return name
    return next(theirs + name.removeprefix(ours) for theirs, ours in PREFIXES.items() if name.startswith(ours))


def _whole_number(value: object, setting: str) -> int:
    if not isinstance(value, int):
        raise ValueError(f"its setting {setting} is {value!r}, not a whole number")
    return value
