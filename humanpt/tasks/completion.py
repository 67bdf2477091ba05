"""Completion across views and poses: withheld patches of one picture, rebuilt with the help of another.

Sources: Armando et al., CroCo-Man (arXiv 2311.09104), for the two kinds of pairs and the two terms of the loss;
Weinzaepfel et al., CroCo (arXiv 2210.10716), for everything else. The test with a wrong reference is ours.

Letters: B batch, N patches, M withheld ones, S side of a picture, P patch size.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from humanpt.data.image import Rgb
from humanpt.data.shards import Kind
from humanpt.losses import completion_loss, normalise_patches, pair_errors, patch_scale, patchify, unpatchify
from humanpt.models.croco import CroCo
from humanpt.models.positions import kept, places
from humanpt.models.vit import denormalise, normalise
from humanpt.tasks.completion_config import KIND_NAMES, CompletionConfig, MaskConfig, draw_mask
from humanpt.tasks.completion_pairs import CompletionSamples, HeldOutPairs, PairBatch, PairSample, collate

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


class Panel(NamedTuple):
    """A completed picture for people to look at; (S, S, 3) uint8 each."""

    masked: Rgb
    """The first picture as the network was given it, withheld patches grey."""
    reconstruction: Rgb
    """The same with the predictions, brought to the mean and spread of the true patches, in their places."""
    truth: Rgb
    """The first picture."""
    reference: Rgb
    """The second picture."""
    kind: Kind


class CompletionTask:
    """Training step, held-out figures and pictures of completion pre-training; meets `engine.task.Task`.

    Args:
        config: everything about it.
        heldout: the pairs to evaluate on; None for a task that only trains.
        model: the network; None makes one by the config from torch's random generator.
    """

    def __init__(
        self, config: CompletionConfig, heldout: HeldOutPairs | None = None, model: CroCo | None = None
    ) -> None:
        self.config = config
        self.heldout = heldout
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

        loss, means = completion_loss(_by_count(batch.mask, errors), batch.kind, self.config.weights)
        return loss, dict(zip(KIND_NAMES, means.unbind(), strict=True))

    @torch.no_grad()
    def evaluate(self) -> dict[str, float]:
        """Held-out loss, and what the second picture is worth.

        Returns:
            `loss`, as in training; `cross_view` and `cross_pose`, where there are such pairs; and, averaged over pairs,
            the error with the right second picture (`right`), with one of another sequence (`shuffled`), and with one
            of the mean colour (`none`). `margin` is (shuffled - right) / right, `margin_none` (none - right) / right.
            In a set of one sequence nothing is shuffled. Empty when nothing is held out.
        """
        if self.heldout is None or not len(self.heldout):
            return {}
        count, size = len(self.heldout), self.config.heldout_batch
        parts = [self._reference_errors(start, min(start + size, count)) for start in range(0, count, size)]
        right, none, *shuffled = torch.cat(parts, dim=1).double()
        kind = torch.from_numpy(self.heldout.pairs.kind[self.heldout.indices].astype(np.int64))
        loss, means = completion_loss(right, kind, self.config.weights)
        figures = {"loss": float(loss)}
        figures |= {name: float(mean) for name, mean in zip(KIND_NAMES, means, strict=True) if not mean.isnan()}
        figures |= {"right": float(right.mean()), "none": float(none.mean())}
        figures["margin_none"] = figures["none"] / figures["right"] - 1
        if shuffled:
            figures["shuffled"] = float(shuffled[0].mean())
            figures["margin"] = figures["shuffled"] / figures["right"] - 1
        return figures

    def pictures(self) -> dict[str, Rgb]:
        """None."""
        return {}

    @torch.no_grad()
    def panels(self, batch: PairBatch) -> list[Panel]:
        """Complete the pictures of a batch for people to look at, one panel for each pair."""
        batch = batch.to(self._device)
        assert batch.image2 is not None
        image1, image2 = normalise(batch.image1), normalise(batch.image2)
        patch_size, grid = self.config.model.patch_size, self.config.model.grid
        masked, completed = patchify(image1, patch_size), patchify(image1, patch_size)
        for row, mask in enumerate(batch.mask):  # one by one: pairs of two kinds may withhold different numbers
            truth = completed[row, places(mask[None], self._device)[1]]
            prediction = self.model(image1[row : row + 1], image2[row : row + 1], mask[None])[0].to(truth.dtype)
            if self.config.normalise_target:
                mean, spread = patch_scale(truth)
                prediction = prediction * spread + mean
            withheld = mask.to(self._device)
            completed[row, withheld] = prediction
            masked[row, withheld] = 0.0  # the mean colour, a grey
        pictures = [
            denormalise(unpatchify(masked, grid)),
            denormalise(unpatchify(completed, grid)),
            batch.image1,
            batch.image2,
        ]
        arrays = [picture.permute(0, 2, 3, 1).contiguous().cpu().numpy() for picture in pictures]
        return list(map(Panel, *arrays, map(Kind, batch.kind.tolist())))

    @property
    def _device(self) -> torch.device:
        return self.model.mask_token.device

    def _targets(self, image1: Tensor, mask: Tensor) -> Tensor:
        """What the predictions of the withheld patches should be, (B, M, 3PP)."""
        patches = kept(patchify(image1, self.config.model.patch_size), mask)
        return normalise_patches(patches) if self.config.normalise_target else patches

    def _reference_errors(self, start: int, stop: int) -> Tensor:
        """Errors of a stretch of held-out pairs, (2 or 3, stop - start) on the CPU: right, no, and wrong reference."""
        assert self.heldout is not None
        places = range(start, stop)
        batch = collate([self.heldout[place] for place in places]).to(self._device)
        assert batch.image2 is not None
        image1, mask = normalise(batch.image1), batch.mask
        memory = self.model.encode(normalise(batch.image2))
        references = [memory, self.model.encode(torch.zeros_like(image1[:1])).expand_as(memory)]
        if self.heldout.wrong is not None:
            wrong = np.stack([self.heldout.wrong_reference(place) for place in places])
            images = torch.from_numpy(wrong).permute(0, 3, 1, 2).to(self._device)
            references.append(self.model.encode(normalise(images)))

        def errors(rows: slice | Tensor) -> Tensor:
            visible = self.model.encode(image1[rows], keep=~mask[rows])
            targets = self._targets(image1[rows], mask[rows])
            return torch.stack(
                [
                    pair_errors(self.model.complete(visible, reference[rows], mask[rows]), targets)
                    for reference in references
                ]
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
