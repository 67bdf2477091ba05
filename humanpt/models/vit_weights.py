"""Weights of plain ViT encoders (MAE, timm) to ours, and our encoder to timm.

Sources: the names of the files published with He et al., MAE (arXiv 2111.06377), which timm's ViT shares; timm's
documented models and arguments (Wightman, huggingface/pytorch-image-models), among them ViTs with axial rotary
positions (Heo et al., arXiv 2403.13298), whose code is ours but for the order of channels within a head.

Letters: N patches, C width, H heads, d channels of a head, Q a quarter of them.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from humanpt.config import from_dict
from humanpt.errors import ConfigError
from humanpt.models.croco import CroCoConfig
from humanpt.models.positions import PositionCode, cosine_table, resize_table
from humanpt.models.weights import LEARNED_TABLE, Weights, measured_sizes

BLOCK_PARTS = re.compile(r"blocks\.\d+\.(norm1|attn\.qkv|attn\.proj|norm2|mlp\.fc1|mlp\.fc2)\.(weight|bias)")
LAYER_SCALE = re.compile(r"(blocks\.\d+\.)(ls1\.gamma|gamma_1|ls2\.gamma|gamma_2)")
TIMM_WORDS = {(192, 12, 3): "tiny", (384, 12, 6): "small", (768, 12, 12): "base", (1024, 24, 16): "large"}
"""Timm's word for a width, depth and number of heads; other sizes are given as arguments to its base model."""
CONFIG_KEY = "humanpt_model"
"""Where the metadata of an exported file keep the sizes it was exported with, as JSON."""


def from_vit(weights: Mapping[str, Tensor], saved_with: Mapping[str, Any]) -> Weights:
    """Read an encoder in the layout of MAE's and timm's ViT; class token, heads and MAE's decoder are not used.

    The factors that some ViTs put on a block's branches become part of the linear maps that end these.

    Args:
        weights: tensors by their names.
        saved_with: what the file holds beside them; a file exported from here says how it was made.

    Raises:
        ValueError: if a table of positions is of no square grid, or what a file says of itself cannot be read.
    """
    exported = _exported(saved_with)
    tensors, theirs, unused = {}, {}, []
    for name, tensor in weights.items():
        if BLOCK_PARTS.fullmatch(name) or name.startswith(("patch_embed.proj.", "norm.")):
            tensors[f"encoder.{name}"], theirs[f"encoder.{name}"] = tensor, name
        elif not (name == "pos_embed" or LAYER_SCALE.fullmatch(name)):
            unused.append(name)
    for name, factor in weights.items():
        if match := LAYER_SCALE.fullmatch(name):
            ending = f"encoder.{match[1]}{'attn.proj' if '1' in match[2] else 'mlp.fc2'}"
            for part in {f"{ending}.weight", f"{ending}.bias"} & tensors.keys():
                if len(factor) != len(tensors[part]):
                    raise ValueError(f"its {name} has {len(factor)} factors, for {len(tensors[part])} channels")
                tensors[part] = torch.einsum("o...,o->o...", tensors[part], factor)
    positions: PositionCode | None = exported.positions if exported else None
    fixed: tuple[str, ...] = ()
    if positions == "cosine":
        fixed = ("pos_embed",)
    elif "pos_embed" in weights:
        tensors[LEARNED_TABLE], theirs[LEARNED_TABLE] = _patch_table(weights), "pos_embed"
        positions = "learned"
    sizes = measured_sizes(tensors)
    if exported:
        sizes["enc_heads"] = exported.enc_heads
        if exported.positions == "rope":
            tensors = _reordered(tensors, exported, timm_order(exported.enc_dim // exported.enc_heads).argsort())
    return Weights(
        kind="vit",
        tensors=tensors,
        theirs=theirs,
        unused=tuple(unused),
        fixed=fixed,
        sizes=sizes,
        positions=positions,
        rope_base=exported.rope_base if exported else CroCoConfig().rope_base,
        cosine_side=(exported.cosine_grid or exported.grid[0]) if exported else None,
    )


def to_timm(tensors: Mapping[str, Tensor], config: CroCoConfig) -> tuple[dict[str, Tensor], str, dict[str, Any]]:
    """Write the encoder in timm's layout.

    Args:
        tensors: the model's state.
        config: its sizes.

    Returns:
        Tensors under timm's names, and the name and arguments with which `timm.create_model` makes a network of them:
        without class token, pooling or head, so that it returns (B, N, C) tokens.
    """
    encoder = {
        name.removeprefix("encoder."): tensor
        for name, tensor in tensors.items()
        if name.startswith("encoder.") and name != LEARNED_TABLE
    }
    word = TIMM_WORDS.get((config.enc_dim, config.enc_depth, config.enc_heads), "base")
    arguments = {
        "img_size": config.image_size,
        "patch_size": config.patch_size,
        "embed_dim": config.enc_dim,
        "depth": config.enc_depth,
        "num_heads": config.enc_heads,
        "class_token": False,
        "global_pool": "",
        "num_classes": 0,
    }
    if config.positions == "rope":
        word = word if word != "tiny" else "base"  # there is no rotary one of that size
        rotary = {"rope_temperature": config.rope_base, "rope_grid_indexing": "ij"}
        encoder = _reordered(encoder, config, timm_order(config.enc_dim // config.enc_heads))
        # Timm's rotary ViTs scale the branches of a block, and create_model cannot be told not to.
        encoder |= {
            f"blocks.{block}.{scale}": torch.ones(config.enc_dim)
            for block in range(config.enc_depth)
            for scale in ("gamma_1", "gamma_2")
        }
        return encoder, f"vit_{word}_patch16_rope_224", arguments | rotary
    made_for = (config.cosine_grid,) * 2 if config.cosine_grid else config.grid
    fixed = resize_table(cosine_table(config.enc_dim, made_for), config.grid)
    encoder["pos_embed"] = tensors.get(LEARNED_TABLE, fixed)[None]
    return encoder, f"vit_{word}_patch16_224", arguments


def timm_order(head_dim: int) -> Tensor:
    """Where timm's channels of a head are among ours, (d,).

    Within the half of the row and that of the column, channels that turn together lie side by side in timm and Q apart
    here.
    """
    return torch.arange(head_dim).view(2, 2, head_dim // 4).transpose(1, 2).flatten()


def _patch_table(weights: Mapping[str, Tensor]) -> Tensor:
    """The (N, C) places of patches in a file's table, which begins with those of the class token and its like."""
    table = weights["pos_embed"]
    if table.ndim not in (2, 3):
        raise ValueError(f"its table of positions has the shape {tuple(table.shape)}, not (1, patches, channels)")
    table = table.flatten(0, -2)
    before = sum(weights[name].numel() // table.shape[1] for name in ("cls_token", "reg_token") if name in weights)
    side = math.isqrt(len(table))
    if side * side not in (len(table), len(table) - before):
        raise ValueError(f"its table of {len(table)} positions is of no square grid")
    return table[len(table) - side * side :]


def _reordered(tensors: Mapping[str, Tensor], config: CroCoConfig, order: Tensor) -> dict[str, Tensor]:
    """The tensors with the channels of every head's queries and keys in another order, which no attention notices."""
    changed = dict(tensors)
    for name, tensor in tensors.items():
        if ".attn.qkv." in name:
            heads = tensor.reshape(3, config.enc_heads, len(order), -1)  # queries, keys and values are stacked
            heads = torch.cat([heads[:2, :, order], heads[2:]])
            changed[name] = heads.reshape(tensor.shape)
    return changed


def _exported(saved_with: Mapping[str, Any]) -> CroCoConfig | None:
    """What a file exported from here says of its network; None for any other."""
    text = saved_with.get(CONFIG_KEY)
    if not isinstance(text, str):
        return None
    try:
        return from_dict(CroCoConfig, json.loads(text), CONFIG_KEY)
    except (ValueError, TypeError, ConfigError) as error:
        raise ValueError(f"what it says of its network cannot be read ({error})") from None
