"""Hand and body meshes from one picture or two: loss, held-out figures, and predictions in the picture's camera.

Losses are ours: L1 on vertices and key points relative to the root and on projected key points, which teach the turn of
the whole (`only_turned`) and the camera; on both after alignment, on their size and on the camera; squared error on
rotation matrices and shape. What is not labelled counts nothing. The network speaks of right hands in the
camera of the crop (`models.mesh_heads`); `predict` brings its answers back to the hand and the camera of the picture,
exactly.

Letters: B batch, N pictures, S side of a crop, K key points, V vertices, J joints, P shape parameters.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from humanpt.data.image import Rgb, resize_square
from humanpt.engine.average import Averaged
from humanpt.geometry.alignment import enough_known, fit_known
from humanpt.geometry.cameras import crop_intrinsics, project
from humanpt.losses import known_l1, known_square
from humanpt.metrics.pose import point_errors
from humanpt.models.mesh_heads import UNIT, MeshNetwork, MeshPrediction, ModelPoints, PointHead, camera_of, seen_at
from humanpt.render.overlay import draw_mesh
from humanpt.tasks.mesh_config import MeshConfig
from humanpt.tasks.mesh_placing import placed
from humanpt.tasks.mesh_samples import OTHER_HAND, MeshBatch, MeshSamples, collate, turn_pose

__all__ = [
    "MeshBatch",
    "MeshConfig",
    "MeshSamples",
    "MeshTask",
    "MeshTruth",
    "Recovered",
    "collate",
    "predict",
    "truth_of",
]

MM = 1000.0
SHOWN = 8  # held-out pictures with overlays
SHOWN_SIDE = 224  # pixels of a picture drawn, at least: a small network's crops show little
MEAN_ROUNDS = 5  # of aligning all poses to their mean, which settles after two or three


class MeshTruth(NamedTuple):
    """Labels of a batch in the axes of the crop's camera; NaN or None where not known."""

    keypoints: Tensor
    """(B, K, 3) metres."""
    vertices: Tensor | None
    """(B, V, 3) metres."""
    pose: Tensor | None
    """(B, J, 3, 3)."""
    turn: Tensor | None
    """(B, 3, 3) rotation by which hand or hips are turned."""
    shape: Tensor | None
    """(B, P)."""
    camera: Tensor
    """(B, 3) s, tx and ty of the root."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Recovered:
    """Meshes of the hands and bodies as they are, in the axes of the picture's camera, metres; CPU tensors."""

    index: Tensor
    """(B,) int64 numbers of the samples in their set."""
    keypoints: Tensor
    """(B, K, 3), named by `MeshNetwork.keypoint_names`."""
    vertices: Tensor
    """(B, V, 3); those of left hands belong to the left hand of the body model."""
    pixels: Tensor
    """(B, K, 2) the key points in pixels of the picture."""
    pose: Tensor | None
    """(B, J, 3, 3) as the body model of that side takes it; None without a model's parameters."""
    shape: Tensor | None
    """(B, P) None likewise."""
    transl: Tensor | None
    """(B, 3) None likewise."""
    focal: Tensor
    """(B, 2) focal lengths fx and fy of the picture, pixels, by which depths were told."""
    focal_assumed: Tensor
    """(B,) bool, whether that focal length is a guess; depths scale with it."""


class MeshTask:
    """Training step, held-out figures and pictures of mesh recovery; meets `engine.task.Task`.

    Args:
        config: everything about it.
        network: what is trained; with a running mean, that is what is measured.
        heldout: samples to measure on, not augmented; None for a task that only trains.
    """

    def __init__(
        self,
        config: MeshConfig,
        network: MeshNetwork | Averaged[MeshNetwork],
        heldout: MeshSamples | None = None,
    ) -> None:
        self.config = config
        self.model = network
        self.heldout = heldout
        self._mean_pose: tuple[float, float] | None = None

    @property
    def network(self) -> MeshNetwork:
        """The network that is trained."""
        return self.model.network if isinstance(self.model, Averaged) else self.model

    def loss(self, batch: MeshBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of one batch, and its terms before they are weighted."""
        image1, image2 = batch.views()
        predicted = self.model(image1, image2, intrinsics=batch.intrinsics)
        return self._measure(predicted, truth_of(self.network.points, batch), batch)

    def _measure(
        self, predicted: MeshPrediction, true: MeshTruth, batch: MeshBatch
    ) -> tuple[Tensor, dict[str, Tensor]]:
        with torch.autocast(self._device.type, enabled=False):  # half a float is a millimetre and more
            terms = self._terms(predicted, true, batch)
            weighted = [getattr(self.config, f"{name}_weight") * term for name, term in terms.items()]
        return torch.stack(weighted).sum(), {name: term.detach() for name, term in terms.items()}

    def _terms(self, predicted: MeshPrediction, true: MeshTruth, batch: MeshBatch) -> dict[str, Tensor]:
        size = batch.image1.shape[-1]
        root, unit = self.network.points.root_of, UNIT[self.config.subject]
        place = root(predicted.keypoints)
        mine, theirs = predicted.keypoints - place, true.keypoints - root(true.keypoints)
        turned, aligned = only_turned(mine, predicted.turn), [(predicted.keypoints, true.keypoints)]
        in_space = enough_known(true.keypoints)[:, None, None]  # who is not learns all of the pose from pixels
        seen = seen_at(torch.where(in_space, turned, mine), place, batch.intrinsics)
        terms = {
            "keypoints": known_l1(turned, theirs) / unit,
            "pixels": known_l1(seen, batch.pixels) / (size / 2),
            "size": known_l1(*_log_sizes(mine, theirs)),
            "camera": 3 * known_l1(*(_log_scale(camera) for camera in (predicted.camera, true.camera))),
        }
        if true.vertices is not None:
            mine, theirs = predicted.vertices - place, true.vertices - root(true.keypoints)
            aligned.append((predicted.vertices, true.vertices))
            terms["vertices"] = known_l1(only_turned(mine, predicted.turn), theirs) / unit
        labelled = torch.stack([enough_known(points).any() for _, points in aligned]).sum()
        terms["aligned"] = torch.stack([aligned_l1(*points) for points in aligned]).sum() / labelled.clamp_min(1) / unit
        if true.turn is not None:
            terms["turn"] = 9 * known_square(predicted.turn, true.turn)
        if predicted.pose is not None and true.pose is not None:
            terms["pose"] = 9 * known_square(predicted.pose[:, 1:], true.pose[:, 1:])
        if predicted.shape is not None and true.shape is not None:
            terms["shape"] = known_square(predicted.shape, true.shape)
        if predicted.heat is not None:
            terms |= self._where_seen(predicted.heat, 2 * batch.pixels / size + (1 - size) / size)
        if predicted.side is not None:
            known = batch.right.isfinite()
            odds = math.log((1 - OTHER_HAND) / OTHER_HAND)  # of right hands in training; the network's are even ones
            terms["side"] = functional.binary_cross_entropy_with_logits(
                predicted.side + odds, batch.right.nan_to_num(), known
            )
        return terms

    def _where_seen(self, heat: Tensor, places: Tensor) -> dict[str, Tensor]:
        """Errors of the maps of a head of points (B, N, K) against places (B, K, 2), in half crops; inside alone."""
        inside = (places.abs() < 1).all(dim=-1, keepdim=True)  # which is False where they are not known
        places = places.masked_fill(~inside, torch.nan)
        head = self.network.head
        assert isinstance(head, PointHead)
        expected = heat.exp().mT @ head.places
        wanted = spread_over(places, head.grid)
        found = torch.where(inside[..., 0], -(wanted * heat.mT).sum(dim=-1), 0)
        return {"places": known_l1(expected, places), "heat": found.sum() / inside.sum().clamp_min(1)}

    @torch.no_grad()
    def evaluate(self) -> dict[str, float]:
        """Figures on the held-out pictures; those in mm are means over the points that are known.

        Returns:
            `loss`; `mpjpe_mm` of key points relative to the root and `pa_mpjpe_mm` after a similarity fit; `pve_mm`
            and `pa_pve_mm`, the same of vertices, where they are known. `mean_pa_mpjpe_mm` is what the mean of the
            held-out poses themselves would score, the best guess without looking. `side_accuracy` of crops and of their
            mirror images, from a network that says which hand they show. Empty when nothing is held out.
        """
        if self.heldout is None:
            return {}
        root = self.network.points.root_of
        named = self.heldout.shared[:, 0]
        losses, errors, poses, sides = 0.0, dict[str, list[Tensor]](), [], list[Tensor]()
        for batch in self._heldout_batches():
            image1, image2 = batch.views()
            predicted = self.model(image1, image2, intrinsics=batch.intrinsics)
            true = truth_of(self.network.points, batch)
            losses += float(self._measure(predicted, true, batch)[0]) * len(batch) / len(self.heldout)
            mine, theirs = predicted.keypoints - root(predicted.keypoints), true.keypoints - root(true.keypoints)
            pairs = {"mpjpe": (mine[:, named], theirs[:, named])}
            if true.vertices is not None:
                pairs["pve"] = (
                    predicted.vertices - root(predicted.keypoints),
                    true.vertices - root(true.keypoints),
                )
            for name, (points, targets) in pairs.items():
                known = enough_known(targets)
                points, targets = points[known], targets[known]
                moved = fit_known(points, targets).apply(points)
                errors.setdefault(f"{name}_mm", []).append(point_errors(points, targets).nanmean(dim=1).cpu())
                errors.setdefault(f"pa_{name}_mm", []).append(point_errors(moved, targets).nanmean(dim=1).cpu())
            poses.append(pairs["mpjpe"][1].cpu())
            if predicted.side is not None:
                mirrored = self.model(image1.flip(-1), intrinsics=batch.intrinsics).side
                known = batch.right.isfinite()
                sides += [(predicted.side > 0)[known], (mirrored < 0)[known]]
        figures = {name: torch.cat(parts).mean().item() * MM for name, parts in errors.items() if len(torch.cat(parts))}
        if sides:
            figures["side_accuracy"] = torch.cat(sides).float().mean().item()
        return {"loss": losses, **figures, **mean_pose_figures(torch.cat(poses))}

    @torch.no_grad()
    def pictures(self) -> dict[str, Rgb]:
        """Held-out crops, and the predicted meshes drawn over them, large enough to be looked at."""
        if self.heldout is None:
            return {}
        batch = collate([self.heldout[place] for place in range(min(SHOWN, len(self.heldout)))]).to(self._device)
        image1, image2 = batch.views()
        predicted = self.model(image1, image2, intrinsics=batch.intrinsics)
        faces, drawn = self.network.body.faces.cpu(), {}
        for row in range(len(batch)):
            crop = np.ascontiguousarray(batch.image1[row].permute(1, 2, 0).cpu().numpy())
            side, whole = max(SHOWN_SIDE, len(crop)), torch.tensor([-0.5, -0.5, len(crop) - 0.5, len(crop) - 0.5])
            intrinsics = crop_intrinsics(batch.intrinsics[row].cpu(), whole, side)
            shown = resize_square(crop, side)
            mesh = draw_mesh(shown, predicted.vertices[row].cpu(), faces, intrinsics)
            drawn[f"mesh/{row}"] = np.hstack([shown, mesh])
        return drawn

    def _heldout_batches(self) -> Iterator[MeshBatch]:
        assert self.heldout is not None
        count, size = len(self.heldout), self.config.heldout_batch
        for start in range(0, count, size):
            places = range(start, min(start + size, count))
            yield collate([self.heldout[place] for place in places]).to(self._device)

    @property
    def _device(self) -> torch.device:
        return self.network.mean_camera.device


@torch.no_grad()
def truth_of(points: ModelPoints, batch: MeshBatch) -> MeshTruth:
    """The labels of a batch in the axes of the crop's camera, vertices that follow from pose and shape computed.

    Args:
        points: the network's body model.
        batch: on its device.
    """
    keypoints, vertices, pose, shape = batch.keypoints, batch.vertices, batch.pose, batch.shape
    with torch.autocast(keypoints.device.type, enabled=False):  # half a float moves labels by millimetres
        if pose is not None:
            pose = turn_pose(points.body, pose, batch.crop_from_cam)
        if vertices is None and pose is not None and shape is not None:
            known = pose.isfinite().all(dim=(1, 2, 3)) & shape.isfinite().all(dim=1)
            whole_pose = torch.where(known[:, None, None, None], pose, points.body.identity_pose())
            whole_shape = torch.where(known[:, None], shape, points.body.mean_shape())
            _, vertices, _ = points(whole_shape, whole_pose)
            vertices = (vertices + points.root_of(keypoints)).masked_fill(~known[:, None, None], torch.nan)
        camera = camera_of(points.root_of(keypoints)[:, 0], batch.intrinsics, batch.image1.shape[-1])
        turn = None if pose is None else points.turn_of(pose)
    return MeshTruth(keypoints, vertices, pose, turn, shape, camera)


@torch.no_grad()
def predict(network: MeshNetwork, batch: MeshBatch) -> Recovered:
    """Predict the meshes of a batch as they are: in the camera of the picture, left hands as left hands.

    Args:
        network: in evaluation mode, or whatever mode it should be asked in.
        batch: on the network's device.
    """
    image1, image2 = batch.views()
    predicted: MeshPrediction = network(image1, image2, intrinsics=batch.intrinsics)
    with torch.autocast(batch.image1.device.type, enabled=False):  # half a float is millimetres, and many pixels
        found = placed(network.body, predicted, batch.crop_from_cam, batch.mirrored)
        pixels = project(found.keypoints, batch.picture_intrinsics)
    on_cpu: dict[str, Any] = {name: None if value is None else value.cpu() for name, value in found._asdict().items()}
    return Recovered(
        index=batch.index.cpu(),
        **on_cpu,
        pixels=pixels.cpu(),
        focal=batch.picture_intrinsics.diagonal(dim1=1, dim2=2)[:, :2].cpu(),
        focal_assumed=batch.assumed.cpu(),
    )


def spread_over(places: Tensor, grid: tuple[int, int]) -> Tensor:
    """Points as shares of the up to four cells around them, by which a weighted mean of middles gives them back.

    Args:
        places: (B, K, 2) x, y in half crops from the crop's middle; what is not finite counts as the middle, and what
            is beyond the outermost middles as these.
        grid: rows and columns.

    Returns:
        (B, K, rows * columns), each 1 in all.
    """
    shares = []
    for axis, count in ((1, grid[0]), (0, grid[1])):
        at = ((places[..., axis, None].nan_to_num() + 1) / 2 * count - 0.5).clamp(0, count - 1)
        shares.append((1 - (at - torch.arange(count, device=places.device)).abs()).clamp_min(0))
    return (shares[0][..., :, None] * shares[1][..., None, :]).flatten(-2)


def only_turned(points: Tensor, turn: Tensor) -> Tensor:
    """The same points, through which an error teaches how the whole is turned, and not what it looks like.

    A network that is unsure of the turn makes the mean error lower by curling up whatever it predicts. It does not when
    such errors teach the turn alone, and aligned ones the rest: 250 steps of 64 hands at 64 px gave a PA-MPJPE of 12.8
    mm instead of 13.5, that of the mean pose being 12.9.

    Args:
        points: (B, K, 3) relative to the root.
        turn: (B, 3, 3) rotation by which they are turned.
    """
    return (points @ turn).detach() @ turn.mT


def aligned_l1(predicted: Tensor, true: Tensor) -> Tensor:
    """The mean absolute error after the similarity that brings each prediction nearest to what is known of its truth.

    Args:
        predicted: (B, K, 3).
        true: (B, K, 3); what is not finite counts nothing, and nothing of a row that is not `enough_known`.
    """
    with torch.no_grad():
        fit = fit_known(predicted, true)
    return known_l1(fit.apply(predicted), true.masked_fill(~enough_known(true)[:, None, None], torch.nan))


def _log_sizes(predicted: Tensor, true: Tensor) -> tuple[Tensor, Tensor]:
    """The logarithm of the root mean square distance from the root, of points (B, K, 3) and of their truth.

    Over those points that are known; (B,) each, NaN for a truth that is not `enough_known`.
    """
    known, enough = true.isfinite().all(dim=-1), enough_known(true)
    sizes = []
    for points in (predicted, true):
        squares = torch.where(known, torch.where(known[..., None], points, 1).square().sum(dim=-1), 0)
        mean = squares.sum(dim=1) / known.sum(dim=1).clamp_min(1)
        sizes.append(torch.where(enough, mean, 1).log() / 2)
    return sizes[0], sizes[1].masked_fill(~enough, torch.nan)


def _log_scale(camera: Tensor) -> Tensor:
    """(B, 3) s, tx, ty with the logarithm of s."""
    return torch.cat((camera[:, :1].log(), camera[:, 1:]), dim=1)


def mean_pose_figures(poses: Tensor) -> dict[str, float]:
    """What the mean of some poses scores on them after a similarity fit, in mm; empty without poses.

    Args:
        poses: (N, K, 3) metres, NaN where not known; what is not `enough_known` does not count.
    """
    poses = poses[enough_known(poses)]
    if not len(poses):
        return {}
    known = poses.isfinite()
    mean = poses[known.sum(dim=(1, 2)).argmax()]
    for _ in range(MEAN_ROUNDS):
        onto = mean.expand_as(poses).masked_fill(~known, torch.nan)
        mean = fit_known(poses, onto).apply(poses)[enough_known(onto)].nanmean(dim=0)
    moved = fit_known(mean.expand_as(poses), poses).apply(mean.expand_as(poses))
    return {"mean_pa_mpjpe_mm": point_errors(moved, poses).nanmean(dim=1).mean().item() * MM}
