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
MAX_FACES = (1 << 24) - 1
"""How many faces a key can tell apart; also the mask of a key's face."""

_FACE_BITS = 24
_DEPTH_STEPS = float(1 << 20)  # per metre: about a micrometre; 19 bits are left for whole metres
_NOTHING = torch.iinfo(torch.int64).max
_ITEMS_AT_ONCE = {"cpu": 1 << 17, "cuda": 1 << 22}  # faces or pixels: what fits into a cache; what keeps a GPU busy
_CANDIDATES_AT_ONCE = {"cpu": 1 << 15, "cuda": 1 << 23}  # pixels in boxes of faces, on which the memory depends most


@torch.no_grad()
def nearest_faces(
    vertices_cam: Tensor, faces: Tensor, intrinsics: Tensor, height: int, width: int, cull: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """What `rasterize` returns, as the tensors face, bary, depth and front; arguments as there, already checked."""
    batch, device = len(vertices_cam), vertices_cam.device
    size = (batch, height, width)
    face = torch.empty(size, dtype=torch.int64, device=device)
    bary = torch.zeros(*size, 3, device=device)
    depth = torch.full(size, torch.inf, device=device)
    front = torch.zeros(size, dtype=torch.bool, device=device)
    x, y, z = _project(vertices_cam, intrinsics)  # each (B, V)
    pictures = max(1, _ITEMS_AT_ONCE.get(device.type, 1 << 16) // max(len(faces), height * width))
    for first in range(0, batch, pictures):
        some = slice(first, first + pictures)
        corners = _Corners(x[some], y[some], z[some], faces)
        keys = torch.full((len(x[some]) * height * width,), _NOTHING, dtype=torch.int64, device=device)
        _draw(keys, corners, height, width, cull)
        _resolve(keys, corners, face[some], bary[some], depth[some], front[some])
    return face, bary, depth, front


class _Corners:
    """The projected corners of the faces of some pictures, face after face, picture after picture."""

    def __init__(self, x: Tensor, y: Tensor, z: Tensor, faces: Tensor) -> None:
        self.count = len(faces)
        first = torch.arange(len(x), device=x.device)[:, None] * x.shape[1]
        self.vertex = [(faces[:, i] + first).view(-1) for i in range(3)]  # 3 of (N)
        self.x, self.y, self.z = x.reshape(-1), y.reshape(-1), z.reshape(-1)

    def of(self, values: Tensor, found: Tensor | None = None) -> list[Tensor]:
        """What the three corners of all faces, or of those found (M), have of x, y or z."""
        if found is None:
            return [values.index_select(0, i) for i in self.vertex]
        return [values.index_select(0, i.index_select(0, found)).double() for i in self.vertex]


def _project(vertices_cam: Tensor, intrinsics: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Pixels x, y, nan where a vertex is too near, and depth z, each (B, V) float32.

    Written out, as the order of the sums of a matrix product is the library's own and changes with the batch.
    """
    x, y, z = vertices_cam.float().unbind(-1)
    k = intrinsics.float()[:, :, :, None]
    distance = torch.where(z >= NEAR, z, torch.nan)
    return (k[:, 0, 0] * x + k[:, 0, 1] * y) / distance + k[:, 0, 2], k[:, 1, 1] * y / distance + k[:, 1, 2], z


def _draw(keys: Tensor, corners: _Corners, height: int, width: int, cull: bool) -> None:
    """Lower the keys (P) of some pictures to the least that their faces offer."""
    x0, x1, x2 = corners.of(corners.x)
    y0, y1, y2 = corners.of(corners.y)
    # The whole pixels inside each face's box. A nan compares false, so that faces too near go here as well.
    left = torch.minimum(torch.minimum(x0, x1), x2).ceil_().clamp_(min=0)
    top = torch.minimum(torch.minimum(y0, y1), y2).ceil_().clamp_(min=0)
    right = torch.maximum(torch.maximum(x0, x1), x2).floor_().clamp_(max=width - 1)
    bottom = torch.maximum(torch.maximum(y0, y1), y2).floor_().clamp_(max=height - 1)
    area = (x1 - x0).mul_(y2 - y0).sub_((y1 - y0).mul_(x2.sub_(x0)))
    drawn = torch.minimum(right - left, bottom - top) >= 0
    drawn &= (area < 0) if cull else (area != 0)
    found = drawn.nonzero()[:, 0]
    left, top, right, bottom = (side.index_select(0, found).double() for side in (left, top, right, bottom))
    sign = area.index_select(0, found).sign_().double()
    columns = right.sub_(left).add_(1)
    pixels = bottom.sub_(top).add_(1).mul_(columns).long()
    picture = found // corners.count
    # Of each face found: its corners seen from the first pixel of its box, in mirror writing if it shows its back, so
    # that the inside is where all edges are positive; then what else its pixels need.
    values = [v.sub_(left).mul_(sign) for v in corners.of(corners.x, found)]
    values += [v.sub_(top) for v in corners.of(corners.y, found)]
    values += [v.reciprocal_() for v in corners.of(corners.z, found)]
    values += [sign, columns, (picture * height + top.long()) * width + left.long(), found - picture * corners.count]
    limit = _CANDIDATES_AT_ONCE.get(keys.device.type, 1 << 15)
    ends = pixels.cumsum(0)
    begins = ends - pixels
    start, before = 0, 0
    while start < len(found):
        stop = max(start + 1, int(torch.searchsorted(ends, before + limit, right=True)))
        after = int(ends[stop - 1])
        which = torch.repeat_interleave(pixels[start:stop], output_size=after - before)
        xa, xb, xc, ya, yb, yc, za, zb, zc, px, cols, pixel, face = (
            v[start:stop].index_select(0, which) for v in values
        )
        order = torch.arange(before, after, device=keys.device).sub_(begins[start:stop].index_select(0, which))
        pixel += order
        order = order.double()
        py = (order + 0.5).div_(cols).floor_()
        cols.mul_(py)
        order -= cols
        pixel += (py * width - cols).long()
        px *= order
        for x in (xa, xb, xc):
            x -= px
        for y in (ya, yb, yc):
            y -= py
        ea = (xb * yc).sub_(yb * xc)
        eb = (xc * ya).sub_(yc.mul_(xa))
        ec = xa.mul_(yb).sub_(ya.mul_(xb))
        least = torch.minimum(torch.minimum(ea, eb), ec)
        share = za.mul_(ea).add_(zb.mul_(eb)).add_(zc.mul_(ec))
        depth = ea.add_(eb).add_(ec).div_(share).mul_(_DEPTH_STEPS).add_(0.5)
        key = depth.long().bitwise_left_shift_(_FACE_BITS).bitwise_or_(face)
        outside = least.add_(0.0).view(torch.int64) >> 63  # all bits of a number below 0; adding 0 makes a -0 positive
        keys.scatter_reduce_(0, pixel, key.bitwise_or_(outside).bitwise_and_(_NOTHING), "amin")
        start, before = stop, after


def _resolve(keys: Tensor, corners: _Corners, face: Tensor, bary: Tensor, depth: Tensor, front: Tensor) -> None:
    """Fill the pixels (b, H, W) of some pictures from the least keys (P)."""
    height, width = face.shape[1:]
    named = keys.add_(1).bitwise_and_(MAX_FACES)  # the face plus one; one after the greatest key ends in zeros
    torch.sub(named, 1, out=face.view(-1))
    seen = named.nonzero()[:, 0]
    row = torch.div(seen, width, rounding_mode="floor")
    picture = row // height
    found = named.index_select(0, seen).add_(picture * corners.count - 1)
    px, py = seen - row * width, row - picture * height
    xa, xb, xc = (v.sub_(px) for v in corners.of(corners.x, found))
    ya, yb, yc = (v.sub_(py) for v in corners.of(corners.y, found))
    za, zb, zc = corners.of(corners.z, found)
    ea, eb, ec = (xb * yc).sub_(yb * xc), (xc * ya).sub_(yc * xa), (xa * yb).sub_(ya * xb)
    area = ea + eb + ec
    ea, eb, ec = ea.div_(za), eb.div_(zb), ec.div_(zc)
    share = ea + eb + ec
    weights = torch.stack([ea, eb, ec], dim=1).div_(share[:, None])
    bary.view(-1, 3).index_copy_(0, seen, weights.float())
    depth.view(-1).index_copy_(0, seen, (area / share).float())
    front.view(-1).index_copy_(0, seen, area < 0)
