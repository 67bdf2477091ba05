"""One generated pair: a scene is drawn, looked at by two cameras or at two moments, judged, and told with its truth.

Letters: V vertices, K key points, S size of a picture.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from humanpt.body.model import BodyModel
from humanpt.data.image import encode_jpeg, warp_mask
from humanpt.data.people.cast import Cast, PoseStock
from humanpt.data.people.config import PeopleConfig
from humanpt.data.people.cover import ELSE, cover_of, pack_cover, pack_worn, shown_points
from humanpt.data.people.scenes import GeneratedScene, draw_scene
from humanpt.data.people.staging import one_thread
from humanpt.data.people.viewpoints import View, draw_views
from humanpt.data.records import Kind, PairRecord, Picture, Side, Truth
from humanpt.errors import ConfigError
from humanpt.geometry.cameras import crop_intrinsics, project, transform
from humanpt.geometry.two_view import pair_score, shared_sight
from humanpt.render.rasterize import Raster, visible_points
from humanpt.render.scene import Assembly, Cameras, Scene, assemble, label_raster, render

SCENES = 16
"""Scenes in a sequence."""
TRIES = 40
"""Scenes drawn for one pair before it is given up."""

REASONS = {
    "camera": "no place for the cameras",
    "still": "changed less than min_motion",
    "far": "changed more than max_motion",
    "hidden": "too little of the subject to be seen",
}
"""Why a drawn scene was not taken, and another was drawn in its place."""

_SUBJECT = {"body": 0, "hand": 1}


def draw_pair(number: int, config: PeopleConfig, cast: Cast) -> PairRecord:
    """Pair number `number` of a configuration by itself; its sources are 0 and 1."""
    with one_thread():
        return PairMaker(config, Counter(), cast).pair(number, 0)


def kind_of(scene: int, config: PeopleConfig) -> Kind:
    """What the pairs of a scene are: evenly spread, in the shares that the config wants."""
    before, after = (math.floor(number * config.cross_view + 1e-9) for number in (scene, scene + 1))
    return Kind.CROSS_VIEW if after > before else Kind.CROSS_POSE


def side_of(scene: int, config: PeopleConfig) -> Side:
    """Which hand a scene shows: half of them each, in both kinds of pair."""
    return "none" if config.subject == "body" else ("right", "left")[scene // 2 % 2]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Sight:
    """What one picture of a pair will show, before it has colours."""

    view: View
    moment: int
    """Which moment of the scene it shows."""
    scene: Scene
    assembly: Assembly
    cameras: Cameras
    """A batch of one or two; one scene is drawn for both pictures at once."""
    at: int
    """Which of them."""
    raster: Raster
    """Of that one alone."""
    cover: NDArray[np.uint8]
    """(S, S) see data/people/cover.py."""
    visible: NDArray[np.bool_]
    """(K,) key points that it shows."""
    seen: float
    """Share of the key points that nothing but the subject itself hides."""


class PairMaker:
    """Makes pairs one by one, and keeps what neighbours share."""

    def __init__(self, config: PeopleConfig, rejected: Counter[str], cast: Cast | None = None) -> None:
        self.config = config
        self.cast = cast or Cast(config)
        self.rejected = rejected
        self._stock: tuple[int, PoseStock] | None = None
        self._scene: tuple[tuple[int, int], GeneratedScene] | None = None
        self._depths = {side: _keypoint_depths(model) for side, model in self.cast.models.items()}

    def pair(self, number: int, source: int) -> PairRecord:
        """Pair `number`, its first camera being source number `source` of the shard, its second the next."""
        config = self.config
        place, turn = divmod(number, config.pairs_per_scene)
        kind = kind_of(place, config)
        why: Counter[str] = Counter()
        for attempt in range(TRIES):
            rng = self._rng(place, 2, attempt, turn)
            scene = self._draw(place, attempt, kind)
            subjects = tuple(people[0].vertices[0].double().numpy() for people in scene.meshes)
            try:
                views = draw_views(
                    rng,
                    (subjects[0], subjects[-1]),
                    scene.free,
                    config.views,
                    config.pairs.margin,
                    cross_view=kind == Kind.CROSS_VIEW,
                )
            except ConfigError:
                why["camera"] += 1
                continue
            reason, change = self._judge(scene, views, kind)
            if reason is None:
                sights = self._look(scene, views)
                if min(sight.seen for sight in sights) >= config.min_seen:
                    self.rejected.update(why)
                    return self._record(place, source, kind, scene, sights, change)
                reason = "hidden"
            why[reason] += 1
        most = max(why, key=why.__getitem__)
        tips = {
            "camera": "widen views.min_fov to views.max_fov, the fills or the elevations",
            "still": "set pairs.min_motion lower or pairs.max_gap higher",
            "far": "set pairs.max_motion higher or pairs.max_gap lower",
            "hidden": "set min_seen or crowd.props lower",
        }
        raise ConfigError(
            f"pair {number}: none of {TRIES} scenes drawn passed the rules ({REASONS[most]}); {tips[most]}"
        )

    def _rng(self, *place: int) -> np.random.Generator:
        return np.random.default_rng([self.config.seed, _SUBJECT[self.config.subject], *place])

    def _draw(self, place: int, attempt: int, kind: Kind) -> GeneratedScene:
        """The scene of a place, or another one if the first ones would not do."""
        if self._scene is None or self._scene[0] != (place, attempt):
            block = place // SCENES
            if self._stock is None or self._stock[0] != block:
                self._stock = block, PoseStock(self.cast, self._rng(block, 1))
            scene = draw_scene(
                self.config,
                self.cast,
                self._rng(place, 0, attempt),
                moments=1 if kind == Kind.CROSS_VIEW else 2,
                side=side_of(place, self.config),
                stock=self._stock[1],
                number=place % SCENES,
            )
            self._scene = (place, attempt), scene
        return self._scene[1]

    def _judge(self, scene: GeneratedScene, views: tuple[View, View], kind: Kind) -> tuple[str | None, float]:
        """Why a pair is not to be taken, as far as that is known before it is drawn, and its change.

        The change is the mean shift of the key points between the boxes of the subject, over the size of the box.
        """
        moments = (0, len(scene.meshes) - 1)
        places = []
        for moment, view in zip(moments, views, strict=True):
            points = transform(view.cam_from_world, scene.meshes[moment][0].keypoints[0])
            pixels = project(points, view.intrinsics).double().numpy()
            corner, size = view.box[:2], float((view.box[2:] - view.box[:2]).max())
            places.append((pixels - corner - (view.box[2:] - corner) / 2) / size)
        change = float(np.linalg.norm(places[0] - places[1], axis=1).mean())
        if kind == Kind.CROSS_POSE and change < self.config.pairs.min_motion:
            return "still", change
        if kind == Kind.CROSS_POSE and change > self.config.pairs.max_motion:
            return "far", change
        return None, change

    def _look(self, scene: GeneratedScene, views: tuple[View, View]) -> list[_Sight]:
        """What both pictures show: two of one moment, or one of each of two."""
        size, device = self.config.pairs.crop_size, torch.device(self.config.device)
        intrinsics = [crop_intrinsics(v.intrinsics, torch.from_numpy(v.square), size) for v in views]
        sights = []
        for moment, members in [(0, (0, 1))] if len(scene.meshes) == 1 else [(0, (0,)), (1, (1,))]:
            staged = scene.stage(moment, device=device)
            assembly = assemble(staged.things)
            cameras = Cameras(
                intrinsics=torch.stack([intrinsics[k] for k in members]).to(device),
                cam_from_world=torch.stack([views[k].cam_from_world for k in members]).to(device),
                size=size,
            )
            raster = label_raster(assembly, cameras)
            covers = cover_of(assembly, raster, loose=self.config.subject == "body")
            keypoints = scene.meshes[moment][0].keypoints[0]
            for at, k in enumerate(members):
                uncovered, visible = shown_points(
                    transform(views[k].cam_from_world, keypoints),
                    intrinsics[k],
                    covers[at],
                    raster.depth[at],
                    self._depths[scene.people[moment][0].side],
                )
                sights.append(
                    _Sight(
                        view=views[k],
                        moment=moment,
                        scene=staged,
                        assembly=assembly,
                        cameras=cameras,
                        at=at,
                        raster=raster[at],
                        cover=covers[at],
                        visible=visible,
                        seen=float(uncovered.mean()),
                    )
                )
        return sights

    def _colours(self, sights: list[_Sight]) -> list[NDArray[np.uint8]]:
        """The finished pictures, (S, S, 3) each."""
        finished: list[NDArray[np.uint8]] = []
        for sight in sights:
            if sight.at == 0:
                pictures = render(sight.scene, sight.cameras, self.config.supersample, sight.assembly)
                finished += list(pictures.rgb.cpu().numpy())
        return finished

    def _record(
        self, place: int, source: int, kind: Kind, scene: GeneratedScene, sights: list[_Sight], change: float
    ) -> PairRecord:
        second, score = source, float("nan")
        if kind == Kind.CROSS_VIEW:
            second, score = source + 1, _pair_score(sights, scene.meshes[0][0].vertices.shape[1])
        image1, image2 = (
            self._picture(scene, sight, rgb, camera)
            for sight, rgb, camera in zip(sights, self._colours(sights), (source, second), strict=True)
        )
        return PairRecord(
            image1=image1,
            image2=image2,
            kind=kind,
            subject=f"{self.config.subject}-{self.config.seed}-{place}",
            track=place % SCENES,
            side=scene.people[0][0].side,
            change=change,
            pair_score=score,
        )

    def _picture(self, scene: GeneratedScene, sight: _Sight, rgb: NDArray[np.uint8], source: int) -> Picture:
        config, view, person = self.config, sight.view, scene.people[sight.moment][0]
        size, frame = config.pairs.crop_size, config.views.frame_size
        whole = (-0.5, -0.5, size - 0.5, size - 0.5)
        return Picture(
            jpeg=encode_jpeg(rgb, config.pairs.jpeg_quality),
            mask=warp_mask(sight.cover != ELSE, whole, 64, (size, size)),
            mask_kind="rendered",
            source=source,
            frame=scene.frames[sight.moment],
            timestamp=scene.times[sight.moment],
            box=view.box,
            square=view.square,
            image_size=(frame, frame),
            score=1.0,
            intrinsics=view.intrinsics.double().numpy(),
            cam_from_world=view.cam_from_world.double().numpy(),
            truth=Truth(
                shape=person.shape,
                pose=person.pose,
                transl=person.transl,
                keypoints=scene.meshes[sight.moment][0].keypoints[0].numpy(),
                visible=sight.visible,
                cover=pack_cover(sight.cover),
                worn=pack_worn(scene.looks[0]),
            ),
        )


def _pair_score(sights: list[_Sight], own: int) -> float:
    """Score of a cross-view pair, from the vertices that each picture shows and the angle between the optical axes.

    The first `own` vertices of what was drawn are the subject's.
    """
    seen, axes = [], []
    for sight in sights:
        assembly, intrinsics = sight.assembly, sight.cameras.intrinsics[sight.at]
        pose = sight.cameras.cam_from_world[sight.at]
        points = transform(pose, assembly.vertices[:own])[None]
        facing = ((assembly.normals[:own] @ pose[:3, :3].T) * points[0]).sum(1) < 0
        # A vertex lies between pixel centres, so it may be a pixel's worth of slope behind what they show.
        slack = 3 * points[0, :, 2] / intrinsics[0, 0]
        seen.append(facing & visible_points(points, sight.raster, intrinsics[None], slack)[0])
        axes.append(pose[2, :3])
    angle = torch.acos((axes[0] * axes[1]).sum().clamp(-1, 1))
    return float(pair_score(shared_sight(seen[0], seen[1]), angle))


def _keypoint_depths(model: BodyModel) -> Tensor:
    """(K,) metres that each key point may lie below the surface, with clothes on."""
    with torch.no_grad():
        mesh = model(model.mean_shape(), model.identity_pose(), torch.zeros(1, 3))
    nearest = torch.cdist(mesh.keypoints[0], mesh.vertices[0]).amin(1)
    return 1.6 * nearest + (0.03 if model.layout.subject == "body" else 0.006)
