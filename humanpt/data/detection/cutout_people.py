"""Makes cut-outs of generated people: whole figures, parts of them, and their hands from near.

Every person stands in one light and is looked at from several sides; nothing else is in view but what it holds. Hands
are shown twice over: on their person, with body and face behind them, and alone with a forearm, in many more gestures.
Empty rooms come along as backgrounds. Person n depends on the seed and n alone.

World axes: x right, y down, z forward, floor at y = 0; the person faces -z before it is turned.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from humanpt.body.model import BodyModel, load_body_model
from humanpt.data.detection.cutouts import LEFT, PERSON, RIGHT, CutOut, Framing, write_cutouts
from humanpt.data.mocap.read import free_motions, retarget
from humanpt.data.order import sample_rng
from humanpt.data.poses.sample import BodyPoses, HandPoses
from humanpt.errors import ConfigError
from humanpt.geometry.cameras import look_at, project, transform
from humanpt.render.appearance import draw_look
from humanpt.render.light import draw_light
from humanpt.render.props import PROPS, prop_mesh
from humanpt.render.room import draw_room
from humanpt.render.scene import Cameras, Pictures, Scene, Thing, render

Advance = Callable[[], None]
DEEPEST = 0.12  # nearest that anything comes to a camera, in metres
CHILD = (0.2, 0.55)  # of Anny's age, where 1/3 is a child and 2/3 a young adult


@dataclass(frozen=True, kw_only=True)
class CutOutConfig:
    """How many cut-outs are made, and of what."""

    people: int = 1500
    """Persons, each with a body, a pose, clothes and a light of its own."""
    figures: int = 3
    """Views of the whole person."""
    parts: int = 2
    """Views of a part of it."""
    hands: int = 3
    """Views of one of its hands from near."""
    lone_hands: int = 2
    """Views of another hand, of that person's number, alone with a forearm."""
    rooms: float = 0.2
    """Empty rooms for each person."""
    size: int = 288
    """Longer side of a cut-out, in pixels."""
    holding: float = 0.35
    """Share of hands that hold something."""
    recorded: float = 0.25
    """Share of body poses that are moments of the recorded motions that come with humanpt."""
    children: float = 0.12
    """Share of people who are children; the others follow the body model's own distribution."""
    seed: int = 0
    """Seed of every draw."""

    def __post_init__(self) -> None:
        if self.people < 1 or self.size < 32:
            raise ConfigError("cutouts.people must be at least 1 and cutouts.size at least 32")
        if min(self.figures, self.parts, self.hands, self.lone_hands) < 0:
            raise ConfigError("cutouts: numbers of views must not be negative")
        if not all(0 <= share <= 1 for share in (self.holding, self.rooms, self.recorded, self.children)):
            raise ConfigError("cutouts.holding, rooms, recorded and children are shares, from 0 to 1")


def make_cutouts(first: int, count: int, config: CutOutConfig, folder: Path, advance: Advance) -> None:
    """Write the cut-outs of persons `first` to `first + count - 1`.

    Args:
        folder: made anew, whole or not at all.
        advance: called after each person.

    Raises:
        OutputError: if the folder cannot be written.
    """
    maker = _Maker(config)
    with write_cutouts(folder) as add, torch.no_grad():
        for person in range(first, first + count):
            for cutout in maker.of_person(person):
                add(cutout)
            advance()


class _Maker:
    """Holds the models between persons."""

    def __init__(self, config: CutOutConfig) -> None:
        self.config = config
        self.body = load_body_model("anny-body")
        self.poses = BodyPoses(self.body)
        self.motions = free_motions()
        self.lone = {side: load_body_model("anny-hand", side=side) for side in ("left", "right")}
        self.gestures = {side: HandPoses(model) for side, model in self.lone.items()}
        self.body_label = _labels(self.body)
        self.body_hands = [torch.unique(self.body.faces[self.body_label == side]) for side in (LEFT, RIGHT)]

    def of_person(self, person: int) -> list[CutOut]:
        """All cut-outs of one person."""
        rng = sample_rng(self.config.seed, person)
        made = self._body(person, rng) if self.config.figures + self.config.parts + self.config.hands else []
        if self.config.lone_hands:
            made += self._hand(person, rng)
        if rng.random() < self.config.rooms:
            made.append(_room(person, self.config.size, rng))
        return made

    def _body(self, person: int, rng: np.random.Generator) -> list[CutOut]:
        shape, pose = self.body.sample_shape(rng, 1), self._pose(rng)
        if rng.random() < self.config.children:
            shape[0, self.body.layout.shape_names.index("age")] = rng.uniform(*CHILD)
        mesh = self.body(shape, pose, torch.zeros(1, 3))
        vertices = mesh.vertices[0] - torch.tensor([0.0, float(mesh.vertices[0, :, 1].max()), 0.0])
        points = mesh.keypoints[0] - mesh.vertices[0][0] + vertices[0]
        things = [
            Thing(
                vertices=vertices,
                faces=self.body.faces,
                rest=self.body.canonical,
                look=draw_look(rng, "body", self.body),
                joint=self.body.vertex_joint,
            )
        ]
        hands = [vertices[points] for points in self.body_hands]
        things += [_held(hand, 0.35, rng) for hand in hands if rng.random() < self.config.holding * 0.7]
        scene = Scene(things=tuple(things), room=None, light=draw_light(rng))
        size = self.config.size
        cameras = [_camera(vertices, size, rng, far=(1.6, 9.0)) for _ in range(self.config.figures)]
        framings = [Framing.FIGURE] * self.config.figures
        for _ in range(self.config.parts):
            target = points[int(rng.integers(13))] + torch.from_numpy(rng.normal(0, 0.12, 3)).float()
            reach = math.exp(rng.uniform(math.log(0.22), math.log(0.75)))
            cameras.append(_camera(_ball(target, reach), size, rng, far=(0.9, 5.0)))
            framings.append(Framing.PART)
        for _ in range(self.config.hands):
            hand = hands[int(rng.integers(2))] if rng.random() < 0.8 else torch.cat(hands)
            reach = float((hand - hand.mean(dim=0)).norm(dim=1).max()) * math.exp(
                rng.uniform(math.log(0.9), math.log(6))
            )
            target = hand.mean(dim=0) + torch.from_numpy(rng.normal(0, 0.25, 3)).float() * reach
            cameras.append(_camera(_ball(target, min(reach, 0.8)), size, rng, far=(0.45, 2.5)))
            framings.append(Framing.HAND)
        pictures = render(scene, _batch(cameras, size), supersample=1)
        return _cutouts(pictures, self.body_label, framings, person, dict(zip((LEFT, RIGHT), hands, strict=True)))

    def _pose(self, rng: np.random.Generator) -> Tensor:
        """(1, J, 3, 3): drawn by the sampler, or a moment of a recorded motion with drawn hands."""
        if rng.random() >= self.config.recorded:
            return self.poses.sample(rng, 1)
        motion = self.motions[int(rng.integers(len(self.motions)))]
        moment = int(rng.integers(len(motion)))
        return retarget(motion.cut(moment, moment + 1), self.body, rng=rng)[0]

    def _hand(self, person: int, rng: np.random.Generator) -> list[CutOut]:
        side = "left" if rng.random() < 0.5 else "right"
        model, label = self.lone[side], LEFT if side == "left" else RIGHT
        mesh = model(model.sample_shape(rng, 1), self.gestures[side].sample(rng, 1), torch.zeros(1, 3))
        vertices = mesh.vertices[0]
        hand = Thing(
            vertices=vertices,
            faces=model.faces,
            rest=model.canonical,
            look=draw_look(rng, "hand", model),
            joint=model.vertex_joint,
        )
        things = [hand] + ([_held(vertices, 0.13, rng)] if rng.random() < self.config.holding else [])
        size, cameras = self.config.size, []
        for _ in range(self.config.lone_hands):
            middle = vertices.mean(dim=0)
            reach = float((vertices - middle).norm(dim=1).max())
            around = _ball(
                middle + torch.from_numpy(rng.normal(0, 0.1, 3)).float() * reach, reach * rng.uniform(0.8, 2.2)
            )
            cameras.append(_camera(around, size, rng, far=(0.25, 1.2), anywhere=True))
        scene = Scene(things=tuple(things), room=None, light=draw_light(rng))
        pictures = render(scene, _batch(cameras, size), supersample=1)
        labels = torch.full((len(model.faces),), label)
        return _cutouts(pictures, labels, [Framing.HAND] * len(cameras), person, {label: vertices})


def _labels(model: BodyModel) -> Tensor:
    """(F,) what each face of a body shows."""
    names = model.layout.part_names
    label = torch.full((len(model.faces),), PERSON)
    label[model.parts == names.index("left_hand")] = LEFT
    label[model.parts == names.index("right_hand")] = RIGHT
    return label


def _held(hand: Tensor, largest: float, rng: np.random.Generator) -> Thing:
    """Something that a hand is at, of at most about `largest` metres."""
    kind = PROPS[int(rng.integers(len(PROPS)))]
    wide = math.exp(rng.uniform(math.log(0.02), math.log(largest)))
    size = tuple(float(wide * value) for value in rng.uniform(0.3, 1.2, 3))
    vertices, faces = prop_mesh(kind, (size[0], size[1], size[2]), int(rng.integers(1000)))  # type: ignore[arg-type]
    turned = vertices @ torch.from_numpy(_rotation(rng)).float()
    middle = hand.mean(dim=0) + torch.from_numpy(rng.normal(0, 0.03, 3)).float()
    return Thing(vertices=turned + middle, faces=faces, rest=vertices, look=draw_look(rng, "prop"))


def _rotation(rng: np.random.Generator) -> NDArray[np.float64]:
    """A rotation drawn evenly from all."""
    q, r = np.linalg.qr(rng.normal(0, 1, (3, 3)))
    q = q * np.sign(np.diag(r))
    return np.asarray(q * np.sign(np.linalg.det(q)), np.float64)


def _ball(middle: Tensor, radius: float) -> Tensor:
    """Points that stand for a ball."""
    axes = torch.cat([torch.eye(3), -torch.eye(3)])
    return middle + radius * axes


def _camera(
    around: Tensor, size: int, rng: np.random.Generator, far: tuple[float, float], anywhere: bool = False
) -> tuple[Tensor, Tensor]:
    """Intrinsics (3, 3) and pose (4, 4) of a camera that just sees some points (V, 3), from a drawn direction.

    Args:
        far: least and greatest distance from the middle of the points, in metres, where the points allow it.
        anywhere: from all directions and turned any way, as hands are seen; else mostly from about eye level, upright.
    """
    middle = (around.max(dim=0).values + around.min(dim=0).values) / 2
    turn = rng.uniform(-math.pi, math.pi)
    draw = rng.random()
    if anywhere:
        rise, roll = math.asin(rng.uniform(-1, 1)), rng.uniform(-math.pi, math.pi)
    else:
        low, high = (-0.3, 0.4) if draw < 0.62 else (0.3, 1.0) if draw < 0.92 else (0.9, 1.5)
        rise, roll = rng.uniform(low, high), rng.normal(0, 0.06)
    away = math.exp(rng.uniform(*np.log(far)))
    away = max(away, float((around - middle).norm(dim=1).max()) * 1.15 + DEEPEST)
    # The world's y points down and a person faces -z: at turn 0 the camera sees its face.
    way = torch.tensor([math.sin(turn) * math.cos(rise), -math.sin(rise), -math.cos(turn) * math.cos(rise)])
    eye = middle + away * way
    cam_from_world = look_at(eye, middle, roll)
    seen = project(transform(cam_from_world, around), torch.eye(3))
    low_corner, high_corner = seen.min(dim=0).values, seen.max(dim=0).values
    # Hair, hats and skirts reach beyond the body's own points.
    focal = 0.94 * size / float((high_corner - low_corner).max())
    centre = (size - 1) / 2 - focal * (low_corner + high_corner) / 2
    intrinsics = torch.tensor([[focal, 0, float(centre[0])], [0, focal, float(centre[1])], [0, 0, 1]])
    return intrinsics, cam_from_world


def _batch(cameras: Sequence[tuple[Tensor, Tensor]], size: int) -> Cameras:
    intrinsics, poses = zip(*cameras, strict=True)
    return Cameras(intrinsics=torch.stack(intrinsics), cam_from_world=torch.stack(poses), size=size)


def _cutouts(
    pictures: Pictures, labels: Tensor, framings: Sequence[Framing], person: int, hands: dict[int, Tensor]
) -> list[CutOut]:
    """Cut the pictures of a person, whose faces have these labels, to what is in view."""
    assembly, raster = pictures.assembly, pictures.raster
    own = assembly.face_source.clamp_min(0)
    face_label = torch.where(assembly.face_source >= 0, labels[own.clamp_max(len(labels) - 1)], PERSON)
    face_label = torch.where(assembly.face_thing == 0, face_label, 0)
    seen_label = torch.where(raster.face >= 0, face_label[raster.face.clamp_min(0)], 0).to(torch.uint8).numpy()
    rgba = torch.cat([pictures.rgb, pictures.alpha[..., None]], dim=3).numpy()
    made = []
    for view, framing in enumerate(framings):
        cut = _cut(rgba[view], seen_label[view])
        if cut is None:
            continue
        rows, columns, edges = cut
        seen = [0.0, 0.0]
        for side, points in hands.items():
            pose, intrinsics = pictures.cameras.cam_from_world[view], pictures.cameras.intrinsics[view]
            seen[side - LEFT] = _share_seen(points, pose, intrinsics, seen_label[view] == side)
        made.append(
            CutOut(
                rgba=np.ascontiguousarray(rgba[view, rows, columns]),
                label=np.ascontiguousarray(seen_label[view, rows, columns]),
                framing=framing,
                person=person,
                cut=edges if framing != Framing.FIGURE else (False,) * 4,
                seen=(seen[0], seen[1]),
            )
        )
    return made


def _cut(
    rgba: NDArray[np.uint8], label: NDArray[np.uint8]
) -> tuple[slice, slice, tuple[bool, bool, bool, bool]] | None:
    """The rows and columns with something in them, and which edges of the picture it touches; None if too little."""
    if (label > 0).mean() < 0.004:
        return None
    drawn = rgba[..., 3] > 0
    down, across = np.flatnonzero(drawn.any(axis=1)), np.flatnonzero(drawn.any(axis=0))
    rows, columns = slice(down[0], down[-1] + 1), slice(across[0], across[-1] + 1)
    size = len(label)
    edges = across[0] == 0, down[0] == 0, across[-1] == size - 1, down[-1] == size - 1
    return rows, columns, (bool(edges[0]), bool(edges[1]), bool(edges[2]), bool(edges[3]))


def _share_seen(points: Tensor, pose: Tensor, intrinsics: Tensor, shown: NDArray[np.bool_]) -> float:
    """Share of a hand's points that lie within its visible outline."""
    cam = transform(pose, points)
    pixels = project(cam, intrinsics).round().long()
    size = len(shown)
    inside = ((pixels >= 0) & (pixels < size)).all(dim=1) & (cam[:, 2] > 0.01)
    x, y = pixels[inside].T.numpy()
    return float(shown[y, x].sum() / len(points))


def _room(person: int, size: int, rng: np.random.Generator) -> CutOut:
    """A picture of a room with things standing about and nobody in it."""
    things = []
    for _ in range(int(rng.integers(1, 7))):
        kind = PROPS[int(rng.integers(len(PROPS)))]
        extent = np.exp(rng.uniform(np.log(0.08), np.log(1.2), 3))
        vertices, faces = prop_mesh(kind, (extent[0], extent[1], extent[2]), int(rng.integers(1000)))  # type: ignore[arg-type]
        place = torch.tensor([rng.uniform(-1.5, 1.5), float(-vertices[:, 1].max()), rng.uniform(-1.5, 1.5)])
        things.append(Thing(vertices=vertices + place.float(), faces=faces, rest=vertices, look=draw_look(rng, "prop")))
    near = "body" if rng.random() < 0.7 else "hand"
    scene = Scene(things=tuple(things), room=draw_room(rng, near), light=draw_light(rng))  # type: ignore[arg-type]
    around = _ball(torch.tensor([0.0, -rng.uniform(0.2, 1.4), 0.0]).float(), float(rng.uniform(0.5, 1.2)))
    pictures = render(scene, _batch([_camera(around, size, rng, far=(2.0, 4.0))], size), supersample=1)
    opaque = np.full((size, size, 1), 255, np.uint8)
    return CutOut(
        rgba=np.concatenate([pictures.rgb[0].numpy(), opaque], axis=2),
        label=np.zeros((size, size), np.uint8),
        framing=Framing.ROOM,
        person=person,
        cut=(True,) * 4,
        seen=(0.0, 0.0),
    )
