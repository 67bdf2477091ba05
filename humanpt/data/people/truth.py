"""Exact truth of generated pictures, drawn again from the numbers in a shard.

Letters: S size of a picture, V vertices, F faces, K key points.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from humanpt.body.model import BodyModel
from humanpt.data.people.cover import ELSE, SURFACE, Cover, unpack_cover, unpack_worn
from humanpt.data.people.staging import Person, body_model, one_thread, person_mesh, truth_layout
from humanpt.data.records import Picture, Side
from humanpt.data.shard_reader import ShardReader
from humanpt.errors import ShardError
from humanpt.geometry.cameras import crop_intrinsics, project, transform
from humanpt.render.rasterize import Raster, correspond, face_values, interpolate, interpolate_corners
from humanpt.render.scene import Assembly, Cameras, Thing, assemble, label_raster

Floats = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, eq=False)
class TruthMaps:
    """What a generated picture shows at the centre of each pixel, and where the key points are.

    Everything but `mask` speaks of the surface of the model with its clothes on. Where that is not seen, because
    another thing or something worn loosely hides it, depth is infinite, part is -1, the rest is 0.
    """

    mask: NDArray[np.bool_]
    """(S, S) True on the subject, loose clothes and hair included."""
    surface: NDArray[np.bool_]
    """(S, S) True where the surface of the model is seen."""
    depth: Floats
    """(S, S) z in the axes of the camera, metres."""
    normals: Floats
    """(S, S, 3) outward unit normals in the axes of the camera."""
    part: NDArray[np.int64]
    """(S, S) index into the part names of the model."""
    face: NDArray[np.int64]
    """(S, S) index of the model's triangle; -1 like the part where it is not seen."""
    uv: Floats
    """(S, S, 2) texture coordinates in [0, 1]."""
    canonical: Floats
    """(S, S, 3) the place of the point on the mean adult in the reference pose, metres."""
    keypoints: Floats
    """(K, 2) pixels (x, y) of the key points in the crop."""
    visible: NDArray[np.bool_]
    """(K,) whether the crop shows them."""
    intrinsics: Floats
    """(3, 3) camera matrix of the crop, pixels."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Correspondence:
    """Where `image2` has what each pixel of `image1` shows of the subject."""

    pixels: Floats
    """(S, S, 2) positions (x, y) in image2, NaN where image1 does not show the surface of the model."""
    visible: NDArray[np.bool_]
    """(S, S) True where image2 shows that same point."""


@dataclass(frozen=True, kw_only=True, eq=False)
class _Drawn:
    """A subject drawn again."""

    model: BodyModel
    assembly: Assembly
    cameras: Cameras
    raster: Raster
    cover: Cover


def maps(shard: ShardReader, row: int, which: Literal[1, 2]) -> TruthMaps:
    """The truth of one picture of a pair.

    Args:
        shard: a shard of generated pairs.
        row: number of the pair.
        which: 1 for image1, 2 for image2.

    Raises:
        ShardError: if the shard has no truth, its model is another than here, or the pair is damaged.
        InputError: if the shard was made with a licensed model whose file is not here.
        IndexError: if there is no such row.
    """
    record = shard.record(row)
    picture = record.image1 if which == 1 else record.image2
    with torch.no_grad(), one_thread():
        drawn = _draw(shard, picture, record.side)
        raster, faces, seen = drawn.raster, drawn.assembly.faces, torch.from_numpy(drawn.cover == SURFACE)[None]
        pose = drawn.cameras.cam_from_world[0]
        normals = interpolate(raster, faces, drawn.assembly.normals) @ pose[:3, :3].T
        normals = torch.nn.functional.normalize(normals, dim=-1)
        assert picture.truth is not None
        keypoints = project(transform(pose, torch.from_numpy(picture.truth.keypoints)), drawn.cameras.intrinsics[0])

        def only(values: Tensor, fill: float) -> NDArray[Any]:
            """Values (1, S, S, ...) where the surface is seen."""
            shown = seen.view(seen.shape + (1,) * (values.ndim - 3))
            return torch.where(shown, values, torch.full_like(values, fill))[0].numpy()

        return TruthMaps(
            mask=drawn.cover != ELSE,
            surface=drawn.cover == SURFACE,
            depth=only(raster.depth, torch.inf),
            normals=only(normals, 0),
            part=only(face_values(raster, drawn.model.parts, -1), -1),
            face=only(face_values(raster, torch.arange(len(drawn.model.faces)), -1), -1),
            uv=only(interpolate_corners(raster, drawn.model.uv), 0),
            canonical=only(interpolate(raster, faces, drawn.model.canonical), 0),
            keypoints=keypoints.numpy(),
            visible=picture.truth.visible,
            intrinsics=drawn.cameras.intrinsics[0].numpy(),
        )


def correspondence(shard: ShardReader, row: int, *, back: bool = False) -> Correspondence:
    """Where image2 has what each pixel of image1 shows of the subject, or with `back` the other way round.

    Raises:
        ShardError, InputError, IndexError: as `maps`.
    """
    record = shard.record(row)
    pictures = (record.image2, record.image1) if back else (record.image1, record.image2)
    with torch.no_grad(), one_thread():
        first, second = (_draw(shard, picture, record.side) for picture in pictures)
        points = transform(second.cameras.cam_from_world, second.assembly.vertices[None])
        pixels, visible = correspond(
            first.raster, second.raster, first.assembly.faces, points, second.cameras.intrinsics
        )
    shown = first.cover == SURFACE
    places = pixels[0].numpy()
    size = len(shown)
    nearest = np.nan_to_num(places, nan=-1.0).round().clip(0, size - 1).astype(np.int64)
    hidden = second.cover[nearest[..., 1], nearest[..., 0]] != SURFACE
    return Correspondence(
        pixels=np.where(shown[..., None], places, np.float32(np.nan)), visible=visible[0].numpy() & shown & ~hidden
    )


def _draw(shard: ShardReader, picture: Picture, side: Side) -> _Drawn:
    layout, truth = shard.truth, picture.truth
    if layout is None or truth is None or picture.intrinsics is None or picture.cam_from_world is None:
        raise ShardError(f"{shard.path}: has no truth; make generated pairs with `humanpt mkpairs synthetic`")
    model = body_model(layout.model, side)
    here = truth_layout(model)
    if here != layout:
        raise ShardError(
            f"{shard.path}: was made with the rig {layout.rig} and the mesh {layout.topology} of {layout.model}, "
            f"here it has {here.rig} and {here.topology}, or other joints; make the pairs again"
        )
    person = Person(side=side, shape=truth.shape, pose=truth.pose, transl=truth.transl)
    look = unpack_worn(truth.worn, model.layout.subject)
    vertices = person_mesh(model, person).vertices[0]
    assembly = assemble((Thing(vertices=vertices, faces=model.faces, rest=model.canonical, look=look),))
    cameras = picture_cameras([picture], shard.crop_size)
    return _Drawn(
        model=model,
        assembly=assembly,
        cameras=cameras,
        raster=label_raster(assembly, cameras),
        cover=unpack_cover(truth.cover),
    )


def picture_cameras(pictures: list[Picture], size: int) -> Cameras:
    """The cameras of crops of size x size pixels."""
    intrinsics, poses = [], []
    for picture in pictures:
        assert picture.intrinsics is not None
        assert picture.cam_from_world is not None
        frame = torch.from_numpy(picture.intrinsics.astype(np.float32))
        intrinsics.append(crop_intrinsics(frame, torch.from_numpy(picture.square), size))
        poses.append(torch.from_numpy(picture.cam_from_world.astype(np.float32)))
    return Cameras(intrinsics=torch.stack(intrinsics), cam_from_world=torch.stack(poses), size=size)
