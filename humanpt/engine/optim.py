"""The optimiser and its rate: AdamW, linear warm-up, then half a cosine; in fine-tuning less for early layers.

Source: the published training settings of CroCo (arXiv 2210.10716), which follow MAE. The cosine is longer than the run
and is cut where the run stops, because gains saturate there. The rate that shrinks layer by layer is BEiT's (Bao et
al., arXiv 2106.08254), as MAE fine-tunes with it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from humanpt.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class OptimConfig:
    """AdamW and its learning rate. One epoch is as many steps as it takes to see as many samples as there are."""

    base_lr: float = 1.5e-4
    """Peak learning rate for a batch of 256; the peak used is base_lr * batch_size / 256."""

    warmup_epochs: float = 40
    """Epochs over which the rate rises from 0 to its peak in a straight line."""

    cosine_epochs: float = 800
    """Epochs, counted from the start of the run, after which the half-cosine reaches 0; usually longer than the run."""

    warmup_steps: int | None = None
    """The warm-up in steps, for a run measured in steps; when given, warmup_epochs is not used."""

    cosine_steps: int | None = None
    """The cosine length in steps, for a run measured in steps; when given, cosine_epochs is not used."""

    betas: tuple[float, float] = (0.9, 0.95)
    """Decay rates of AdamW's two running means."""

    weight_decay: float = 0.05
    """Decoupled weight decay; see `parameter_groups` for what is spared."""

    layer_decay: float = 1.0
    """By what the rate of each layer is smaller than that of the layer above it; see `depths`. 1 trains all alike."""

    average_decay: float | None = None
    """What a step leaves of the running mean of the weights, which then is what evaluates; None keeps no mean."""

    def __post_init__(self) -> None:
        if not self.base_lr > 0:
            raise ConfigError(f"base_lr is {self.base_lr}; it must be positive")
        if not all(0 <= beta < 1 for beta in self.betas) or len(self.betas) != 2:
            raise ConfigError(f"betas are {self.betas}; they are two numbers from 0 up to 1, 1 left out")
        if self.weight_decay < 0:
            raise ConfigError(f"weight_decay is {self.weight_decay}; it must not be negative")
        if not 0 < self.layer_decay <= 1:
            raise ConfigError(f"layer_decay is {self.layer_decay}; it lies above 0 and is at most 1")
        if self.average_decay is not None and not 0 <= self.average_decay < 1:
            raise ConfigError(f"average_decay is {self.average_decay}; it lies from 0 to below 1")
        warmup = {"warmup_epochs": self.warmup_epochs, "warmup_steps": self.warmup_steps or 0}
        cosine = {
            "cosine_epochs": self.cosine_epochs,
            "cosine_steps": 1 if self.cosine_steps is None else self.cosine_steps,
        }
        for name, value in warmup.items():
            if value < 0:
                raise ConfigError(f"{name} is {value}; it must not be negative")
        for name, value in cosine.items():
            if value <= 0:
                raise ConfigError(f"{name} is {value}; it must be positive")

    def schedule(self, batch_size: int, steps_per_epoch: float) -> Schedule:
        """The rate over a run of steps that each take `batch_size` samples."""
        warmup = self.warmup_epochs * steps_per_epoch if self.warmup_steps is None else self.warmup_steps
        cosine = self.cosine_epochs * steps_per_epoch if self.cosine_steps is None else self.cosine_steps
        if cosine <= warmup:
            raise ConfigError(
                f"the rate warms up over {warmup:g} steps but its cosine ends at {cosine:g}; "
                "lengthen cosine_epochs or shorten warmup_epochs (or the two in steps)"
            )
        return Schedule(peak=self.base_lr * batch_size / 256, warmup=warmup, cosine=cosine)


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """A learning rate for every step: from 0 up in a straight line, then down to 0 along half a cosine."""

    peak: float
    """Rate at the end of the warm-up."""

    warmup: float
    """Steps of the rise, not always a whole number."""

    cosine: float
    """Step at which the rate is 0 again, counted from the start of the run, not from the end of the warm-up."""

    def rate(self, step: float) -> float:
        """The rate of the step that follows after `step` steps have been made."""
        if step < self.warmup:
            return self.peak * step / self.warmup
        if step >= self.cosine:
            return 0.0
        return self.peak * 0.5 * (1 + math.cos(math.pi * (step - self.warmup) / (self.cosine - self.warmup)))


def depths(names: Sequence[str]) -> dict[str, int]:
    """How deep in a network each parameter lies, by its name.

    Whatever comes before `encoder.blocks` lies at 0, that is patches and positions; block i of the encoder at i + 1;
    what is between encoder and decoder above that; then each block of `decoder.blocks`; the rest, the head, above all.
    Without a decoder the encoder's last norm counts with the head, as in MAE.

    Args:
        names: as `named_parameters` gives them, wherever in the model the encoder is.
    """
    encoder, decoder = (_blocks(names, stack) for stack in ("encoder", "decoder"))
    between = max(encoder.values(), default=-1) + 2
    last = between + (max(decoder.values()) + 2 if decoder else 0)
    found = {}
    for name in names:
        if name in encoder:
            found[name] = encoder[name] + 1
        elif re.search(r"\bencoder\.(patch_embed|positions)\.", name):
            found[name] = 0
        elif name in decoder:
            found[name] = between + 1 + decoder[name]
        else:
            found[name] = between if re.search(r"\bencoder\.norm\.|\bto_decoder\.", name) else last
    return found


def _blocks(names: Sequence[str], stack: str) -> dict[str, int]:
    """The number of the block that a parameter is of, for those in the blocks of that name."""
    matches = {name: re.search(rf"\b{stack}\.blocks\.(\d+)\.", name) for name in names}
    return {name: int(match[1]) for name, match in matches.items() if match}


def parameter_groups(model: nn.Module, weight_decay: float, layer_decay: float = 1.0) -> list[dict[str, Any]]:
    """Split the trainable parameters by whether they decay and by how much of the rate they get.

    Parameters of at most one dimension (the scales of norms) do not decay, nor those that are only added to something
    and named for it: `bias`, and `added`, a learned table of positions. A mask token, (1, 1, D), does, as in the
    published CroCo code.

    Returns:
        Groups for a torch optimiser, in the model's own order, with `factor`, the share of the rate that is theirs:
        layer_decay ** (depth of the head - depth). With a layer_decay of 1 there are two; an empty one is left out.

    Raises:
        ConfigError: if layer_decay is not 1 and the model has no blocks.
    """
    trained = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    depth = depths([name for name, _ in model.named_parameters()])
    if layer_decay != 1 and len(set(depth.values())) < 2:
        raise ConfigError(f"layer_decay is {layer_decay}, but this network has no encoder with blocks; leave it at 1")
    last = max(depth.values(), default=0)
    groups: dict[tuple[float, bool], dict[str, Any]] = {}
    for spares in (False, True):
        for name, parameter in trained.items():
            spare = parameter.ndim <= 1 or name.rpartition(".")[2] in ("bias", "added")
            if spare == spares:
                factor = layer_decay ** (last - depth[name])
                group = {"params": [], "weight_decay": 0.0 if spare else weight_decay, "factor": factor}
                groups.setdefault((factor, spare), group)["params"].append(parameter)
    return list(groups.values())


def make_optimizer(model: nn.Module, config: OptimConfig) -> torch.optim.AdamW:
    """AdamW over the trainable parameters, fused where their device has that kernel.

    The rate is 0 until the loop sets it from the schedule. Fused, an update of ViT-S on a CPU was 2.6 times as fast.

    Raises:
        ConfigError: if its rate should differ by layers and the model has none.
        ValueError: if nothing is trainable.
    """
    groups = parameter_groups(model, config.weight_decay, config.layer_decay)
    if not groups:
        raise ValueError("the model has no trainable parameter")
    try:
        return torch.optim.AdamW(groups, lr=0.0, betas=config.betas, fused=True)
    except RuntimeError:  # this device or this kind of number has no fused kernel
        return torch.optim.AdamW(groups, lr=0.0, betas=config.betas)


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Give every parameter group its share of a learning rate."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["factor"]
