"""Pre-training recipes: completion of bodies or hands at five sizes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Literal

from humanpt.commands.pretrain import PretrainConfig
from humanpt.data.augment import AugmentConfig
from humanpt.engine.loop_config import LoopConfig
from humanpt.engine.optim import OptimConfig
from humanpt.models import croco
from humanpt.tasks.completion import CompletionConfig

Subject = Literal["body", "hand"]


def croco_tiny(subject: Subject) -> PretrainConfig:
    """For trials on a CPU: 64 x 64 pictures, 0.2 M parameters, minutes; it shows that the chain works, no more."""
    model = croco.tiny()
    return PretrainConfig(
        recipe="tiny",
        subject=subject,
        task=CompletionConfig(model=model, augment=AugmentConfig(crop_size=model.image_size)),
        optim=OptimConfig(base_lr=4e-3, warmup_steps=100, cosine_steps=4000),
        loop=LoopConfig(steps=3000, batch_size=32, log_every=50, eval_every=250, save_every=250),
        precision="fp32",  # so small a network gains nothing from bf16
        threads=1,  # steps this small are over before a second thread has woken up
    )


def croco_vits16(subject: Subject) -> PretrainConfig:
    """ViT-S/16 with a small decoder at 224 x 224: one GPU for a day, or a CPU with patience. Schedule of CroCo."""
    return PretrainConfig(
        recipe="vits16_small",
        subject=subject,
        task=CompletionConfig(model=croco.vits16_small()),
        optim=OptimConfig(),
        loop=LoopConfig(eval_every=500, save_every=500),
    )


def croco_vitb16(subject: Subject) -> PretrainConfig:
    """ViT-B/16 with the small decoder at 224 x 224, the published size, with CroCo's schedule."""
    return PretrainConfig(
        recipe="vitb16_small",
        subject=subject,
        task=CompletionConfig(model=croco.vitb16_small()),
        optim=OptimConfig(),
        loop=LoopConfig(eval_every=1000, save_every=1000),
    )


def croco_vitb16_base(subject: Subject) -> PretrainConfig:
    """ViT-B/16 with CroCo v2's base decoder, with CroCo's schedule."""
    config = croco_vitb16(subject)
    return replace(config, recipe="vitb16_base", task=CompletionConfig(model=croco.vitb16_base()))


def croco_vitl16_base(subject: Subject) -> PretrainConfig:
    """ViT-L/16 with CroCo v2's base decoder, in full precision as it was published."""
    config = croco_vitb16(subject)
    return replace(config, recipe="vitl16_base", task=CompletionConfig(model=croco.vitl16_base()), precision="fp32")


PRETRAIN: Mapping[str, Callable[[Subject], PretrainConfig]] = {
    "tiny": croco_tiny,
    "vits16_small": croco_vits16,
    "vitb16_small": croco_vitb16,
    "vitb16_base": croco_vitb16_base,
    "vitl16_base": croco_vitl16_base,
}
"""Recipes by the name that a user types."""
