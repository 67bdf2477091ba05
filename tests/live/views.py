"""Views of generated hands and people, as the pipeline would give them."""

from functools import cache

import numpy as np
import torch

from humanpt.body.model import load_body_model
from humanpt.live.shot import Camera, Shot, Subject3D, View

WIDTH, HEIGHT, FOCAL = 320, 240, 320.0
INTRINSICS = np.array([[FOCAL, 0, WIDTH / 2 - 0.5], [0, FOCAL, HEIGHT / 2 - 0.5], [0, 0, 1]], np.float32)


@cache
def model(kind):
    side = "left" if kind == "hand_left" else "right"
    return load_body_model("anny-body-small" if kind == "body" else "anny-hand", side=side)


def subject(identity, kind, at, score=0.9, turn=0.0):
    """One mean hand or person, its middle at a place in camera axes, metres, turned about the camera's y axis."""
    body = model(kind)
    pose = body.identity_pose()
    cos, sin = np.cos(turn), np.sin(turn)
    pose[0, 0] = torch.tensor([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]])
    mesh = body(body.mean_shape(), pose, torch.zeros(1, 3))
    middle = mesh.vertices[0].mean(0)
    transl = torch.tensor(at, dtype=torch.float32) - middle
    vertices, keypoints = (mesh.vertices[0] + transl).numpy(), (mesh.keypoints[0] + transl).numpy()
    pixels = (keypoints @ INTRINSICS.T)[:, :2] / keypoints[:, 2:]
    seen = (vertices @ INTRINSICS.T)[:, :2] / vertices[:, 2:]
    box = np.concatenate([seen.min(0), seen.max(0)])
    return Subject3D(
        identity=identity,
        kind=kind,
        score=score,
        box=box.astype(np.float32),
        keypoints=keypoints.astype(np.float32),
        pixels=pixels.astype(np.float32),
        vertices=vertices.astype(np.float32),
        pose=pose[0].numpy().astype(np.float32),
        shape=body.mean_shape()[0].numpy().astype(np.float32),
        transl=transl.numpy().astype(np.float32),
    )


def view(*subjects, number=0, seconds=None, picture=None, focal_from="assumed", detected=False):
    """A view of those subjects over a grey picture."""
    if picture is None:
        picture = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    shot = Shot(
        number=number,
        timestamp=number / 25,
        picture=picture,
        camera=Camera(intrinsics=INTRINSICS, focal_from=focal_from),
        arrived=number / 25,
    )
    return View(shot=shot, subjects=subjects, seconds=seconds or {"network": 0.03, "smooth": 0.001}, detected=detected)
