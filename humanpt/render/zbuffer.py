"""The z-buffer itself: the nearest face of a mesh at every pixel centre, by batched tensor operations alone.

Each face is expanded into the pixels of its box; those inside its three edges offer an integer key made of depth and
face, and each pixel keeps the least. A minimum does not ask for order, so the same input gives the same bits on every
run, with any number of threads and in any batch; every number that decides comes from single IEEE operations.

Source: the edge functions of Pineda, A Parallel Algorithm for Polygon Rasterization, SIGGRAPH 1988; perspective-correct
interpolation as in Heckbert and Moreton, Interpolation for Polygon Texture Mapping and Shading, 1991.

B pictures, H W their size, V vertices, F faces, N triangles of some pictures, P pixels
"""

from __future__ import annotations

import torch
from torch import Tensor

NEAR = 1e-3
"""Triangles with a vertex nearer than this to the camera plane, in metres, are left out."""
MAX_FACES = 1 << 24
"""Faces that fit into a key."""

_FACE_BITS = 24
_DEPTH_STEPS = float(1 << 20)  # per metre: about a micrometre; 19 bits are left for whole metres
_NOTHING = torch.iinfo(torch.int64).max
_FACES_AT_ONCE = {"cpu": 1 << 16, "cuda": 1 << 24}  # what fits into a cache; what keeps a GPU busy
_PIXELS_AT_ONCE = {"cpu": 1 << 18, "cuda": 1 << 25}  # of triangles; bounds the memory whatever the triangles


@torch.no_grad()
def nearest_faces(
    vertices_cam: Tensor, faces: Tensor, intrinsics: Tensor, height: int, width: int, cull: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """What `rasterize` returns, as the tensors face, bary, depth and front; arguments as there, already checked."""
    batch, device = len(vertices_cam), vertices_cam.device
    keys = torch.full((batch, height * width), _NOTHING, dtype=torch.int64, device=device)
    x, y, z = _project(vertices_cam, intrinsics)  # each (B, V)
    pictures = max(1, _FACES_AT_ONCE.get(device.type, 1 << 16) // max(1, len(faces)))
    for first in range(0, batch, pictures):
        some = slice(first, first + pictures)
        _draw(keys[some].view(-1), x[some], y[some], z[some], faces, height, width, cull)
    return _resolve(keys, x, y, z, faces, height, width)


def _project(vertices_cam: Tensor, intrinsics: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Pixels x, y, nan where a vertex is too near, and depth z, each (B, V) float32.

    Written out, as the order of the sums of a matrix product is the library's own and changes with the batch.
    """
    x, y, z = vertices_cam.float().unbind(-1)
    k = intrinsics.float()[:, :, :, None]
    distance = torch.where(z >= NEAR, z, torch.nan)
    return (k[:, 0, 0] * x + k[:, 0, 1] * y) / distance + k[:, 0, 2], k[:, 1, 1] * y / distance + k[:, 1, 2], z


def _draw(keys: Tensor, x: Tensor, y: Tensor, z: Tensor, faces: Tensor, height: int, width: int, cull: bool) -> None:
    """Lower the keys (P) of some pictures to the least of their faces; x, y, z (B, V) are the projected vertices."""
    batch, count = x.shape
    corners = (faces.T[:, None] + torch.arange(batch, device=x.device)[:, None] * count).flatten(1)  # (3, N)
    x, y, z = x.reshape(-1), y.reshape(-1), z.reshape(-1)
    x0, x1, x2 = (x[i] for i in corners)
    y0, y1, y2 = (y[i] for i in corners)
    # The whole pixels inside each face's box. A nan compares false, so that near faces go here as well.
    left = torch.minimum(torch.minimum(x0, x1), x2).ceil().clamp(min=0)
    right = torch.maximum(torch.maximum(x0, x1), x2).floor().clamp(max=width - 1)
    top = torch.minimum(torch.minimum(y0, y1), y2).ceil().clamp(min=0)
    bottom = torch.maximum(torch.maximum(y0, y1), y2).floor().clamp(max=height - 1)
    area = (x1 - x0) * (y2 - y0) - (y1 - y0) * (x2 - x0)
    drawn = (left <= right) & (top <= bottom) & ((area < 0) if cull else (area != 0))
    found = drawn.nonzero()[:, 0]
    left, right, top, bottom = (side[found].int() for side in (left, right, top, bottom))
    columns, pixels = right - left + 1, (right - left + 1) * (bottom - top + 1)
    limit = _PIXELS_AT_ONCE.get(x.device.type, 1 << 18)
    ends = pixels.long().cumsum(0)
    start = 0
    while start < len(found):
        before = int(ends[start - 1]) if start else 0
        stop = max(start + 1, int(torch.searchsorted(ends, before + limit, right=True)))
        some = slice(start, stop)
        counts = pixels[some]
        which = torch.repeat_interleave(torch.arange(start, stop, device=x.device), counts)
        order = torch.arange(len(which), device=x.device) - (ends[which] - pixels[which] - before)
        row = order // columns[which]
        px = left[which] + (order - row * columns[which])
        py = top[which] + row
        face = found[which]
        a, b, c = corners[:, face]
        xa, xb, xc = (x[i].double() - px for i in (a, b, c))
        ya, yb, yc = (y[i].double() - py for i in (a, b, c))
        ea, eb, ec = xb * yc - yb * xc, xc * ya - yc * xa, xa * yb - ya * xb
        inside = ((ea >= 0) & (eb >= 0) & (ec >= 0)) | ((ea <= 0) & (eb <= 0) & (ec <= 0))
        depth = (ea + eb + ec) / (ea / z[a] + eb / z[b] + ec / z[c])
        picture = face // len(faces)
        key = ((depth * _DEPTH_STEPS).long() << _FACE_BITS) | (face - picture * len(faces))
        pixel = (picture * height + py) * width + px
        keys.scatter_reduce_(0, pixel[inside], key[inside], "amin")
        start = stop


def _resolve(
    keys: Tensor, x: Tensor, y: Tensor, z: Tensor, faces: Tensor, height: int, width: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """From the least key of every pixel (B, P) to what is seen there."""
    batch, count = x.shape
    keys = keys.view(-1)
    seen = (keys != _NOTHING).nonzero()[:, 0]
    face = keys[seen] & (MAX_FACES - 1)
    picture = seen // (height * width)
    rest = seen - picture * (height * width)
    py = rest // width
    px = rest - py * width
    a, b, c = (faces[face] + (picture * count)[:, None]).T
    x, y, z = x.reshape(-1).double(), y.reshape(-1).double(), z.reshape(-1).double()
    xa, xb, xc = (x[i] - px for i in (a, b, c))
    ya, yb, yc = (y[i] - py for i in (a, b, c))
    weights = torch.stack([(xb * yc - yb * xc) / z[a], (xc * ya - yc * xa) / z[b], (xa * yb - ya * xb) / z[c]], dim=-1)
    weights = weights / weights.sum(dim=-1, keepdim=True)
    out_face = torch.full_like(keys, -1)
    out_face[seen] = face
    bary = torch.zeros(len(keys), 3, device=x.device)
    bary[seen] = weights.float()
    depth = torch.full((len(keys),), torch.inf, device=x.device)
    depth[seen] = (weights[:, 0] * z[a] + weights[:, 1] * z[b] + weights[:, 2] * z[c]).float()
    front = torch.zeros(len(keys), dtype=torch.bool, device=x.device)
    front[seen] = (xb - xa) * (yc - ya) - (yb - ya) * (xc - xa) < 0
    size = (batch, height, width)
    return out_face.view(size), bary.view(*size, 3), depth.view(size), front.view(size)
