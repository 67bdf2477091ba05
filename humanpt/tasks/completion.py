"""Completion across views and poses: withheld patches of one picture, rebuilt with the help of another.

Sources: Armando et al., CroCo-Man (arXiv 2311.09104), for the two kinds of pairs and the two terms of the loss;
Weinzaepfel et al., CroCo (arXiv 2210.10716), for everything else. The test with a wrong reference is ours.

Letters: B batch, N patches, M withheld ones, S side of a picture, P patch size.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from humanpt.data.image import Rgb
from humanpt.data.shards import Kind
from humanpt.losses import (
    completion_loss,
    kind_means,
    normalise_patches,
    pair_errors,
    patch_scale,
    patchify,
    unpatchify,
)
from humanpt.models.croco import CroCo
from humanpt.models.positions import kept, places
from humanpt.models.vit import denormalise, normalise
from humanpt.tasks.attention_maps import AttentionPanel, attention_panels
from humanpt.tasks.completion_config import KIND_NAMES, CompletionConfig, MaskConfig, draw_mask
from humanpt.tasks.completion_pairs import CompletionSamples, HeldOutPairs, PairBatch, PairSample, collate
from humanpt.tasks.probe import Probe

__all__ = [
    "KIND_NAMES",
    "CompletionConfig",
    "CompletionSamples",
    "CompletionTask",
    "HeldOutPairs",
    "MaskConfig",
    "PairBatch",
    "PairSample",
    "Panel",
    "collate",
    "draw_mask",
]

SHOWN = 4  # held-out pairs of which there are pictures while a run goes on


class Panel(NamedTuple):
    """A completed picture for people to look at; (S, S, 3) uint8 each."""

    masked: Rgb
    """The first picture as the network was given it, withheld patches grey."""
    reconstruction: Rgb
    """The same with the predictions, brought to the mean and spread of the true patches, in their places."""
    truth: Rgb
    """The first picture."""
    reference: Rgb | None
    """The second picture; None where a picture is completed from itself."""
    kind: Kind


class CompletionTask:
    """Training step, held-out figures and pictures of completion pre-training; meets `engine.task.Task`.

    Args:
        config: everything about it.
        heldout: the pairs to evaluate on; None for a task that only trains.
        model: the network; None makes one by the config from torch's random generator.
        probe: what reads poses from the frozen features at every evaluation; None for nothing.
    """

    def __init__(
        self,
        config: CompletionConfig,
        heldout: HeldOutPairs | None = None,
        model: CroCo | None = None,
        probe: Probe | None = None,
    ) -> None:
        self.config = config
        self.heldout = heldout
        self.probe = probe
        self.model = CroCo(config.model) if model is None else model

    def loss(self, batch: PairBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of one batch, and that of each kind as `cross_view` and `cross_pose`, NaN where absent."""
        image1, image2 = batch.views()

        def errors(rows: slice | Tensor) -> Tensor:
            mask = batch.mask[rows]
            predicted = None if batch.predicted is None else batch.predicted[rows]
            reference = None if image2 is None else image2[rows]
            predictions = self.model(image1[rows], reference, mask, predicted)
            return pair_errors(predictions, self._targets(image1[rows], mask if predicted is None else predicted))

        measured = _by_count(batch.mask, errors)
        loss = completion_loss(measured, batch.kind, batch.weight, self.config.weights)
        return loss, dict(zip(KIND_NAMES, kind_means(measured, batch.kind, len(KIND_NAMES)).unbind(), strict=True))

    @torch.no_grad()
    def evaluate(self) -> dict[str, float]:
        """Held-out loss, what the second picture is worth, and what a probe reads from the frozen features.

        Returns:
            `loss`, as in training; `cross_view` and `cross_pose`, where there are such pairs; and, averaged over pairs,
            the error with the right second picture (`right`), with one of another sequence (`shuffled`), and with one
            of the mean colour (`none`). `margin` is (shuffled - right) / right, `margin_none` (none - right) / right.
            In a set of one sequence nothing is shuffled; without second pictures there is `right` alone. Where nothing
            is held out, all of these are absent. With a probe its figures, see `tasks.probe`.
        """
        probed = {} if self.probe is None else self.probe.measure(self.model)
        return self._heldout_figures() | probed

    @torch.no_grad()
    def pictures(self) -> dict[str, Rgb]:
        """Completed held-out pictures, and where withheld patches look in the second picture."""
        if self.heldout is None or not len(self.heldout):
            return {}
        batch = collate([self.heldout[place] for place in range(min(SHOWN, len(self.heldout)))])
        found = {
            f"completed/{number}": np.hstack([picture for picture in panel[:4] if picture is not None])
            for number, panel in enumerate(self.panels(batch))
        }
        return found | {f"attention/{number}": panel.picture for number, panel in enumerate(self.attention(batch))}

    @torch.no_grad()
    def attention(self, batch: PairBatch) -> list[AttentionPanel]:
        """Where withheld patches look in the second pictures of a batch; nothing where there are none."""
        batch = batch.to(self._device)
        image1, image2 = batch.views()
        return [] if image2 is None else attention_panels(self.model, image1, image2, batch.mask, batch.kind)

    @torch.no_grad()
    def panels(self, batch: PairBatch) -> list[Panel]:
        """Complete the pictures of a batch for people to look at, one panel for each pair."""
        batch = batch.to(self._device)
        image1, image2 = batch.views()
        patch_size, grid = self.config.model.patch_size, self.config.model.grid
        masked, completed = patchify(image1, patch_size), patchify(image1, patch_size)
        for row, mask in enumerate(batch.mask):  # one by one: pairs of two kinds may withhold different numbers
            truth = completed[row, places(mask[None], self._device)[1]]
            reference = None if image2 is None else image2[row : row + 1]
            prediction = self.model(image1[row : row + 1], reference, mask[None])[0].to(truth.dtype)
            if self.config.normalise_target:
                mean, spread = patch_scale(truth)
                prediction = prediction * spread + mean
            withheld = mask.to(self._device)
            completed[row, withheld] = prediction
            masked[row, withheld] = 0.0  # the mean colour, a grey
        drawn = [unpatchify(masked, grid), unpatchify(completed, grid), image1, *([] if image2 is None else [image2])]
        arrays = [denormalise(picture).permute(0, 2, 3, 1).contiguous().cpu().numpy() for picture in drawn]
        references = arrays[3] if image2 is not None else [None] * len(batch)
        return list(map(Panel, *arrays[:3], references, map(Kind, batch.kind.tolist())))

    @property
    def _device(self) -> torch.device:
        return self.model.mask_token.device

    def _targets(self, image1: Tensor, mask: Tensor) -> Tensor:
        """What the predictions of the withheld patches should be, (B, M, 3PP)."""
        patches = kept(patchify(image1, self.config.model.patch_size), mask)
        return normalise_patches(patches) if self.config.normalise_target else patches

    def _heldout_figures(self) -> dict[str, float]:
        """What `evaluate` says of the held-out pairs; nothing where there are none."""
        if self.heldout is None or not len(self.heldout):
            return {}
        count, size = len(self.heldout), self.config.heldout_batch
        parts = [self._reference_errors(start, min(start + size, count)) for start in range(0, count, size)]
        right, *others = torch.cat(parts, dim=1).double()
        kind = torch.from_numpy(self.heldout.pairs.kind[self.heldout.indices].astype(np.int64))
        means = dict(zip(KIND_NAMES, kind_means(right, kind, len(KIND_NAMES)).tolist(), strict=True))
        present = {name: mean for name, mean in means.items() if not math.isnan(mean)}
        weights = dict(zip(KIND_NAMES, self.config.weights, strict=True))
        figures = {"loss": sum(weights[name] * mean for name, mean in present.items()), **present}
        figures["right"] = float(right.mean())
        for name, margin, errors in zip(("none", "shuffled"), ("margin_none", "margin"), others, strict=False):
            figures |= {name: float(errors.mean()), margin: float(errors.mean() / right.mean()) - 1}
        return figures

    def _reference_errors(self, start: int, stop: int) -> Tensor:
        """Errors of a stretch of held-out pairs on the CPU: (R, stop - start) with R references.

        These are the right one, none, and a wrong one where there is one; without second pictures R is 1.
        """
        assert self.heldout is not None
        batch = collate([self.heldout[place] for place in range(start, stop)]).to(self._device)
        (image1, image2), mask = batch.views(), batch.mask
        references: list[Tensor | None] = [None]
        if image2 is not None:
            right = self.model.encode(image2)
            references = [right, self.model.encode(torch.zeros_like(image1[:1])).expand_as(right)]
        if self.heldout.wrong is not None:
            wrong = np.stack([self.heldout.wrong_reference(place) for place in range(start, stop)])
            images = torch.from_numpy(wrong).permute(0, 3, 1, 2).to(self._device)
            references.append(self.model.encode(normalise(images)))

        def errors(rows: slice | Tensor) -> Tensor:
            visible = self.model.encode(image1[rows], keep=~mask[rows])
            targets = self._targets(image1[rows], mask[rows])
            memories = [None if reference is None else reference[rows] for reference in references]
            return torch.stack(
                [pair_errors(self.model.complete(visible, memory, mask[rows]), targets) for memory in memories]
            )

        return _by_count(mask, errors).cpu()


def _by_count(mask: Tensor, measure: Callable[[slice | Tensor], Tensor]) -> Tensor:
    """Measure pairs together where their masks withhold the same number of patches.

    Args:
        mask: (B, N) bool on the CPU.
        measure: given the rows of some pairs, (..., that many) numbers.

    Returns:
        (..., B) the numbers of all pairs, in their order.
    """
    counts = mask.sum(dim=1)
    groups = [(counts == count).nonzero()[:, 0] for count in sorted(set(counts.tolist()))]
    if len(groups) == 1:
        return measure(slice(None))
    numbers = torch.cat([measure(rows) for rows in groups], dim=-1)
    return numbers[..., torch.cat(groups).argsort()]
