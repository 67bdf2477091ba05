"""Open what turns crops into meshes: a fine-tuned run, a checkpoint or an exported file."""

from __future__ import annotations

from pathlib import Path
from typing import cast, get_args

import torch

from humanpt.commands.finetune_config import FinetuneMeshConfig, Kind
from humanpt.commands.finetune_families import FAMILIES, MeshFamily
from humanpt.commands.finetune_network import load_finetuned
from humanpt.engine.runtime import choose_device
from humanpt.live.exported import OnnxRecoverer
from humanpt.live.recoverer import Recoverer, TorchRecoverer
from humanpt.models.mesh_heads import MeshNetwork
from humanpt.tasks.mesh_pictures import NetworkRecoverer

MESH_KINDS: tuple[Kind, ...] = tuple(kind for kind in get_args(Kind) if isinstance(FAMILIES[kind], MeshFamily))


def open_recoverer(
    run: Path, *, device: str = "auto", precision: str = "auto", threads: int | None = None
) -> Recoverer:
    """Open a network that recovers meshes.

    Args:
        run: a run's folder, whose best checkpoint counts, a checkpoint, or a file that `humanpt export` wrote with --to
            onnx, which ONNX Runtime computes, or --to safetensors.
        device: where it computes, as `engine.runtime.choose_device` takes it.
        precision: as `engine.runtime.choose_precision` takes it.
        threads: of the processor, for the whole program; None leaves them as they are.

    Raises:
        CheckpointError: if there is no checkpoint, it is damaged, or of another task.
        ConfigError: if there is no such device or precision.
        InputError: if a licensed body model that it needs is missing.
    """
    if run.suffix == ".onnx":
        return OnnxRecoverer(run, threads)
    if threads is not None:
        torch.set_num_threads(threads)
    config, network, header = load_finetuned(run, choose_device(device), MESH_KINDS)
    assert isinstance(config, FinetuneMeshConfig)
    return TorchRecoverer(cast("MeshNetwork", network), config.task, str(run), header.provenance.ledger, precision)


def open_plain(run: Path, *, device: str = "auto") -> Recoverer:
    """Open the same network as it was trained, in plain eager float32: what quicker forms are measured against.

    Args:
        run, device: as for `open_recoverer`, but no exported file of another program.

    Raises:
        CheckpointError, ConfigError, InputError: as there.
    """
    config, network, header = load_finetuned(run, choose_device(device), MESH_KINDS)
    assert isinstance(config, FinetuneMeshConfig)
    return NetworkRecoverer(cast("MeshNetwork", network), config.task, str(run), header.provenance.ledger)
