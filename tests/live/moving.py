"""Views of hands and bodies that move, as the pipeline would give them, with what the body models say of them."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch

from humanpt.body.model import load_body_model
from humanpt.geometry.rotations import rotvec_to_rotmat
from humanpt.live.people_file import about_model
from humanpt.live.shot import Camera, Shot, Subject3D, View

model_of = cache(load_body_model)
INTRINSICS = np.array([[300, 0, 79.5], [0, 300, 59.5], [0, 0, 1]], np.float32)


def side_of(kind):
    return "left" if kind == "hand_left" else "right"


def subject(kind, identity, moment, *, model="anny-hand", shape=None, free=False):
    """Somebody whose joints swing with time, metres ahead of the camera."""
    body = model_of(model, side=side_of(kind))
    random = np.random.default_rng(identity)
    joints = len(body.layout.joint_names)
    swing = random.normal(0, 0.2, (joints, 3)) * np.sin(moment * random.uniform(1, 4, (joints, 1)))
    pose = rotvec_to_rotmat(torch.from_numpy(swing).float())[None]
    values = body.mean_shape() if shape is None else torch.tensor([shape])
    transl = torch.tensor([[0.1 * np.sin(moment), 0.05 * identity, 0.8 + 0.1 * moment]]).float()
    with torch.no_grad():
        mesh = body(values, pose, transl)
    keypoints = mesh.keypoints[0].numpy()
    seen = keypoints @ INTRINSICS.T
    pixels = seen[:, :2] / seen[:, 2:]
    return Subject3D(
        identity=identity,
        kind=kind,
        score=0.75,
        box=np.concatenate((pixels.min(0), pixels.max(0))),
        keypoints=keypoints,
        pixels=pixels,
        vertices=mesh.vertices[0].numpy(),
        pose=None if free else pose[0].numpy(),
        shape=None if free else values[0].numpy(),
        transl=None if free else transl[0].numpy(),
    )


def view(number, subjects, *, timestamp=None, size=(160, 120), name=None, focal_from="assumed"):
    """A picture in a colour that tells its number, and who is in it."""
    picture = np.full((size[1], size[0], 3), 20 + number * 5 % 200, np.uint8)
    shot = Shot(
        number=number,
        timestamp=number * 0.04 if timestamp is None else timestamp,
        picture=picture,
        camera=Camera(intrinsics=INTRINSICS, focal_from=focal_from),
        arrived=0.0,
        name=name,
    )
    return View(shot=shot, subjects=tuple(subjects))


def two_hands(count, **changes):
    """Both hands of somebody; the left one is away in every third picture."""
    return [
        view(
            number,
            [
                subject(kind, identity, number * 0.04, **changes)
                for identity, kind in ((1, "hand_right"), (2, "hand_left"))
                if kind == "hand_right" or number % 3
            ],
        )
        for number in range(count)
    ]


def about_hands(**told):
    return about_model(model_of("anny-hand", side="right").layout, network="a trial", **told)
