"""`--init FILE`: start training from weights of ours, of CroCo, of DUSt3R's kin, or of a ViT.

The file decides the position code, since weights mean nothing with another. It never decides sizes: where they differ,
the error names the recipe that fits. Every weight that is not used, on either side, is told.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from humanpt.commands.runs import checkpoint_of
from humanpt.config import from_dict
from humanpt.engine.checkpoint import SCHEMA, Header, put_weights, read_header
from humanpt.engine.report import Report
from humanpt.engine.weight_files import WeightFile, read_weight_file, sha256
from humanpt.errors import CheckpointError, ConfigError
from humanpt.models import croco
from humanpt.models.croco import CroCoConfig, Siamese
from humanpt.models.positions import resize_table
from humanpt.models.vit_weights import from_vit
from humanpt.models.weights import LEARNED_TABLE, Weights, from_croco, measured_sizes

LEDGER_KEY = "humanpt_ledger"
"""Where a file exported from here keeps the ledger of its run, as JSON."""
FINE_TUNED = "model.average.trunk."
"""Before the names of the trunk's weights in a fine-tuned run: their running mean, which is what it is measured by."""
PRESETS = (croco.tiny, croco.vits16_small, croco.vitb16_small, croco.vitb16_base, croco.vitl16_base)
LICENCES = {
    "croco": "not in the file; weights published by naver/croco are CC BY-NC-SA 4.0 (not for commercial use)",
    "croco-finetuned": "not in the file; weights published by naver/croco are CC BY-NC-SA 4.0 (not for commercial use)",
    "dust3r": "not in the file; weights published by naver/dust3r are CC BY-NC-SA 4.0 (not for commercial use)",
    "vit": "not in the file; MAE's weights are CC BY-NC 4.0 (not for commercial use), timm's differ by model",
}
"""What is known of licences from the kind of a file alone; those of our own checkpoints are in their ledger."""


@dataclass(frozen=True, kw_only=True)
class Start:
    """A file to start from, read and understood."""

    file: WeightFile
    """The file."""
    weights: Weights
    """Its weights under our names."""
    header: Header | None
    """What a checkpoint of ours says of itself; None for the files of others."""
    config: CroCoConfig | None = None
    """The network of a checkpoint of ours."""


def decided_by(init: Path, config: CroCoConfig) -> CroCoConfig:
    """Take over what weights decide of a network: the position code they were trained with.

    Args:
        init: a checkpoint or the folder of a run, or a file of weights by others.
        config: the network to be made.

    Returns:
        The config with the file's position code: cosine for CroCo v1, rotary with its base for v2, learned for ViTs.

    Raises:
        CheckpointError: if the file cannot be read without running it, holds no weights of such a network, or is of
            other sizes.
    """
    start = read_start(init)
    _refuse_other_sizes(start, config)
    weights = start.weights
    if weights.positions is None:
        return config
    side = weights.cosine_side if weights.positions != "rope" else None
    return dataclasses.replace(
        config,
        positions=weights.positions,
        rope_base=weights.rope_base,
        cosine_grid=None if side == config.grid[0] else side,
    )


def refuse_other_init(init: Path | None, header: Header) -> None:
    """Refuse to go on with a run as if it had been begun with other first weights.

    Args:
        init: as for `initialise`; None says nothing of them.
        header: of the run's checkpoint.

    Raises:
        ConfigError: if they are others.
        CheckpointError: if `init` cannot be read.
    """
    if init is None:
        return
    begun = header.provenance.ledger["init"]
    if begun is None or begun["sha256"] != sha256(read_start(init).file.path):
        weights = "random weights" if begun is None else begun["file"]
        raise ConfigError(f"--init {init}: the run was begun with {weights}; leave out --init to go on with it")


def initialise(model: Siamese, init: Path, report: Report, part: str = "") -> dict[str, Any]:
    """Give a network the weights of a file, and tell which fitted.

    Args:
        model: a network of the config that `decided_by` gave.
        init: as there.
        part: only weights whose names begin with this are taken, such as "encoder."; all of them by default.

    Returns:
        For the ledger: file, sha256, kind, licence, the ledger of a checkpoint of ours, and the full lists of weights
        matched, resized, missing in the file and unexpected in it.

    Raises:
        CheckpointError: as `decided_by`; or if no weight fits, or one that fits is not a finite number.
    """
    start = read_start(init)
    path, weights = start.file.path, start.weights
    _refuse_other_sizes(start, model.config)
    tensors = {name: tensor for name, tensor in weights.tensors.items() if name.startswith(part)}
    resized = _fit_table(tensors, weights, model.config)
    fitted = put_weights(path, tensors, model)
    if fitted.misshaped:
        raise CheckpointError(f"{path}: weights of the same names have other shapes: {fitted.summary()}; take another")
    fitted = dataclasses.replace(
        fitted,
        resized=resized,
        unexpected=(*weights.unused, *(weights.theirs.get(name, name) for name in fitted.unexpected)),
    )
    ledger = dict(start.header.provenance.ledger) if start.header else _ledger_within(start.file.saved_with)
    licence = LICENCES[weights.kind] if ledger is None else _licences(ledger)
    report.note(f"{path} ({_describe(weights)}): {fitted.summary()}")
    if ledger is None:
        report.note(f"{path}: its licence is {licence}; it holds for what is trained from it too")
    return {
        "file": str(path),
        "sha256": sha256(path),
        "kind": weights.kind,
        "positions": weights.positions,
        "matched": list(fitted.matched),
        "fixed": list(weights.fixed),
        "resized": list(fitted.resized),
        "missing": list(fitted.missing),
        "unexpected": list(fitted.unexpected),
        "licence": licence,
        "ledger": ledger,
    }


def read_start(init: Path) -> Start:
    """Read a file, or the best checkpoint of a run, and put its weights under our names.

    Raises:
        CheckpointError: if it cannot be read without running it, or holds no weights of such a network.
    """
    path = checkpoint_of(init)
    file = read_weight_file(path)
    names = file.weights.keys()
    try:
        if file.saved_with.get("schema") == SCHEMA:
            return _our_own(file, read_header(path))
        if any(name.startswith("enc_blocks.") for name in names):
            return Start(file=file, weights=from_croco(file.weights, file.saved_with), header=None)
        if any(name.startswith("blocks.") for name in names) and "patch_embed.proj.weight" in names:
            return Start(file=file, weights=from_vit(file.weights, file.saved_with), header=None)
    except ValueError as error:
        raise CheckpointError(f"{path}: {error}; take another file") from None
    raise CheckpointError(
        f"{path}: not one of its weights ({', '.join(list(names)[:3])}, ...) is of a network known here; give a "
        "checkpoint of humanpt, naver/croco, DUSt3R, MAE or a timm ViT"
    )


def _our_own(file: WeightFile, header: Header) -> Start:
    """A checkpoint of ours; what its config says of the network holds, where it is of such a network."""
    saved = header.provenance.config
    values, prefix = saved.get("encoder"), FINE_TUNED
    if values is None:
        task = saved.get("task")
        values, prefix = task.get("model") if isinstance(task, Mapping) else None, "model."
    tensors = {name.removeprefix(prefix): value for name, value in file.weights.items() if name.startswith(prefix)}
    trained = any(name.startswith("encoder.") for name in tensors)  # not if the trunk is a convolutional one
    if not isinstance(values, Mapping) or "enc_dim" not in values or not trained:
        raise ValueError(f"it was trained by the recipe {header.provenance.recipe}, whose network has no such encoder")
    config = from_dict(CroCoConfig, values, str(file.path))
    weights = Weights(
        kind="humanpt",
        tensors=tensors,
        sizes=measured_sizes(tensors) | {"enc_heads": config.enc_heads, "dec_heads": config.dec_heads},
        positions=config.positions,
        rope_base=config.rope_base,
        cosine_side=config.cosine_grid or config.grid[0],
    )
    return Start(file=file, weights=weights, header=header, config=config)


def _refuse_other_sizes(start: Start, config: CroCoConfig) -> None:
    """One line where the file is of another network: what differs, and the recipe or the settings that fit."""
    sizes = start.weights.sizes
    differing = {name: size for name, size in sizes.items() if getattr(config, name) != size}
    if not differing:
        return
    told = ", ".join(f"{name} {size} (here {getattr(config, name)})" for name, size in differing.items())
    fitting = [
        preset.__name__ for preset in PRESETS if all(getattr(preset(), name) == size for name, size in sizes.items())
    ]
    settings = " ".join(f"--set task.model.{name}={size}" for name, size in differing.items())
    advice = " or ".join(f"--recipe {name}" for name in fitting) if fitting else settings
    raise CheckpointError(f"{start.file.path}: it is of another network: {told}; take {advice}")


def _fit_table(tensors: dict[str, Tensor], weights: Weights, config: CroCoConfig) -> tuple[str, ...]:
    """Bring a table of positions to the pictures at hand, in place where it is learned; what was resized, in words."""
    table = tensors.get(LEARNED_TABLE)
    resized = []
    if table is not None and config.positions == "learned" and len(table) != config.num_patches:
        tensors[LEARNED_TABLE] = resize_table(table, config.grid)
        name = weights.theirs.get(LEARNED_TABLE, LEARNED_TABLE)
        resized.append(f"{name} {tuple(table.shape)} to {tuple(tensors[LEARNED_TABLE].shape)}")
    if config.cosine_grid is not None:  # those of the config are of that grid, and resized where they are made
        resized += [f"{name} of {config.cosine_grid**2} to {config.num_patches} patches" for name in weights.fixed]
    return tuple(resized)


def _describe(weights: Weights) -> str:
    """The kind of file and its position code, for a note."""
    kinds = {
        "humanpt": "a checkpoint of humanpt",
        "croco": "CroCo",
        "croco-finetuned": "CroCo fine-tuned for stereo or flow",
        "dust3r": "DUSt3R or a kin of it",
        "vit": "a ViT, encoder only",
    }
    codes = {
        "rope": f"rotary positions of base {weights.rope_base:g}",
        "cosine": "sine-cosine positions",
        "learned": "a table of positions to be learned",
        None: "no positions in the file",
    }
    guess = ", assumed since the file does not tell" if weights.assumed else ""
    return f"{kinds[weights.kind]}, {codes[weights.positions]}{guess}"


def _licences(ledger: Mapping[str, Any]) -> str:
    """The licences of what weights of ours were trained on, and of what they began with."""
    licences = {str(source["licence"]) for source in ledger.get("sources", ())}
    before = ledger.get("init") or {}
    licences |= {str(before["licence"])} if before.get("licence") else set()
    return ", ".join(sorted(licences)) or "unknown"


def _ledger_within(saved_with: Mapping[str, Any]) -> dict[str, Any] | None:
    """The ledger that an exported file of ours carries as text; None for any other, or where it is damaged."""
    text = saved_with.get(LEDGER_KEY)
    try:
        ledger = json.loads(text) if isinstance(text, str) else None
    except ValueError:
        return None
    return ledger if isinstance(ledger, dict) else None
