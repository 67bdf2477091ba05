"""Generated scenes: somebody in a room, in one pose or at two moments of a motion, with other people and things around.

Everything is drawn from one random generator in a fixed order, so a scene follows from its seed. World axes are
x right, y down, z forward, the floor is y = 0, and the subject is near the origin.

Letters: V vertices, J joints, T moments.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray

from humanpt.body.model import BodyMesh, BodyModel
from humanpt.data.mocap.library import Moments
from humanpt.data.people.cast import POSES, Cast, PoseStock
from humanpt.data.people.config import PeopleConfig
from humanpt.data.people.cover import storable
from humanpt.data.people.props import draw_floating, draw_held, draw_standing, prop_on
from humanpt.data.people.staging import Floats, Person, body_model, mesh_at_origin, moved, random_rotation, rotation
from humanpt.data.records import Side
from humanpt.render.appearance import Look, draw_look
from humanpt.render.light import Light, draw_light
from humanpt.render.room import Room, draw_room
from humanpt.render.scene import Scene, Thing

HAND_RATE = 24.0
"""Poses per second along a path from one natural hand pose to another."""
MOST_OTHERS, MOST_PROPS = 3, 5
Box = tuple[NDArray[np.float64], NDArray[np.float64]]
CAMERA_GAP = 0.12  # metres between a camera and the nearest wall, floor or piece of furniture


@dataclass(frozen=True, kw_only=True, eq=False)
class GeneratedScene:
    """Somebody somewhere, at one or more moments."""

    subject: str
    """body or hand."""
    model: str
    """The body model of everybody in it."""
    people: tuple[tuple[Person, ...], ...]
    """At each moment, everybody (or every hand), the subject first and always in the same order."""
    meshes: tuple[tuple[BodyMesh, ...], ...]
    """At each moment, the mesh of each of them, a batch of one."""
    looks: tuple[Look, ...]
    """How each of them looks."""
    props: tuple[Thing, ...]
    """What else stands about."""
    held: tuple[Thing, ...]
    """At each moment, what the subject holds; empty if it holds nothing."""
    room: Room
    """Where it is."""
    light: Light
    """How it is lit."""
    times: tuple[float, ...]
    """When each moment is, in seconds."""
    frames: tuple[int, ...]
    """Which pose of the motion each moment is."""

    def stage(
        self, moment: int = 0, *, room: bool = True, alone: bool = False, device: torch.device | None = None
    ) -> Scene:
        """What the renderer draws: people first, in their order, then things.

        Args:
            moment: which.
            room: with the room, or on nothing, for cut-outs.
            alone: the subject by itself.
            device: where it is drawn; the CPU by default.
        """
        device = device or torch.device("cpu")
        things = []
        for person, mesh, look in zip(self.people[moment], self.meshes[moment], self.looks, strict=True):
            faces, rest, joint = _model_on(self.model, person.side, device)
            things.append(Thing(vertices=mesh.vertices[0].to(device), faces=faces, rest=rest, joint=joint, look=look))
        if alone:
            things = things[:1]
        else:
            things += [prop_on(prop, device) for prop in (*self.props, *self.held[moment : moment + 1])]
        return Scene(things=tuple(things), room=self.room if room else None, light=self.light)

    def free(self, eye: NDArray[np.float64]) -> bool:
        """Whether a camera may stand at (3,) a point: in the room, and in none of its furniture."""
        low, high = np.array(self.room.low) + CAMERA_GAP, np.array(self.room.high) - CAMERA_GAP
        if not ((eye > low) & (eye < high)).all():
            return False
        for block in self.room.blocks:
            away = eye - np.array(block.centre)
            cos, sin = math.cos(block.turn), math.sin(block.turn)
            inside = np.abs([cos * away[0] + sin * away[2], away[1], cos * away[2] - sin * away[0]])
            if (inside < np.array(block.half) + CAMERA_GAP).all():
                return False
        return True


@lru_cache(maxsize=8)
def _model_on(name: str, side: Side, device: torch.device) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Faces, rest vertices and dominant joints of a model on a device; the same tensors each time."""
    model = body_model(name, side)
    return model.faces.to(device), model.canonical.to(device), model.vertex_joint.to(device)


def draw_scene(
    config: PeopleConfig,
    cast: Cast,
    rng: np.random.Generator,
    *,
    moments: int = 1,
    side: Side | None = None,
    stock: PoseStock | None = None,
    number: int | None = None,
) -> GeneratedScene:
    """Draw a scene: who, in which pose, how they look, where, what else is there.

    Args:
        config: how.
        cast: what it is made from, by the same config.
        rng: source of randomness, used up in a fixed order.
        moments: 1, or 2 moments of one motion, `pairs.min_gap` to `pairs.max_gap` seconds apart.
        side: which hand; None draws one. Bodies have none.
        stock: body poses at hand; None draws some.
        number: which pose of the stock the subject takes; None draws one.

    Raises:
        ConfigError: if no motion is long enough for the gaps.
    """
    stock = stock or PoseStock(cast, rng)
    if config.subject == "body":
        return _draw_bodies(config, cast, rng, moments, stock, number)
    return _draw_hands(config, cast, rng, moments, side or ("left", "right")[int(rng.integers(2))])


def _draw_bodies(
    config: PeopleConfig, cast: Cast, rng: np.random.Generator, moments: int, stock: PoseStock, number: int | None
) -> GeneratedScene:
    model = cast.models["none"]
    room = draw_room(rng, "body", cast.photographs)
    shape = model.sample_shape(rng, 1)[0].numpy()
    if moments == 2 or rng.random() < config.motion:
        drawn = cast.motions.draw(rng, moments, config.pairs.min_gap, config.pairs.max_gap)
    else:
        pose = stock.poses[int(rng.integers(POSES)) if number is None else number]
        drawn = Moments(poses=pose[None], transl=np.zeros((1, 3)), times=(0.0,), frames=(0,))
    heading = _about_y(rng.uniform(-math.pi, math.pi))
    subject = _standing(model, shape, heading, drawn, np.zeros(2))
    taken = [_extent(*(mesh for _, mesh in subject))]
    others = []
    for _ in range(min(MOST_OTHERS, rng.poisson(config.crowd.others))):
        pose = stock.poses[int(rng.integers(POSES))]
        still = Moments(poses=pose[None], transl=np.zeros((1, 3)), times=(0.0,), frames=(0,))
        turn = _about_y(rng.uniform(-math.pi, math.pi))
        other = _standing(model, model.sample_shape(rng, 1)[0].numpy(), turn, still, _spot(rng, room, 0.6, 2.6))
        if _clear(taken, _extent(other[0][1])):
            others.append(other * moments)
    present = list(zip(subject, *others, strict=True))
    looks = tuple(storable(draw_look(rng, "body", model), len(model.canonical)) for _ in present[0])
    props = []
    for _ in range(min(MOST_PROPS, rng.poisson(config.crowd.props))):
        prop = draw_standing(rng, _spot(rng, room, 0.5, 2.0))
        if _clear(taken, _bounds(prop.vertices)):
            props.append(prop)
    return GeneratedScene(
        subject="body",
        model=cast.name,
        people=tuple(tuple(person for person, _ in moment) for moment in present),
        meshes=tuple(tuple(mesh for _, mesh in moment) for moment in present),
        looks=looks,
        props=tuple(props),
        held=(),
        room=room,
        light=draw_light(rng, room.panorama is not None),
        times=drawn.times,
        frames=drawn.frames,
    )


def _standing(
    model: BodyModel, shape: Floats, heading: NDArray[np.float64], drawn: Moments, spot: NDArray[np.float64]
) -> list[tuple[Person, BodyMesh]]:
    """A person at T moments: the lowest point of all of them on the floor, the middle of the way at `spot` (x, z)."""
    poses = drawn.poses.copy()
    poses[:, 0] = (heading @ poses[:, 0]).astype(np.float32)
    way = drawn.transl @ heading.T
    meshes = [mesh_at_origin(model, shape, pose) for pose in poses]
    vertices = [mesh.vertices[0].double().numpy() + place for mesh, place in zip(meshes, way, strict=True)]
    low, high = (np.min([v.min(0) for v in vertices], 0), np.max([v.max(0) for v in vertices], 0))
    shift = np.array([spot[0] - (low[0] + high[0]) / 2, -high[1], spot[1] - (low[2] + high[2]) / 2])
    persons = [
        Person(side="none", shape=shape, pose=pose, transl=(place + shift).astype(np.float32))
        for pose, place in zip(poses, way, strict=True)
    ]
    return [(person, moved(mesh, person.transl)) for person, mesh in zip(persons, meshes, strict=True)]


def _draw_hands(config: PeopleConfig, cast: Cast, rng: np.random.Generator, moments: int, side: Side) -> GeneratedScene:
    room = draw_room(rng, "hand", cast.photographs)
    model = cast.models[side]
    ceiling = min(-room.low[1], 2.2)
    place = np.array([0.0, -ceiling * rng.uniform(0.3, 0.65), 0.0])
    poses, times, frames = _moments_of_hand(config, cast, rng, side, moments)
    turn = random_rotation(rng)
    shape = model.sample_shape(rng, 1)[0].numpy()
    hands = []
    for pose, now in zip(poses, times, strict=True):
        passed = abs(now - times[0])
        # A hand turns by some 40 degrees and moves by 10 cm within a second, without hurry.
        turn_now = rotation(rng.normal(0, 0.45 * math.sqrt(passed), 3)) @ turn if passed else turn
        shift = rng.normal(0, 0.05 * math.sqrt(passed), 3) if passed else np.zeros(3)
        hands.append(_floating(model, side, shape, turn_now, pose, place + shift))
    present = [[hand] for hand in hands]
    sides = [side]
    if rng.random() < config.crowd.second_hand:
        other: Side = "left" if side == "right" else "right"
        away = random_rotation(rng)[0] * rng.uniform(0.16, 0.3)
        pose = cast.hand_poses[other].sample(rng, 1)[0].numpy()
        second = _floating(cast.models[other], other, shape, random_rotation(rng), pose, place + away)
        for moment in present:
            moment.append(second)
        sides.append(other)
    seed = int(rng.integers(2**62))  # both hands are one person's
    drawn = [draw_look(np.random.default_rng(seed), "hand", cast.models[one]) for one in sides]
    looks = tuple(storable(look, len(model.canonical)) for look in drawn)
    meshes = tuple(tuple(mesh for _, mesh in moment) for moment in present)
    held: tuple[Thing, ...] = ()
    if rng.random() < config.crowd.held:
        held = draw_held(rng, [mesh[0] for mesh in meshes], model)
    taken = [_extent(*(mesh for _, mesh in moment)) for moment in present]
    props = []
    for _ in range(min(MOST_PROPS, rng.poisson(config.crowd.props))):
        prop = draw_floating(rng, place + random_rotation(rng)[0] * rng.uniform(0.12, 0.45))
        if _clear(taken, _bounds(prop.vertices)):
            props.append(prop)
    return GeneratedScene(
        subject="hand",
        model=cast.name,
        people=tuple(tuple(hand for hand, _ in moment) for moment in present),
        meshes=meshes,
        looks=looks,
        props=tuple(props),
        held=held,
        room=room,
        light=draw_light(rng, room.panorama is not None),
        times=times,
        frames=frames,
    )


def _moments_of_hand(
    config: PeopleConfig, cast: Cast, rng: np.random.Generator, side: Side, moments: int
) -> tuple[Floats, tuple[float, ...], tuple[int, ...]]:
    """(T, J, 3, 3) poses of one or two moments of a hand's motion, their times in seconds and places on the path."""
    poses = cast.hand_poses[side]
    if moments == 1:
        return poses.sample(rng, 1).numpy(), (0.0,), (0,)
    least = max(1, math.ceil(config.pairs.min_gap * HAND_RATE - 1e-6))
    most = max(least, min(math.floor(config.pairs.max_gap * HAND_RATE + 1e-6), round(HAND_RATE)))
    step = int(rng.integers(least, most + 1))
    path = poses.path(rng, step + 1).numpy()
    chosen = (0, step) if rng.random() < 0.5 else (step, 0)
    return path[list(chosen)], tuple(frame / HAND_RATE for frame in chosen), chosen


def _floating(
    model: BodyModel, side: Side, shape: Floats, turn: NDArray[np.float64], pose: Floats, place: NDArray[np.float64]
) -> tuple[Person, BodyMesh]:
    """A hand in the air, turned as a whole, the middle of its key points at a place."""
    pose = pose.copy()
    pose[0] = (turn @ pose[0]).astype(np.float32)
    mesh = mesh_at_origin(model, shape, pose)
    transl = (place - mesh.keypoints[0].mean(0).double().numpy()).astype(np.float32)
    return Person(side=side, shape=shape, pose=pose, transl=transl), moved(mesh, transl)


def _spot(rng: np.random.Generator, room: Room, near: float, far: float) -> NDArray[np.float64]:
    """(2,) x and z of a place on the floor, at some distance from the origin, inside the room."""
    angle, distance = rng.uniform(-math.pi, math.pi), rng.uniform(near, far)
    low, high = np.array(room.low)[[0, 2]] + 0.35, np.array(room.high)[[0, 2]] - 0.35
    return np.asarray(np.clip(distance * np.array([math.sin(angle), math.cos(angle)]), low, high))


def _bounds(vertices: torch.Tensor) -> Box:
    """Least and greatest corner of the box, along the axes of the world, around (V, 3) vertices."""
    return vertices.amin(0).double().numpy(), vertices.amax(0).double().numpy()


def _extent(*meshes: BodyMesh) -> Box:
    """The box around everything in some meshes."""
    return _bounds(torch.cat([mesh.vertices[0] for mesh in meshes]))


def _clear(taken: list[Box], box: Box) -> bool:
    """Whether a box meets none of those taken; if so it is taken from now on."""
    if any((box[0] < high).all() and (box[1] > low).all() for low, high in taken):
        return False
    taken.append(box)
    return True


def _about_y(angle: float) -> NDArray[np.float64]:
    return rotation(np.array([0.0, angle, 0.0]))
