"""Checkpoints: weights together with their config, and all that training needs to go on as if it had never stopped.

A checkpoint is one safetensors file. Its tensors are `model.<name>` (weights and buffers), `optim.<parameter>.<moment>`
and `random.<generator>`; its metadata are texts: `schema`, `schema_version`, `humanpt_version`, and, as JSON, `step`,
`recipe`, `config`, `ledger`, `metrics`, `counters`, `param_groups`. Nothing in it is ever run, and pickled files are
never opened. It is written under another name and moved into place, so that under its own name it is whole.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from humanpt import __version__
from humanpt.engine.distributed import spread_like, whole
from humanpt.engine.runtime import random_states, restore_random_states
from humanpt.errors import CheckpointError
from humanpt.files import whole_file

SCHEMA = "humanpt.checkpoint"
SCHEMA_VERSION = 1
_JSON_FIELDS = ("step", "recipe", "config", "ledger", "metrics", "counters", "param_groups")


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Where weights come from, saved beside them."""

    recipe: str
    """Name of the recipe; a run resumes only from a checkpoint of the same one."""

    config: Mapping[str, Any]
    """The resolved config, as `config.to_dict` makes it."""

    ledger: Mapping[str, Any] = field(default_factory=dict)
    """The data trained on, their licences and the starting weights; anything that JSON can hold."""


@dataclass(frozen=True, kw_only=True)
class Header:
    """What a checkpoint says of itself, read without its tensors."""

    path: Path
    """The file."""

    step: int
    """Steps made."""

    provenance: Provenance
    """Recipe, config and data."""

    metrics: Mapping[str, float | None]
    """The newest figures when it was saved; None for one that was not a number."""

    counters: Mapping[str, Any]
    """The loop's own memory: samples seen, the best figure so far, means under way."""

    param_groups: tuple[Mapping[str, Any], ...]
    """Per parameter group its hyper-parameters and the `names` of its parameters."""

    humanpt_version: str
    """The version that wrote it."""


@dataclass(frozen=True, kw_only=True)
class WeightsReport:
    """How the weights of a file met the names of a model."""

    matched: tuple[str, ...]
    """Loaded."""

    missing: tuple[str, ...]
    """In the model but not in the file; left as they were."""

    unexpected: tuple[str, ...]
    """In the file but not in the model; not used."""

    misshaped: tuple[str, ...]
    """In both, but of different shapes; left as they were. Each with its two shapes."""

    resized: tuple[str, ...] = ()
    """Loaded after they were brought to the model's shape. Each with its two shapes."""

    def summary(self) -> str:
        """One line: how many matched, and which did not, the first few by name."""
        parts = [f"{len(self.matched)} weights matched"]
        parts += [
            f"{len(names)} {what} ({_few(names)})"
            for what, names in (
                ("not in the file", self.missing),
                ("not in the model", self.unexpected),
                ("of another shape", self.misshaped),
                ("resized", self.resized),
            )
            if names
        ]
        return ", ".join(parts)


def save_checkpoint(
    path: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    *,
    device: torch.device,
    step: int,
    provenance: Provenance,
    metrics: Mapping[str, float] | None = None,
    counters: Mapping[str, Any] | None = None,
    writes: bool = True,
) -> None:
    """Save a model and the state of its training in one file, whole or not at all.

    A model that is spread over processes is gathered; all of them call this, and the file holds whole tensors.

    Args:
        device: the one trained on, whose random generator is saved beside the CPU's, NumPy's and Python's.
        step: steps made.
        metrics: the newest figures.
        counters: the caller's memory, anything that JSON can hold.
        writes: whether this process writes the file; the others only give their parts.

    Raises:
        OutputError: if the file cannot be written; an earlier one of that name is intact then.
    """
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    for parameter, state in optimizer.state.items():
        tensors |= {f"optim.{names[id(parameter)]}.{key}": value for key, value in state.items()}
    tensors = _gathered(tensors, keep=writes)
    if not writes:
        return
    tensors |= {f"random.{name}": value for name, value in random_states(device).items()}
    groups = [
        {key: value for key, value in group.items() if key != "params"}
        | {"names": [names[id(p)] for p in group["params"]]}
        for group in optimizer.param_groups
    ]
    contents = {
        "step": step,
        "recipe": provenance.recipe,
        "config": provenance.config,
        "ledger": provenance.ledger,
        "metrics": {name: value if math.isfinite(value) else None for name, value in (metrics or {}).items()},
        "counters": counters or {},
        "param_groups": groups,
    }
    metadata = {"schema": SCHEMA, "schema_version": str(SCHEMA_VERSION), "humanpt_version": __version__}
    metadata |= {name: json.dumps(value) for name, value in contents.items()}
    with whole_file(path) as temporary:
        try:
            save_file(_owning_their_memory(tensors), temporary, metadata)
        except SafetensorError as error:  # it reports the system's errors as its own, their number at the end
            number = re.search(r"os error (\d+)", str(error))
            raise (OSError(int(number[1]), os.strerror(int(number[1]))) if number else OSError(str(error))) from error


def _gathered(tensors: Mapping[str, Tensor], *, keep: bool) -> dict[str, Tensor]:
    """Whole tensors; those that were spread over processes come one after the other to the CPU, where they are kept."""
    found = {}
    for name, tensor in tensors.items():
        gathered = whole(tensor)
        if keep:
            found[name] = tensor if gathered is tensor else gathered.cpu()
    return found


def read_header(path: Path) -> Header:
    """Read what a checkpoint says of itself.

    Raises:
        CheckpointError: if it is missing, damaged, of another kind, or written by a newer version.
    """
    with _opened(path) as file:
        return _header(path, file)


def resume_checkpoint(
    path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, *, device: torch.device, recipe: str
) -> Header:
    """Put a model, its optimiser and the global random generators where they were when a checkpoint was saved.

    Everything is checked before anything is changed. The optimiser keeps its own hyper-parameters and takes
    the moments.

    Raises:
        CheckpointError: as `read_header`; or if it is of another recipe, or its names and shapes are not the model's,
            or a weight is not a finite number.
    """
    with _opened(path) as file:
        header = _header(path, file)
        if header.provenance.recipe != recipe:
            raise CheckpointError(
                f"{path}: it is of the recipe {header.provenance.recipe}, not {recipe}; "
                "resume with its own recipe, or start a new run from its weights with --init"
            )
        weights = _read(file, "model.")
        moments = _read(file, "optim.")
        states = _read(file, "random.")
    report = _compare(model, weights)
    if report.missing or report.unexpected or report.misshaped:
        raise CheckpointError(
            f"{path}: it is of another model: {report.summary()}; resume with the config it was made with"
        )
    _refuse_not_finite(path, weights)
    packed = optimizer.state_dict()
    state = _optimizer_state(path, header.step, model, optimizer, moments)
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    packed["state"] = {
        place: {key: spread_like(value, parameters[place]) if value.ndim else value for key, value in kept.items()}
        for place, kept in state.items()
    }
    own = model.state_dict()
    model.load_state_dict({name: spread_like(value, own[name]) for name, value in weights.items()})
    optimizer.load_state_dict(packed)
    restore_random_states(states, device)
    return header


def load_weights(path: Path, model: nn.Module) -> WeightsReport:
    """Start a model from the weights of a checkpoint, whatever it was trained for.

    Returns:
        What was loaded and what was not. The caller shows its `summary`, so that no weight stays unloaded in silence.

    Raises:
        CheckpointError: as `read_header`; or if not one weight fits, or one is not a finite number.
    """
    with _opened(path) as file:
        _header(path, file)
        weights = _read(file, "model.")
    return put_weights(path, weights, model)


def put_weights(path: Path, weights: Mapping[str, Tensor], model: nn.Module) -> WeightsReport:
    """Give a model those weights of a file that fit it, by name and shape.

    Args:
        path: the file, for the error line.
        weights: tensors under the model's names.

    Raises:
        CheckpointError: if not one weight fits, or one that fits is not a finite number; the model is as it was then.
    """
    report = _compare(model, weights)
    if not report.matched:
        raise CheckpointError(
            f"{path}: not one of its weights fits this model: {report.summary()}; start from another file"
        )
    matched = {name: weights[name] for name in report.matched}
    _refuse_not_finite(path, matched)
    model.load_state_dict(matched, strict=False)
    return report


def first_not_finite(tensors: Iterable[tuple[str, Tensor]]) -> str | None:
    """The name of the first tensor that holds a NaN or an infinity; an accelerator is waited for once."""
    floats = [(name, tensor) for name, tensor in tensors if tensor.is_floating_point()]
    if not floats:
        return None
    with torch.no_grad():
        good = torch.stack([whole(tensor.isfinite().all()) for _, tensor in floats]).tolist()
    return next((name for (name, _), fine in zip(floats, good, strict=True) if not fine), None)


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """A checkpoint open for reading; every way in which that fails becomes one line."""
    if not path.is_file():
        raise CheckpointError(
            f"{path}: there is no such file; a run keeps last.safetensors and best.safetensors in its folder"
        )
    try:
        with path.open("rb") as file:
            start = file.read(9)
        # A zip by torch.save, or a bare pickle. A safetensors file may begin with the same bytes, which are the length
        # of its header, but the header itself begins with a brace.
        if (start[:4] == b"PK\x03\x04" or start[:1] == b"\x80") and start[8:] != b"{":
            raise CheckpointError(
                f"{path}: it is a pickled file, and those can run code, so it was not opened; "
                "give a .safetensors file written by humanpt"
            )
        with safe_open(path, framework="pt") as opened:
            yield opened
    except SafetensorError as error:
        raise CheckpointError(
            f"{path}: it is cut short, damaged or no safetensors file ({error}); use another checkpoint of the run"
        ) from None
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror or error})") from None


def _header(path: Path, file: Any) -> Header:
    metadata = file.metadata() or {}
    if metadata.get("schema") != SCHEMA:
        raise CheckpointError(
            f"{path}: it is a safetensors file but no humanpt checkpoint; give one that pretrain wrote"
        )
    version = metadata.get("schema_version", "")
    if version != str(SCHEMA_VERSION):
        raise CheckpointError(
            f"{path}: it has schema version {version or 'unknown'}, this humanpt reads {SCHEMA_VERSION}; "
            f"use humanpt {metadata.get('humanpt_version', 'of another version')}"
        )
    try:
        read = {name: json.loads(metadata[name]) for name in _JSON_FIELDS}
        return Header(
            path=path,
            step=read["step"],
            provenance=Provenance(recipe=read["recipe"], config=read["config"], ledger=read["ledger"]),
            metrics=read["metrics"],
            counters=read["counters"],
            param_groups=tuple(read["param_groups"]),
            humanpt_version=metadata.get("humanpt_version", ""),
        )
    except (KeyError, ValueError) as error:
        raise CheckpointError(
            f"{path}: its metadata are damaged ({error}); use another checkpoint of the run"
        ) from None


def _read(file: Any, prefix: str) -> dict[str, Tensor]:
    names = [name for name in file.keys() if name.startswith(prefix)]  # noqa: SIM118 - it is no mapping
    return {
        name.removeprefix(prefix): file.get_tensor(name).clone() for name in names
    }  # a copy, not a view of the file


def _compare(model: nn.Module, weights: Mapping[str, Tensor]) -> WeightsReport:
    own = model.state_dict()
    both = [name for name in own if name in weights]
    return WeightsReport(
        matched=tuple(name for name in both if own[name].shape == weights[name].shape),
        missing=tuple(name for name in own if name not in weights),
        unexpected=tuple(name for name in weights if name not in own),
        misshaped=tuple(
            f"{name} {tuple(weights[name].shape)} for {tuple(own[name].shape)}"
            for name in both
            if own[name].shape != weights[name].shape
        ),
    )


def _optimizer_state(
    path: Path, step: int, model: nn.Module, optimizer: torch.optim.Optimizer, moments: Mapping[str, Tensor]
) -> dict[int, dict[str, Tensor]]:
    """The moments under the numbers that torch's optimisers give to parameters: their place in the groups."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    by_parameter: dict[str, dict[str, Tensor]] = {}
    for name, tensor in moments.items():
        parameter, _, key = name.rpartition(".")
        by_parameter.setdefault(parameter, {})[key] = tensor
    places = enumerate(parameter for group in optimizer.param_groups for parameter in group["params"])
    state = {place: by_parameter.pop(names[id(p)], {}) for place, p in places}
    without = [place for place, kept in state.items() if not kept]
    if by_parameter or (without and step > 0):
        raise CheckpointError(
            f"{path}: its optimiser trained other parameters "
            f"({len(without)} without a state, {len(by_parameter)} unknown); "
            "resume with the config it was made with, or start from its weights with --init"
        )
    return {place: kept for place, kept in state.items() if kept}


def _refuse_not_finite(path: Path, weights: Mapping[str, Tensor]) -> None:
    bad = first_not_finite(weights.items())
    if bad is not None:
        raise CheckpointError(
            f"{path}: the weight {bad} holds NaN or infinity; use an earlier checkpoint or another file"
        )


def _owning_their_memory(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Contiguous tensors of which no two share memory, as the format asks; tied weights are copied."""
    taken: set[int] = set()
    owning = {}
    for name, tensor in tensors.items():
        tensor = tensor.detach().contiguous()
        if tensor.untyped_storage().data_ptr() in taken:
            tensor = tensor.clone()
        taken.add(tensor.untyped_storage().data_ptr())
        owning[name] = tensor
    return owning


def _few(names: tuple[str, ...], most: int = 3) -> str:
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")
