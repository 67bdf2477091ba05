"""A linear probe: what frozen features know of a pose in 3D, while the network learns to complete pictures.

The key points of generated people or hands are known exactly. A ridge regression, solved in closed form, reads them
from the encoder's tokens; a second figure looks up, for each picture, the most similar one and takes its pose. Both are
measured on other people than those they were fitted to. The probe is ours; CroCo-Man (arXiv 2311.09104) measures
transfer by fine-tuning on annotated data, which takes hours where this takes seconds.

Letters: B pictures, F pictures to fit to, T pictures to test on, K key points, C features, n patches along a side.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from humanpt.data.augment import AugmentConfig, centre_view
from humanpt.data.image import Rgb, resize_square
from humanpt.data.records import Picture
from humanpt.data.shards import PairSet
from humanpt.errors import ConfigError, InputError
from humanpt.geometry.cameras import transform
from humanpt.metrics import mpjpe, pa_mpjpe
from humanpt.models.croco import CroCo
from humanpt.models.vit import normalise

MM = 1000.0
LEAST_PICTURES = 64
STRENGTHS = torch.logspace(-6, 4, 41, dtype=torch.float64)
"""Strengths of the ridge that are tried, as multiples of the mean eigenvalue of the features' Gram matrix."""
PIXELS = 16
"""Side of the shrunken pictures that the probe of plain pixels reads."""
RANDOM_DRAWS = 16


@dataclass(frozen=True, kw_only=True)
class ProbeConfig:
    """The generated pictures that a probe looks at, and how it reads features."""

    pictures: int = 600
    """How many pictures, two of each generated pair; 0 turns the probe off."""
    seed: int = 6021
    """Seed of the pictures and of their split; it should differ from the seeds of generated training pairs."""
    test_share: float = 1 / 3
    """Share of the pictures to test on, of other people than the rest."""
    grid: int = 4
    """Tokens are averaged in grid x grid cells, which the probe reads side by side; 1 averages over the picture. Of
    1, 2 and 4, 4 told trained from random weights best, for bodies and for hands."""
    batch: int = 50
    """Pictures encoded at once; without effect on the result."""

    def __post_init__(self) -> None:
        if self.pictures and (self.pictures < LEAST_PICTURES or self.pictures % 2):
            raise ConfigError(
                f"probe.pictures is {self.pictures}; give an even number from {LEAST_PICTURES}, or 0 for no probe"
            )
        if self.seed < 0 or not 0 < self.test_share < 1:
            raise ConfigError("probe.seed must be at least 0 and probe.test_share lie between 0 and 1")
        if self.grid < 1 or self.batch < 1:
            raise ConfigError("probe.grid and probe.batch must be at least 1")


class Examples(NamedTuple):
    """Pictures and the poses that they show."""

    pictures: NDArray[np.uint8]
    """(B, S, S, 3), left hands mirrored."""
    keypoints: Tensor
    """(B, K, 3) float64 metres in the axes of the camera, relative to the wrist or the middle of the hips."""


class Probe:
    """What frozen features of the encoder know of poses; pictures are read once, here.

    A mirrored left hand is a right hand, in the picture as in space: left hands are mirrored, one map serves both.

    Args:
        pairs: generated pairs of more than one sequence.
        config: how it reads features.
        augment: how stored pictures become what the network sees; only the central crop is used.

    Raises:
        InputError: if the pairs have no truth, or are of one sequence.
    """

    def __init__(self, pairs: PairSet, config: ProbeConfig, augment: AugmentConfig) -> None:
        self.config = config
        fit, test = pairs.split(config.test_share, config.seed)
        if not len(test):
            raise InputError("the probe needs pairs of two sequences or more; raise probe.pictures")
        self.fit, self.test = (read_examples(pairs, rows, augment) for rows in (fit, test))
        self._constants = self._without_network()

    def measure(self, model: CroCo) -> dict[str, float]:
        """Errors on the test pictures, in millimetres; the smaller the better.

        Returns:
            `probe_mpjpe_mm` and `probe_pa_mm`, those of the linear probe, the second after a similarity fit;
            `retrieval_pa_mm`, that of the pose of the most similar picture, by the cosine between features. What no
            network is needed for: `probe_mean_mm`, of the mean pose; `probe_pixels_mm`, of the same probe reading
            shrunken pictures; `retrieval_random_mm`, of the pose of a picture drawn at random, after a similarity fit.
        """
        fit, test = self._features(model, self.fit.pictures), self._features(model, self.test.pictures)
        predicted = self._read(fit, test)
        nearest = _cosines(fit, test).argmax(dim=1)
        return {
            "probe_mpjpe_mm": _mm(mpjpe(predicted, self.test.keypoints)),
            "probe_pa_mm": _mm(pa_mpjpe(predicted, self.test.keypoints)),
            "retrieval_pa_mm": _mm(pa_mpjpe(self.fit.keypoints[nearest], self.test.keypoints)),
            **self._constants,
        }

    @torch.no_grad()
    def _features(self, model: CroCo, pictures: NDArray[np.uint8]) -> Tensor:
        """(B, C) float64 pooled tokens on the CPU."""
        parts = []
        for start in range(0, len(pictures), self.config.batch):
            images = torch.from_numpy(pictures[start : start + self.config.batch]).permute(0, 3, 1, 2)
            tokens = model.features(normalise(images.to(model.mask_token.device)))
            parts.append(pool(tokens.float(), model.config.grid, self.config.grid).cpu())
        return torch.cat(parts).double()

    def _read(self, fit: Tensor, test: Tensor) -> Tensor:
        """(T, K, 3) key points of the test pictures, read from features (T, C) by a map fitted to (F, C)."""
        linear = fit_ridge(fit, self.fit.keypoints.flatten(1))
        return linear.apply(test).view_as(self.test.keypoints)

    def _without_network(self) -> dict[str, float]:
        """The figures that do not depend on a network."""
        true = self.test.keypoints
        small = [
            torch.from_numpy(np.stack([resize_square(picture, PIXELS) for picture in group.pictures])).flatten(1)
            for group in (self.fit, self.test)
        ]
        drawn = np.random.default_rng(self.config.seed).integers(
            len(self.fit.keypoints), size=(RANDOM_DRAWS, len(true))
        )
        others = self.fit.keypoints[torch.from_numpy(drawn)]  # (draws, T, K, 3)
        return {
            "probe_mean_mm": _mm(mpjpe(self.fit.keypoints.mean(dim=0).expand_as(true), true)),
            "probe_pixels_mm": _mm(mpjpe(self._read(small[0].double(), small[1].double()), true)),
            "retrieval_random_mm": _mm(pa_mpjpe(others, true.expand_as(others))),
        }


def read_examples(pairs: PairSet, rows: NDArray[np.int64], augment: AugmentConfig) -> Examples:
    """Both pictures of some pairs, with what they show.

    Raises:
        InputError: if a pair has no truth.
    """
    pictures: list[Rgb] = []
    keypoints = []
    for index in rows.tolist():
        reader, _ = pairs.locate(index)
        record = pairs.record(index)
        left = record.side == "left"
        for stored, picture in zip(
            pairs.images(index, augment.stored_size), (record.image1, record.image2), strict=True
        ):
            if picture.truth is None or reader.truth is None:
                raise InputError(f"{reader.path}: no key points in it; a probe needs `humanpt mkpairs synthetic`")
            seen, points = centre_view(stored, augment), _relative(picture, reader.truth.keypoint_names)
            pictures.append(np.ascontiguousarray(seen[:, ::-1]) if left else seen)
            keypoints.append(points * torch.tensor([-1.0, 1.0, 1.0]) if left else points)
    return Examples(np.stack(pictures), torch.stack(keypoints))


def _relative(picture: Picture, names: tuple[str, ...]) -> Tensor:
    """(K, 3) float64 key points in the axes of the camera, relative to the wrist or the middle of the hips, metres."""
    assert picture.truth is not None
    assert picture.cam_from_world is not None
    world = torch.from_numpy(picture.truth.keypoints.astype(np.float64))
    points = transform(torch.from_numpy(picture.cam_from_world.astype(np.float64)), world)
    roots = ("wrist",) if "wrist" in names else ("left_hip", "right_hip")
    return points - points[[names.index(root) for root in roots]].mean(dim=0)


def pool(tokens: Tensor, patches: tuple[int, int], cells: int) -> Tensor:
    """Average tokens in cells x cells parts of the picture.

    Args:
        tokens: (B, N, E), row-major.
        patches: rows and columns of patches.
        cells: cells along a side; cells overlap where the patches cannot be parted evenly.

    Returns:
        (B, E x cells x cells).
    """
    planes = tokens.mT.reshape(len(tokens), -1, *patches)  # (B, E, rows, columns)
    return functional.adaptive_avg_pool2d(planes, min(cells, *patches)).flatten(1)


class RidgeMap(NamedTuple):
    """An affine map from features to targets."""

    mean: Tensor
    """(C,) subtracted from the features."""
    spread: Tensor
    """(C,) by which they are then divided."""
    weights: Tensor
    """(C, D)."""
    offset: Tensor
    """(D,) added at the end."""

    def apply(self, features: Tensor) -> Tensor:
        """(B, C) features to (B, D) targets."""
        return (features - self.mean) / self.spread @ self.weights + self.offset


def fit_ridge(features: Tensor, targets: Tensor) -> RidgeMap:
    """Ridge regression on standardised features, its strength chosen by generalised cross-validation.

    The Gram matrix of the F examples is taken apart once; every strength then costs a few sums, however many features
    there are.

    Args:
        features: (F, C) float64.
        targets: (F, D) float64.

    Source: Golub, Heath and Wahba, Generalized cross-validation as a method for choosing a good ridge parameter,
    Technometrics 1979.
    """
    mean, spread = features.mean(dim=0), features.std(dim=0)
    spread = torch.where(spread > 0, spread, 1.0)  # what never varies tells nothing, and is 0 after centring
    standard, offset = (features - mean) / spread, targets.mean(dim=0)
    eigenvalues, basis = torch.linalg.eigh(standard @ standard.T)
    rotated = basis.T @ (targets - offset)  # (F, D)
    strengths = STRENGTHS * eigenvalues.mean().clamp_min(torch.finfo(torch.float64).tiny)
    left = strengths[:, None] / (eigenvalues.clamp_min(0) + strengths[:, None])  # (strengths, F) share left unexplained
    residual = left.square() @ rotated.square().sum(dim=1)
    freedom = left.sum(dim=1) - 1  # one is the offset's
    best = (residual / freedom.clamp_min(1e-9).square()).argmin()
    dual = basis @ (rotated * (left[best] / strengths[best])[:, None])
    return RidgeMap(mean, spread, standard.T @ dual, offset)


def _cosines(fit: Tensor, test: Tensor) -> Tensor:
    """(T, F) cosines between features, from their mean over the pictures to fit to."""
    centre = fit.mean(dim=0)
    return functional.normalize(test - centre, dim=1) @ functional.normalize(fit - centre, dim=1).T


def _mm(errors: Tensor) -> float:
    return float(errors.mean()) * MM
