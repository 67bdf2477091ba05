"""Weights as others publish them: files of torch.save or safetensors, read without ever running what they hold.

A pickle can name any function to be called while it is read. Here it may name tensors, plain containers and
`argparse.Namespace` (the settings that trainers save beside their weights) and nothing else: torch's own restricted
reader sees to it. Large files are mapped, not copied.
"""

from __future__ import annotations

import argparse
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from humanpt.errors import CheckpointError

WEIGHT_KEYS = ("model", "state_dict", "model_state_dict", "teacher", "model_ema")
"""Under which of its keys a saved dictionary keeps the weights; the first that holds tensors counts."""
WRAPPERS = ("module.", "_orig_mod.")
"""Put before every name by the wrappers that networks are trained in."""


@dataclass(frozen=True, kw_only=True)
class WeightFile:
    """What a file of weights holds."""

    path: Path
    """The file."""
    weights: Mapping[str, Tensor]
    """The tensors by name; they lie in the file until they are used."""
    saved_with: Mapping[str, Any]
    """Whatever else it holds: settings by name, a Namespace as its own dictionary, texts of a safetensors header."""


def read_weight_file(path: Path) -> WeightFile:
    """Read tensors, and the settings beside them, from a file of torch.save or safetensors; nothing in it is run.

    Raises:
        CheckpointError: if it is missing, damaged, neither of these, holds no tensors, or is a pickle that names
            anything but weights and settings.
    """
    if not path.is_file():
        raise CheckpointError(f"{path}: there is no such file; give a file of weights, or the folder of a run")
    try:
        with path.open("rb") as file:
            start = file.read(9)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror or error})") from None
    # A zip by torch.save, or a bare pickle. A safetensors file may begin with the same bytes, which are the length of
    # its header, but the header itself begins with a brace.
    pickled = (start[:4] == b"PK\x03\x04" or start[:1] == b"\x80") and start[8:] != b"{"
    return _read_pickle(path, zipped=start[:1] == b"P") if pickled else _read_safetensors(path)


def sha256(path: Path) -> str:
    """The checksum by which a file of weights is known."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read_safetensors(path: Path) -> WeightFile:
    try:
        with safe_open(path, framework="pt") as file:
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
            metadata = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path}: it is cut short, damaged or no file of weights ({_line(error)}); "
            "give a checkpoint of humanpt, or a .pth, .bin or .safetensors file"
        ) from None
    return WeightFile(path=path, weights=_unwrapped(path, weights), saved_with=metadata)


def _read_pickle(path: Path, *, zipped: bool) -> WeightFile:
    try:
        with torch.serialization.safe_globals([argparse.Namespace]):
            contents = torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    except Exception as error:  # a damaged pickle can fail in any way
        asked = re.search(r"GLOBAL ([\w.]+)", str(error))
        if asked:
            raise CheckpointError(
                f"{path}: its pickle asks for {asked[1]}, which is neither weight nor setting, so nothing in it was "
                "run; save its weights alone as .safetensors and give that file"
            ) from None
        raise CheckpointError(
            f"{path}: it is cut short, damaged or no file of weights ({_line(error)}); download or copy it again"
        ) from None
    if not isinstance(contents, Mapping):
        raise CheckpointError(f"{path}: it holds a {type(contents).__name__}, not weights by name; give another file")
    key = next((key for key in WEIGHT_KEYS if _tensors(contents.get(key))), None)
    weights = _tensors(contents if key is None else contents[key])
    beside = {
        str(name): vars(value) if isinstance(value, argparse.Namespace) else value
        for name, value in contents.items()
        if name != key and not isinstance(value, Tensor)
    }
    return WeightFile(path=path, weights=_unwrapped(path, weights), saved_with=beside)


def _tensors(values: object) -> dict[str, Tensor]:
    """The tensors of a mapping; a setting or a counter among them is no weight."""
    if not isinstance(values, Mapping):
        return {}
    return {str(name): value for name, value in values.items() if isinstance(value, Tensor)}


def _unwrapped(path: Path, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    if not weights:
        raise CheckpointError(f"{path}: it holds no weights; give another file")
    odd = next((name for name, tensor in weights.items() if not _plain(tensor)), None)
    if odd is not None:
        raise CheckpointError(
            f"{path}: its weight {odd} is sparse, quantised, complex or without values; save it as plain numbers"
        )
    names = list(weights)
    wrapped = True
    while wrapped:
        prefix = next((prefix for prefix in WRAPPERS if all(name.startswith(prefix) for name in names)), None)
        wrapped = prefix is not None
        names = [name.removeprefix(prefix or "") for name in names]
    return dict(zip(names, weights.values(), strict=True))


def _plain(tensor: Tensor) -> bool:
    """Whether a tensor is an array of real numbers, as a network's weights are."""
    dense = tensor.layout == torch.strided and tensor.device.type == "cpu"
    return dense and not (tensor.is_quantized or tensor.is_complex())


def _line(error: Exception) -> str:
    """The first line of what an error says, cut to what a line can bear."""
    text = (str(error).strip() or type(error).__name__).splitlines()[0]
    return text if len(text) <= 120 else f"{text[:117]}..."
