"""Meshes to exact truth: which face each pixel shows, where on it, and everything that follows from that.

Pictures are samples at pixel centres, which lie at whole numbers; edges are hard. From the face and its barycentric
coordinates follow mask, depth, normals, part, UV, colour, canonical coordinates, the correspondence of two views and
which points are hidden. The same on a CPU and with CUDA, and equal to the bit on repeat.

B pictures, H W their size, V vertices, F faces, C channels, K points, P pixels that show something
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize

from humanpt.geometry.cameras import project
from humanpt.render.zbuffer import MAX_FACES, NEAR, nearest_depths, nearest_faces

_AREA_STEPS = float(1 << 44)  # per square metre


@dataclass(frozen=True, kw_only=True, eq=False)
class Raster:
    """What each pixel of a batch of pictures shows."""

    face: Tensor
    """(B, H, W) int64 index of the face, -1 where there is nothing."""
    bary: Tensor
    """(B, H, W, 3) float32 weights of the face's corners on the surface (perspective-correct), 0 where nothing is."""
    depth: Tensor
    """(B, H, W) float32 z in metres, infinite where there is nothing."""
    front: Tensor
    """(B, H, W) bool, True where a face shows its outer side: its corners run counter-clockwise to the viewer."""

    @property
    def mask(self) -> Tensor:
        """(B, H, W) bool, True where something is seen."""
        return self.face >= 0

    def __getitem__(self, index: int | slice) -> Raster:
        """Some of the pictures, still as a batch: a number gives a batch of one."""
        rows = slice(index, index + 1 or None) if isinstance(index, int) else index
        return Raster(face=self.face[rows], bary=self.bary[rows], depth=self.depth[rows], front=self.front[rows])


def rasterize(
    vertices_cam: Tensor, faces: Tensor, intrinsics: Tensor, height: int, width: int, *, cull: bool = False
) -> Raster:
    """Find the nearest face at every pixel centre.

    Args:
        vertices_cam: (B, V, 3) vertices in metres, camera axes; z > 0 is in front.
        faces: (F, 3) int64 corners, the same for the whole batch.
        intrinsics: (B, 3, 3) or (1, 3, 3) camera matrices in pixels, last row (0, 0, 1).
        height: of the pictures in pixels.
        width: of the pictures in pixels.
        cull: leave out faces seen from behind: quicker, and the same picture of a closed mesh with faces outward.

    Returns:
        The raster, on the device of the vertices, without gradients. Faces of no area, and those that reach nearer than
        1 mm to the camera plane, are not drawn. Of faces within the same micrometre the lower index is kept. Depths may
        reach 500 km.

    Raises:
        ValueError: if the shapes are others, or there are 2^24 faces or more.
    """
    if vertices_cam.ndim != 3 or vertices_cam.shape[-1] != 3 or faces.ndim != 2 or faces.shape[-1] != 3:
        raise ValueError(
            f"expected (B, V, 3) vertices and (F, 3) faces, got {tuple(vertices_cam.shape)} and {tuple(faces.shape)}"
        )
    if intrinsics.shape not in ((len(vertices_cam), 3, 3), (1, 3, 3)):
        raise ValueError(f"expected ({len(vertices_cam)}, 3, 3) intrinsics, got {tuple(intrinsics.shape)}")
    if len(faces) > MAX_FACES:
        raise ValueError(f"{len(faces):,} faces; at most {MAX_FACES:,} can be drawn together")
    face, bary, depth, front = nearest_faces(vertices_cam, faces, intrinsics, height, width, cull)
    return Raster(face=face, bary=bary, depth=depth, front=front)


def interpolate(raster: Raster, faces: Tensor, values: Tensor) -> Tensor:
    """What vertices carry, as each pixel sees it.

    Args:
        raster: B pictures.
        faces: (F, 3) the faces that were drawn.
        values: (V, C) or (B, V, C) of any floating type, one row a vertex; gradients flow back to them.

    Returns:
        (B, H, W, C) of the type of the values, 0 where nothing is seen.
    """
    seen, picture, face = _seen(raster)
    rows = values.flatten(0, -2)
    first = picture * values.shape[1] if values.ndim == 3 and len(values) > 1 else 0
    weights = raster.bary.view(-1, 3).index_select(0, seen).to(values.dtype)
    a, b, c = (rows.index_select(0, faces[:, i].index_select(0, face) + first) * weights[:, i, None] for i in range(3))
    return _spread(raster, seen, a + b + c)


def interpolate_corners(raster: Raster, values: Tensor) -> Tensor:
    """What the corners of faces carry, such as UV of an atlas with seams, as each pixel sees it.

    Args:
        raster: B pictures.
        values: (F, 3, C) floating.

    Returns:
        (B, H, W, C) of the type of the values, 0 where nothing is seen.
    """
    seen, _, face = _seen(raster)
    weights = raster.bary.view(-1, 3).index_select(0, seen).to(values.dtype)
    return _spread(raster, seen, (values.index_select(0, face) * weights[..., None]).sum(dim=1))


def face_values(raster: Raster, values: Tensor, fill: float = 0) -> Tensor:
    """What faces carry, such as the index of a body part, as each pixel sees it.

    Args:
        raster: B pictures.
        values: (F,) or (F, C) of any type.
        fill: where nothing is seen.

    Returns:
        (B, H, W) or (B, H, W, C) of the type of the values.
    """
    seen, _, face = _seen(raster)
    return _spread(raster, seen, values.index_select(0, face), fill)


def vertex_normals(faces: Tensor, vertices: Tensor) -> Tensor:
    """Smooth normals: at each vertex the mean of its faces' normals, weighted by their areas.

    Args:
        faces: (F, 3) counter-clockwise seen from outside.
        vertices: (B, V, 3) metres.

    Returns:
        (B, V, 3) unit vectors outward, in the axes of the vertices, without gradients; 0 at vertices without a face.
    """
    if vertices.device.type == "cpu" and len(vertices) > 1:  # one after the other, in a cache
        return torch.cat([vertex_normals(faces, one[None]) for one in vertices])
    batch, count = vertices.shape[:2]
    columns = faces.T.contiguous()
    (ux, wx), (uy, wy), (uz, wz) = (_two_edges(values.contiguous(), columns) for values in vertices.unbind(-1))
    twice = (uy * wz).sub_(uz * wy), (uz * wx).sub_(ux * wz), (ux * wy).sub_(uy * wx)  # 3 of (B, F)
    first = torch.arange(batch, device=vertices.device)[:, None] * count
    corners = [(column + first).view(-1) for column in columns]
    total = torch.zeros(3, batch * count, dtype=torch.int64, device=vertices.device)
    for axis, values in zip(total, twice, strict=True):
        whole = values.double().mul_(_AREA_STEPS).round_().long().view(-1)  # sums of integers ask for no order
        for corner in corners:
            axis.scatter_add_(0, corner, whole)
    x, y, z = total.double()
    length = (x * x).add_(y * y).add_(z * z).sqrt_().clamp_(min=1)
    units: Tensor = torch.stack([x, y, z], dim=-1) / length[:, None]
    return units.to(vertices.dtype).view(batch, count, 3)


def _two_edges(values: Tensor, columns: Tensor) -> tuple[Tensor, Tensor]:
    """From the first corner to the second and to the third, along one axis: (B, V) and (3, F) to two of (B, F)."""
    a, b, c = (values.index_select(1, column) for column in columns)
    return b.sub_(a), c.sub_(a)


def normals(raster: Raster, faces: Tensor, vertices: Tensor, *, smooth: bool = True) -> Tensor:
    """The outward surface normal that each pixel sees.

    Args:
        raster: B pictures.
        faces: (F, 3) counter-clockwise seen from outside.
        vertices: (B, V, 3) metres, in the axes wanted for the normals: the camera's or the world's.
        smooth: interpolate vertex normals, or else take the plane of the face.

    Returns:
        (B, H, W, 3) unit vectors, 0 where nothing is seen. They point away where `raster.front` is False.
    """
    if smooth:
        return normalize(interpolate(raster, faces, vertex_normals(faces, vertices)), dim=-1)
    seen, picture, face = _seen(raster)
    rows, first = vertices.reshape(-1, 3), picture * vertices.shape[1]
    a, b, c = (rows.index_select(0, faces[:, i].index_select(0, face) + first) for i in range(3))
    return _spread(raster, seen, normalize(torch.linalg.cross(b - a, c - a, dim=-1), dim=-1))


def correspond(
    raster1: Raster,
    raster2: Raster,
    faces: Tensor,
    vertices_cam2: Tensor,
    intrinsics2: Tensor,
    tolerance: float = 5e-4,
) -> tuple[Tensor, Tensor]:
    """Where view 2 has what each pixel of view 1 shows, and whether it is seen there.

    Args:
        raster1: B pictures of view 1.
        raster2: B pictures of view 2 of the same mesh, of any size.
        faces: (F, 3) the faces that were drawn in both.
        vertices_cam2: (B, V, 3) the vertices in the camera axes of view 2, metres.
        intrinsics2: (B, 3, 3) or (1, 3, 3) of view 2, pixels.
        tolerance: how far behind the nearest surface at its very position a point may lie and still be seen, in metres:
            what rounding moves on surfaces seen edge-on.

    Returns:
        (B, H, W, 2) positions (x, y) in view 2, exact to a fraction of a pixel, nan where view 1 shows nothing or the
        point is behind camera 2; and (B, H, W) bool, True where that point is inside picture 2, nothing is in front of
        it and the same side of the surface is seen. That is tested at the position itself, between pixel centres, so
        the pixel of `raster2` there may just show a neighbour.
    """
    seen, picture, face = _seen(raster1)
    batch, count = vertices_cam2.shape[:2]
    rows, first = vertices_cam2.reshape(-1, 3), picture * count
    a, b, c = (rows.index_select(0, faces[:, i].index_select(0, face) + first) for i in range(3))
    weights = raster1.bary.view(-1, 3).index_select(0, seen).to(rows.dtype)
    points = a * weights[:, :1] + b * weights[:, 1:2] + c * weights[:, 2:]  # (P, 3) camera 2
    cameras = intrinsics2.expand(batch, 3, 3)[picture]
    pixels = project(points[:, None], cameras)[:, 0]
    pixels = torch.where(points[:, 2:] > 0, pixels, torch.nan)
    # The corners run counter-clockwise to camera 2 if its centre is on the outer side of their plane.
    front2 = (torch.linalg.cross(b - a, c - a, dim=-1) * a).sum(dim=-1) < 0
    same_side = front2 == raster1.front.reshape(-1)[seen]
    asked = _spread(raster1, seen, torch.where(same_side[:, None], pixels, torch.nan), torch.nan)
    height, width = raster2.face.shape[1:]
    nearest = nearest_depths(vertices_cam2, faces, intrinsics2, asked.flatten(1, 2), height, width)
    visible = points[:, 2] <= nearest.view(-1)[seen] + tolerance
    visible &= nearest.view(-1)[seen].isfinite()
    return _spread(raster1, seen, pixels, torch.nan), _spread(raster1, seen, visible)


def visible_points(points_cam: Tensor, raster: Raster, intrinsics: Tensor, tolerance: float | Tensor = 0.0) -> Tensor:
    """Which points a picture shows: inside it, in front of the camera and not hidden by the surface drawn.

    Args:
        points_cam: (B, K, 3) metres, camera axes of the pictures.
        raster: B pictures.
        intrinsics: (B, 3, 3) or (1, 3, 3), pixels.
        tolerance: how far behind the surface a point still counts, in metres, a number or (K,): for a joint, about half
            the thickness of the limb that holds it.

    Returns:
        (B, K) bool.
    """
    batch, count = points_cam.shape[:2]
    pixels = project(points_cam, intrinsics.to(points_cam.dtype))
    pixels = torch.where(points_cam[..., 2:] >= NEAR, pixels, torch.nan).flatten(0, 1)
    picture = torch.arange(batch, device=points_cam.device).repeat_interleave(count)
    slack = torch.as_tensor(tolerance, dtype=points_cam.dtype, device=points_cam.device).expand(batch, count)
    return _unhidden(pixels, points_cam[..., 2].flatten(), picture, raster, slack.flatten()).view(batch, count)


def _unhidden(pixels: Tensor, depth: Tensor, picture: Tensor, raster: Raster, slack: Tensor) -> Tensor:
    """Whether points (P) are inside their pictures and at most `slack` behind what the nearest pixel shows."""
    _, height, width = raster.face.shape
    nearest = pixels.nan_to_num(nan=-1e6).round()
    inside = ((nearest >= 0) & (nearest <= nearest.new_tensor([width - 1, height - 1]))).all(dim=-1)
    x, y = (nearest * inside[:, None]).long().unbind(-1)
    return inside & (depth <= raster.depth[picture, y, x] + slack)


def _seen(raster: Raster) -> tuple[Tensor, Tensor, Tensor]:
    """Flat indices of the pixels that show something, their pictures and their faces, each (P,)."""
    face = raster.face.reshape(-1)
    seen = (face >= 0).nonzero()[:, 0]
    return seen, seen // (raster.face.shape[1] * raster.face.shape[2]), face.index_select(0, seen)


def _spread(raster: Raster, seen: Tensor, shown: Tensor, fill: float = 0) -> Tensor:
    """Rows (P, ...) of the pixels that show something, put in their places: (B, H, W, ...)."""
    whole = torch.full((raster.face.numel(), *shown.shape[1:]), fill, dtype=shown.dtype, device=shown.device)
    return whole.index_copy(0, seen, shown).view(*raster.face.shape, *shown.shape[1:])
