"""Fine-tuning recipes: meshes, dense pose and classes at the sizes of pre-training, and our own detector.

Rates, weight decay and the rate that shrinks layer by layer are MAE's for ViTs (He et al., arXiv 2111.06377); those of
the tiny size, and all lengths, are ours.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from humanpt.commands.finetune_config import (
    AnyConfig,
    FinetuneClassesConfig,
    FinetuneDensePoseConfig,
    FinetuneMeshConfig,
    Kind,
)
from humanpt.commands.finetune_detection import FinetuneDetectionConfig
from humanpt.commands.initialise import read_start
from humanpt.data.detection.cutout_people import CutOutConfig
from humanpt.data.detection.pictures import PictureConfig
from humanpt.engine.loop_config import LoopConfig
from humanpt.engine.optim import OptimConfig
from humanpt.errors import ConfigError
from humanpt.models import croco
from humanpt.models.croco import CroCoConfig
from humanpt.models.heatmap import HeatMapConfig
from humanpt.recipes.pretrain import Subject
from humanpt.tasks.dense_samples import DensePoseConfig
from humanpt.tasks.detection import DetectionConfig
from humanpt.tasks.mesh_config import MeshConfig

SIZES: Mapping[str, Callable[[], CroCoConfig]] = {
    "tiny": croco.tiny,
    "vits16_small": croco.vits16_small,
    "vitb16_small": croco.vitb16_small,
    "vitb16_base": croco.vitb16_base,
    "vitl16_base": croco.vitl16_base,
}
"""Networks by the name of the recipe that pre-trains them."""
USUAL = "vits16_small"
LIVE = "live"
"""Recipe of the meshes that `humanpt demo` comes with; of no pre-training."""


def finetune_recipe(kind: Kind, size: str | None = None, init: Path | None = None) -> AnyConfig:
    """The recipe of a task at a size.

    Args:
        kind: the task.
        size: one of `SIZES`; None takes the one that suits the weights.
        init: the weights to start from, if there are any.

    Raises:
        ConfigError: if there is no such size; the nearest is offered.
        CheckpointError: if the weights cannot be read.
    """
    if size == LIVE and kind in ("hand-mesh", "body-mesh"):
        return live_mesh(kind)
    if size is None:
        size = USUAL if init is None else _size_of(init)
    if size not in SIZES:
        known = (*SIZES, LIVE) if TASKS[kind] is mesh else tuple(SIZES)
        near = difflib.get_close_matches(size, known, n=1, cutoff=0.0)[0]
        raise ConfigError(f"there is no recipe {size!r}; did you mean {near}? The recipes are {', '.join(known)}")
    return TASKS[kind](kind, size)


def mesh(kind: Kind, size: str) -> FinetuneMeshConfig:
    """Meshes of hands or bodies, with the free body model."""
    hand = kind == "hand-mesh"
    task = MeshConfig(subject="hand" if hand else "body", model="anny-hand" if hand else "anny-body")
    return FinetuneMeshConfig(kind=kind, task=task, **_common(size, steps=3000 if size == "tiny" else 20_000))


def live_mesh(kind: Kind) -> FinetuneMeshConfig:
    """The networks that come with humanpt: a small convolutional trunk and a head of points, for CPUs.

    As many pictures as one shared core sees in an hour and a half: bodies have more joints, and take longer.
    """
    hand = kind == "hand-mesh"
    steps = 12_000 if hand else 9500
    return FinetuneMeshConfig(
        kind=kind,
        recipe=LIVE,
        trunk="conv",
        task=MeshConfig(
            subject="hand" if hand else "body",
            model="anny-hand" if hand else "anny-body-small",
            head="points",
            side=hand,
            turn=60.0 if hand else 20.0,
            scale=0.3,
            shift=0.12,
            wear=0.7,
        ),
        optim=OptimConfig(base_lr=0.008, betas=(0.9, 0.99), average_decay=0.999),
        loop=LoopConfig(steps=steps, batch_size=32, clip_norm=1.0, log_every=50, eval_every=500, save_every=500),
        heldout=0.03,
        heldout_pictures=400,
        precision="auto",
        workers=1,
        threads=1,
    )


def dense_pose(kind: Kind, size: str) -> FinetuneDensePoseConfig:
    """Parts and surface coordinates of people."""
    task = DensePoseConfig(channels=64 if size == "tiny" else 256)
    return FinetuneDensePoseConfig(kind=kind, task=task, **_common(size, steps=2000 if size == "tiny" else 20_000))


def classes(kind: Kind, size: str) -> FinetuneClassesConfig:
    """Gestures or grasps."""
    return FinetuneClassesConfig(kind=kind, **_common(size, steps=500 if size == "tiny" else 3000))


TASKS: Mapping[Kind, Callable[[Kind, str], AnyConfig]] = {
    "hand-mesh": mesh,
    "body-mesh": mesh,
    "dense-pose": dense_pose,
    "gesture": classes,
    "grasp": classes,
}
"""Recipes by task."""


def _common(size: str, steps: int) -> dict[str, Any]:
    """Encoder, schedule and length; the cosine ends with the run."""
    tiny = size == "tiny"
    optim = OptimConfig(
        base_lr=2e-3 if tiny else 5e-4,
        betas=(0.9, 0.999),
        layer_decay=0.75,
        average_decay=0.998 if tiny else 0.9995,
    )
    loop = LoopConfig(
        steps=steps,
        batch_size=64,
        clip_norm=1.0,
        log_every=min(50, steps // 10),
        eval_every=max(1, steps // 10),
        save_every=max(1, steps // 10),
    )
    return {
        "recipe": size,
        "encoder": SIZES[size](),
        "optim": optim,
        "loop": loop,
        "precision": "fp32" if tiny else "auto",  # so small a network gains nothing from bf16
        "threads": 1 if tiny else None,  # steps this small are over before a second thread has woken up
    }


def _size_of(init: Path) -> str:
    """The size that weights are of, or nearest to."""
    start = read_start(init)
    width = start.config.enc_dim if start.config else start.weights.sizes.get("enc_dim", SIZES[USUAL]().enc_dim)
    decoder = start.config.dec_dim if start.config else start.weights.sizes.get("dec_dim", 0)
    return min(SIZES, key=lambda name: (abs(SIZES[name]().enc_dim - width), abs(SIZES[name]().dec_dim - decoder)))


def detection(subject: Subject) -> FinetuneDetectionConfig:
    """What the shipped weights taught, in one run: small pictures, as many as one core sees in two hours.

    The shipped weights were made in stages that led here; docs/detector.md lists them.
    """
    pictures = PictureConfig(subject=subject, size=128, figures=(0.16, 1.3), near=(0.5, 1.5))
    if subject == "hand":
        pictures = replace(pictures, shares=(0.06, 0.2, 0.74), near=(0.6, 1.7))
    model = HeatMapConfig(kinds=1 if subject == "body" else 2)
    return FinetuneDetectionConfig(
        recipe="detection",
        cutouts=CutOutConfig(people=1500),
        task=DetectionConfig(model=model, pictures=pictures, kind_weight=1.0),
        optim=OptimConfig(
            base_lr=0.0128, betas=(0.9, 0.98), warmup_steps=300, cosine_steps=20_000, average_decay=0.999
        ),
        loop=LoopConfig(
            steps=20_000,
            batch_size=32,
            clip_norm=10.0,
            log_every=50,
            eval_every=500,
            save_every=250,
            tensorboard=False,
        ),
        threads=1,  # two such runs side by side use two cores better than one run with two threads
    )
