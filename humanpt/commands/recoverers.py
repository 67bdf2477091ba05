"""Open what turns crops into meshes: a fine-tuned run, a checkpoint, an exported file, or what comes with humanpt."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import cast, get_args

import numpy as np
import torch

from humanpt import __version__
from humanpt.body.model import Subject
from humanpt.commands.finetune_config import FinetuneMeshConfig, Kind
from humanpt.commands.finetune_families import FAMILIES, MeshFamily
from humanpt.commands.finetune_network import load_finetuned
from humanpt.engine.report import Report
from humanpt.engine.runtime import choose_device
from humanpt.errors import ConfigError
from humanpt.live.exported import OnnxRecoverer, has_cuda
from humanpt.live.recoverer import quickest
from humanpt.models.mesh_heads import MeshNetwork
from humanpt.tasks.mesh_pictures import NetworkRecoverer, Recoverer, assumed_intrinsics

SHIPPED = Path(__file__).parent.parent / "live" / "weights"
TRIALS, SPARE = 8, 0.6  # forward passes that tell a network's time; share of a frame's time that it may take

PEOPLE: dict[Subject, str] = {"hand": "hands", "body": "people"}

MESH_KINDS: tuple[Kind, ...] = tuple(kind for kind in get_args(Kind) if isinstance(FAMILIES[kind], MeshFamily))


def open_recoverer(run: Path, *, device: str = "auto", precision: str = "auto") -> Recoverer:
    """Open a network that recovers meshes.

    Args:
        run: a run's folder, whose best checkpoint counts, a checkpoint, or a file that `humanpt export` wrote with --to
            onnx, which ONNX Runtime computes in fp32, or --to safetensors.
        device: where it computes, as `engine.runtime.choose_device` takes it; of an .onnx file auto takes a GPU where
            ONNX Runtime can.
        precision: as `engine.runtime.choose_precision` takes it.

    Raises:
        CheckpointError: if there is no checkpoint, it is damaged, or of another task.
        ConfigError: if there is no such device or precision, or none for an .onnx file.
        InputError: if a licensed body model that it needs is missing.
    """
    where = choose_device(device)
    if run.suffix == ".onnx":
        return _open_exported(run, where, device, precision)
    config, network, header = load_finetuned(run, where, MESH_KINDS)
    assert isinstance(config, FinetuneMeshConfig)
    return quickest(cast("MeshNetwork", network), config.task, _name_of(run), header.provenance.ledger, precision)


def _open_exported(path: Path, where: torch.device, device: str, precision: str) -> Recoverer:
    if precision == "bf16":
        raise ConfigError(f"{path}: an exported file computes in fp32; leave bf16 out, or give the run")
    if where.type == "cuda" and device != "auto" and not has_cuda():
        raise ConfigError(f"{path}: ONNX Runtime has no {device} here; install onnxruntime-gpu, or take --device cpu")
    return OnnxRecoverer(path, torch.get_num_threads(), cuda=where.type == "cuda")


def open_plain(run: Path, *, device: str = "auto") -> Recoverer:
    """Open the same network as it was trained, in plain eager float32: what quicker forms are measured against.

    Args:
        run, device: as for `open_recoverer`, but no exported file of another program.

    Raises:
        CheckpointError, ConfigError, InputError: as there.
    """
    config, network, header = load_finetuned(run, choose_device(device), MESH_KINDS)
    assert isinstance(config, FinetuneMeshConfig)
    return NetworkRecoverer(cast("MeshNetwork", network), config.task, _name_of(run), header.provenance.ledger)


def choose_network(
    models: Sequence[Path], subject: Subject | None, target: float | None, precision: str, device: str, report: Report
) -> tuple[Recoverer, dict[str, float]]:
    """Open the network: the first that keeps a rate, where one is wanted.

    Args:
        models: the best first; without any, and after all where a rate is wanted, the one that comes with humanpt.
        subject: of the network; None takes that of the first, or bodies.
        target: frames per second; None takes the first.
        precision, device: as for `open_recoverer`.
        report: told which was taken.

    Returns:
        The network, and by name how many crops a second each that was tried takes here.

    Raises:
        CheckpointError, InputError: as `open_recoverer`.
        ConfigError: as there, or if a network is of the other subject.
    """
    if target is None and len(models) > 1:
        raise ConfigError("several --model want --target-fps, by which one of them is chosen; name one, or a rate")
    tried: list[Recoverer] = []
    rates = dict[str, float]()
    for path in (*models, None):
        if path is None:
            path = shipped_weights(subject or (tried[0].subject if tried else "body"))
        network = open_recoverer(path, device=device, precision=precision)
        check_subject(network.name, network.subject, subject)
        if target is None:
            return network, {}
        tried.append(network)
        rates[network.name] = 1 / _time_of(network)
        if rates[network.name] * SPARE >= target:
            crops = f"{rates[network.name]:.0f} crops a second here"
            report.note(f"{network.name}: {crops}, enough for {target:g} frames a second")
            return network, rates
    fastest = max(tried, key=lambda network: rates[network.name])
    report.note(
        f"no network keeps {target:g} frames a second here; going on with the fastest, {fastest.name}: "
        f"{rates[fastest.name]:.0f} crops a second"
    )
    return fastest, rates


def check_subject(name: str, subject: Subject, wanted: Subject | None) -> None:
    """Refuse a network of another subject than the one that was asked for.

    Raises:
        ConfigError: if it is.
    """
    if wanted not in (None, subject):
        raise ConfigError(f"--{wanted}: {name} knows {PEOPLE[subject]}; leave out --{wanted}, or name another")


def _name_of(run: Path) -> str:
    """What files call a network: its path, unless it is one that comes with humanpt."""
    return f"{run.stem} of humanpt {__version__}" if run.parent == SHIPPED else str(run)


def shipped_weights(subject: Subject) -> Path:
    """Where the mesh network of a subject that comes with humanpt lies."""
    return SHIPPED / f"mesh-{subject}.safetensors"


def _time_of(recoverer: Recoverer) -> float:
    """Seconds that one crop takes, the median of some trials."""
    crop = np.random.default_rng(0).integers(0, 256, (1, recoverer.image_size, recoverer.image_size, 3), np.uint8)
    camera = assumed_intrinsics(recoverer.image_size, recoverer.image_size)[None]
    spent = []
    for _ in range(2 + TRIALS):
        begun = time.perf_counter()
        recoverer(crop, camera)
        spent.append(time.perf_counter() - begun)
    return float(np.median(spent[2:]))
