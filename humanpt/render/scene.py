"""Pictures of people, hands and things in rooms: what stands there, who looks, and the finished pixels.

Everything that views share (dressing, shadows, light at every vertex) is worked out once for a scene; a view then costs
a raster and the shading of the pixels that things cover. The same scene and cameras give the same bytes.

Letters: B views, S size of a picture, V vertices, F faces, P covered samples, L layers of the richest look.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from humanpt.render.assembly import Assembly, Thing, assemble
from humanpt.render.light import Light, Shades, cast
from humanpt.render.lookup import pick
from humanpt.render.rasterize import Raster, rasterize
from humanpt.render.room_parts import Room
from humanpt.render.room_shading import blocks_in_view, light_room, shade_room
from humanpt.render.shading import film, shade_things

__all__ = ["Assembly", "Cameras", "Pictures", "Scene", "Thing", "assemble", "label_raster", "render"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Scene:
    """Things in a room, in a light."""

    things: tuple[Thing, ...]
    """At least one; the order gives their numbers."""
    room: Room | None
    """What is around them; none: nothing, for cut-outs."""
    light: Light
    """What lights them."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Cameras:
    """Views of one scene."""

    intrinsics: Tensor
    """(B, 3, 3) pixels."""
    cam_from_world: Tensor
    """(B, 4, 4) metres."""
    size: int
    """Pictures are size x size pixels."""

    def __post_init__(self) -> None:
        if self.intrinsics.shape != (len(self.intrinsics), 3, 3) or self.cam_from_world.shape != (
            len(self.intrinsics),
            4,
            4,
        ):
            raise ValueError(
                f"expected (B, 3, 3) intrinsics and (B, 4, 4) poses, got {tuple(self.intrinsics.shape)} and "
                f"{tuple(self.cam_from_world.shape)}"
            )
        if self.size < 1:
            raise ValueError(f"pictures of {self.size} pixels cannot be drawn")


@dataclass(frozen=True, kw_only=True, eq=False)
class Pictures:
    """Finished views."""

    rgb: Tensor
    """(B, S, S, 3) uint8."""
    alpha: Tensor
    """(B, S, S) uint8: how much of the pixel things cover."""
    assembly: Assembly
    """What was drawn."""
    cameras: Cameras
    """From where."""

    @cached_property
    def raster(self) -> Raster:
        """What the centre of each pixel shows of the assembled mesh; worked out when first asked for."""
        return label_raster(self.assembly, self.cameras)

    @cached_property
    def thing(self) -> Tensor:
        """(B, S, S) int64 number of the thing at the centre of each pixel, -1 for the room."""
        face = self.raster.face
        return torch.where(face >= 0, self.assembly.face_thing[face.clamp_min(0)], -1)


def _to_cameras(points: Tensor, cam_from_world: Tensor) -> Tensor:
    """Take (V, 3) points into each camera: (B, V, 3), written out so that every sum has a fixed order."""
    x, y, z = points.unbind(1)
    pose = cam_from_world[:, :3, :, None]
    return torch.stack([pose[:, k, 0] * x + pose[:, k, 1] * y + pose[:, k, 2] * z + pose[:, k, 3] for k in range(3)], 2)


def _eyes(cam_from_world: Tensor) -> Tensor:
    """Camera centres (B, 3) in the world."""
    turn, shift = cam_from_world[:, :3, :3], cam_from_world[:, :3, 3]
    return -(turn[:, 0] * shift[:, 0:1] + turn[:, 1] * shift[:, 1:2] + turn[:, 2] * shift[:, 2:3])


def label_raster(assembly: Assembly, cameras: Cameras) -> Raster:
    """What the centre of each pixel shows: for labels, whose faces are those of the pictures of the same assembly."""
    points_cam = _to_cameras(assembly.vertices, cameras.cam_from_world)
    return rasterize(points_cam, assembly.faces, cameras.intrinsics, cameras.size, cameras.size, cull=True)


@torch.no_grad()
def render(scene: Scene, cameras: Cameras, supersample: int = 2, assembly: Assembly | None = None) -> Pictures:
    """Draw finished pictures of a scene.

    Args:
        scene: what is there; all tensors of things on one device.
        cameras: who looks, on the same device. A camera may stand outside the room.
        supersample: colour samples along each edge of a pixel.
        assembly: its things as `assemble` joined them, where that is at hand.

    Returns:
        The pictures; without a room, what no thing covers is black and `alpha` tells how much things cover. Their
        raster and numbers of things, for labels, are worked out only when asked for.

    Raises:
        ValueError: if the scene is empty or shapes do not fit.
    """
    if supersample < 1:
        raise ValueError(f"supersample is {supersample}; 1 is the least")
    assembly = assembly or assemble(scene.things)
    shades = cast(scene.light, assembly.vertices, assembly.faces)
    fine = cameras.size * supersample
    intrinsics = cameras.intrinsics.clone()
    intrinsics[:, :2] *= supersample
    intrinsics[:, :2, 2] += (supersample - 1) / 2
    points_cam = _to_cameras(assembly.vertices, cameras.cam_from_world)
    raster = rasterize(points_cam, assembly.faces, intrinsics, fine, fine, cull=True)
    eyes = _eyes(cameras.cam_from_world)
    spread = 1 / intrinsics[:, 0, 0]
    light, cover = shade_things(scene.light, assembly, shades, raster, eyes, spread, supersample)
    if scene.room is not None:
        _add_room(scene, shades, cameras, eyes, points_cam, light, cover)
    return Pictures(rgb=_develop(light), alpha=(cover * 255 + 0.5).to(torch.uint8), assembly=assembly, cameras=cameras)


def _add_room(
    scene: Scene, shades: Shades, cameras: Cameras, eyes: Tensor, points_cam: Tensor, light: Tensor, cover: Tensor
) -> None:
    assert scene.room is not None
    device, size = light.device, cameras.size
    lit = light_room(scene.room, scene.light, shades, device)
    for view in range(len(cameras.intrinsics)):
        gap = 1 - cover[view].reshape(-1)
        k, pose = cameras.intrinsics[view], cameras.cam_from_world[view, :3, :3]
        blocks = blocks_in_view(scene.room, cameras.cam_from_world[view], k, size, points_cam[view])
        found = (gap > 0).nonzero()[:, 0]
        row = torch.div(found, size, rounding_mode="floor")
        dy = (row - k[1, 2]) / k[1, 1]
        dx = ((found - row * size) - k[0, 2] - k[0, 1] * dy) / k[0, 0]
        towards = dx * pose[0][:, None] + dy * pose[1][:, None] + pose[2][:, None]
        colour = shade_room(lit, eyes[view], towards, 1.0 / k[0, 0], blocks)
        onto = light[:, view].reshape(3, -1)
        onto.index_add_(1, found, film(colour * scene.light.exposure) * pick(gap, found))


def _develop(light: Tensor) -> Tensor:
    """Turn linear light in [0, 1] into display values."""
    steps = 4096
    level = torch.arange(steps, device=light.device, dtype=torch.float64) / (steps - 1)
    curve = torch.where(level <= 0.0031308, 12.92 * level, 1.055 * level.clamp_min(1e-9) ** (1 / 2.4) - 0.055)
    shown = (curve * 255 + 0.5).to(torch.uint8)
    level = (light.clamp(0, 1) * (steps - 1) + 0.5).to(torch.int32)  # (3, B, S, S)
    return pick(shown, level.permute(1, 2, 3, 0).reshape(-1)).view(*level.shape[1:], 3)
