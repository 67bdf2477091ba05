"""The z-buffer itself: the nearest face of a mesh at every pixel centre, by batched tensor operations alone.

Each face is expanded into the pixels of its box; those inside its three edges offer an integer key made of depth and
face, and each pixel keeps the least. A minimum does not ask for order, so the same input gives the same bits on every
run, with any number of threads and in any batch; every number that decides comes from single IEEE operations.

Source: the edge functions of Pineda, A Parallel Algorithm for Polygon Rasterization, SIGGRAPH 1988; perspective-correct
interpolation as in Heckbert and Moreton, Interpolation for Polygon Texture Mapping and Shading, 1991.

B pictures, H W their size, V vertices, F faces, N triangles of some pictures, P pixels
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

NEAR = 1e-3
"""Triangles with a vertex nearer than this to the camera plane, in metres, are left out."""
MAX_FACES = (1 << 24) - 1
"""How many faces a key can tell apart; also the mask of a key's face."""

_FACE_BITS = 24
_DEPTH_STEPS = float(1 << 20)  # per metre: about a micrometre; 19 bits are left for whole metres
_HAIR = 1e-6  # of a pixel
_NOTHING = torch.iinfo(torch.int64).max
_ITEMS_AT_ONCE = {"cpu": 1 << 17, "cuda": 1 << 22}  # faces or pixels: what fits into a cache; what keeps a GPU busy
_COPIES_AT_ONCE = {"cpu": 1 << 15, "cuda": 1 << 23}  # of faces, one a pixel of the box: what the memory depends on most


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
    memory = torch.empty(min(batch, pictures) * height * width, dtype=torch.int64, device=device)
    for first in range(0, batch, pictures):
        some = slice(first, first + pictures)
        corners = _Corners(x[some], y[some], z[some], faces)
        keys = memory[: len(x[some]) * height * width].fill_(_NOTHING)
        _draw(keys, corners, _Boxes(corners, height, width, 0.0, cull), width)
        _resolve(keys, corners, face[some], bary[some], depth[some], front[some])
    return face, bary, depth, front


@torch.no_grad()
def seen_faces(
    vertices_cam: Tensor, faces: Tensor, intrinsics: Tensor, height: int, width: int, values: Tensor, *, cull: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """What `rasterize` and `interpolate` find in one picture, of the pixels alone that show something.

    The same faces, but where a pixel centre lies within a hair's breadth of an edge. The work goes by what is seen and
    not by the size of the picture, so that a hand in a large picture is quick.

    Args:
        vertices_cam: (1, V, 3) metres, camera axes.
        faces: (F, 3) corners.
        intrinsics: (1, 3, 3) pixels.
        height: of the picture in pixels.
        width: of the picture in pixels.
        values: (V,) what vertices carry.
        cull: leave out faces seen from behind.

    Returns:
        (P,) int64 indices of pixels, row by row; (P,) int64 the face that each shows; (P,) float32 the value there.
    """
    x, y, z = _project(vertices_cam, intrinsics)
    corners = _Corners(x, y, z, faces)
    boxes = _Boxes(corners, height, width, 0.0, cull)
    if not len(boxes.found):
        nothing = torch.empty(0, dtype=torch.int64, device=x.device)
        return nothing, nothing, x.new_empty(0)
    heights = boxes.pixels.div(boxes.columns, rounding_mode="floor")
    left, top = int(boxes.left.min()), int(boxes.top.min())
    right, bottom = int((boxes.left + boxes.columns).max()), int((boxes.top + heights).max())
    across = right - left
    boxes.left.sub_(left)
    boxes.top.sub_(top)
    xs = [v.sub_(left) for v in corners.of(corners.x, boxes.found)]
    ys = [v.sub_(top) for v in corners.of(corners.y, boxes.found)]
    edges = _slopes(xs, ys)  # in the window that all faces lie in
    weights = [1 / v for v in corners.of(corners.z, boxes.found)]
    nearness = _plane(edges, weights)
    keys = torch.full(((bottom - top) * across,), _NOTHING, dtype=torch.int64, device=x.device)
    _draw_spans(keys, boxes, heights.long(), _bounds(edges, boxes.sign), nearness, across)
    named = keys.add_(1).bitwise_and_(MAX_FACES)  # the row of the face plus one, as in _resolve
    seen = named.nonzero()[:, 0]
    row = named.index_select(0, seen).sub_(1)
    py = torch.div(seen, across, rounding_mode="floor")
    px = seen - py * across
    carried = [v.mul_(weight) for v, weight in zip(corners.of(values.float(), boxes.found), weights, strict=True)]
    value = _on_plane(_plane(edges, carried), row, px, py).div_(_on_plane(nearness, row, px, py)).float()
    return py.add_(top).mul_(width).add_(px).add_(left), boxes.found.index_select(0, row), value


@torch.no_grad()
def nearest_depths(
    vertices_cam: Tensor, faces: Tensor, intrinsics: Tensor, pixels: Tensor, height: int, width: int
) -> Tensor:
    """The depth of the nearest face at any positions, not at pixel centres alone.

    Args:
        vertices_cam: (B, V, 3) metres, camera axes.
        faces: (F, 3) corners.
        intrinsics: (B, 3, 3) or (1, 3, 3), pixels.
        pixels: (B, N, 2) positions (x, y).
        height: of the pictures in pixels.
        width: of the pictures in pixels.

    Returns:
        (B, N) float32 z in metres, infinite where no face is or the position is outside of the picture.
    """
    depth = torch.full(pixels.shape[:2], torch.inf, dtype=torch.float64, device=pixels.device)
    x, y, z = _project(vertices_cam, intrinsics)
    pictures = max(1, _ITEMS_AT_ONCE.get(x.device.type, 1 << 16) // max(len(faces), height * width))
    for first in range(0, len(x), pictures):
        some = slice(first, first + pictures)
        _probe(depth[some], pixels[some], _Corners(x[some], y[some], z[some], faces), height, width)
    return depth.float()


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


class _Boxes:
    """The faces that have an area and may show, with the pixels that each may cover: a box, row by row."""

    def __init__(self, corners: _Corners, height: int, width: int, margin: float, cull: bool) -> None:
        """Find the pixels whose centres are at most `margin` outside of the faces' boxes."""
        x0, x1, x2 = corners.of(corners.x)
        y0, y1, y2 = corners.of(corners.y)
        # A nan compares false, so that faces too near go here as well.
        left = torch.minimum(torch.minimum(x0, x1), x2).sub_(margin).ceil_().clamp_(min=0)
        top = torch.minimum(torch.minimum(y0, y1), y2).sub_(margin).ceil_().clamp_(min=0)
        right = torch.maximum(torch.maximum(x0, x1), x2).add_(margin).floor_().clamp_(max=width - 1)
        bottom = torch.maximum(torch.maximum(y0, y1), y2).add_(margin).floor_().clamp_(max=height - 1)
        area = (x1 - x0).mul_(y2 - y0).sub_((y1 - y0).mul_(x2.sub_(x0)))
        drawn = torch.minimum(right - left, bottom - top) >= 0
        drawn &= (area < 0) if cull else (area.abs() > 0)
        self.found = found = drawn.nonzero()[:, 0]  # (M) their indices
        self.sign = area.index_select(0, found).sign_().double()  # -1 seen from outside, 1 from behind
        self.left, self.top, right, bottom = (
            side.index_select(0, found).double() for side in (left, top, right, bottom)
        )
        self.columns = right.sub_(self.left).add_(1)
        self.pixels = bottom.sub_(self.top).add_(1).mul_(self.columns).long()  # (M) how many
        picture = found // max(1, corners.count)
        self.face = found - picture * corners.count
        self.first = (picture * height + self.top.long()).mul_(width).add_(self.left.long())  # (M) index of a pixel


def _repeat(counts: Tensor) -> Iterator[tuple[slice, Tensor, Tensor]]:
    """Repeat each row as often as it counts, so many copies at a time that they stay in a cache.

    Yields:
        Which rows; (C) for each copy its row, counted from the first of these; (C) its number among its row's copies.
    """
    limit = _COPIES_AT_ONCE.get(counts.device.type, 1 << 15)
    ends = counts.cumsum(0)
    begins = ends - counts
    total = int(ends[-1]) if len(ends) else 0
    cuts = torch.arange(0, total + limit, limit, device=counts.device).clamp_(max=total)
    starts = torch.searchsorted(ends, cuts[:-1], right=True).tolist()
    stops = torch.searchsorted(ends, cuts[1:]).add_(1).tolist()
    for block, (start, stop) in enumerate(zip(starts, stops, strict=True)):
        before, after = block * limit, min(total, (block + 1) * limit)
        rows = slice(start, stop)  # the first and the last of them may be cut
        copies = ends[rows].clamp(max=after) - begins[rows].clamp(min=before)
        which = torch.repeat_interleave(copies, output_size=after - before)
        number = torch.arange(before, after, device=counts.device)
        yield rows, which, number.sub_(begins[rows].index_select(0, which))


def _edges(xa: Tensor, xb: Tensor, xc: Tensor, ya: Tensor, yb: Tensor, yc: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Twice the areas that a point makes with the edges bc, ca and ab, whose corners are given as seen from the point.

    A neighbour that has the same edge gets the same number with the other sign, so that no point between two faces is
    outside of both, however it is rounded.
    """
    return (xb * yc).sub_(yb * xc), (xc * ya).sub_(yc * xa), (xa * yb).sub_(ya * xb)


def _draw(keys: Tensor, corners: _Corners, boxes: _Boxes, width: int) -> None:
    """Lower the keys (P) of some pictures to the least that their faces offer."""
    # The corners as seen from the first pixel of the box, in mirror writing where a face shows its back, so that inside
    # is where all edges are positive.
    values = [v.sub_(boxes.left).mul_(boxes.sign) for v in corners.of(corners.x, boxes.found)]
    values += [v.sub_(boxes.top) for v in corners.of(corners.y, boxes.found)]
    values += [v.reciprocal_() for v in corners.of(corners.z, boxes.found)]
    values += [boxes.sign, boxes.columns, boxes.first, boxes.face]
    for rows, which, number in _repeat(boxes.pixels):
        xa, xb, xc, ya, yb, yc, za, zb, zc, px, columns, pixel, face = (v[rows].index_select(0, which) for v in values)
        pixel += number
        step = number.double()
        py = (step + 0.5).div_(columns).floor_()
        columns *= py
        step -= columns
        pixel += (py * width).sub_(columns).long()
        px *= step
        for x in (xa, xb, xc):
            x -= px
        for y in (ya, yb, yc):
            y -= py
        ea, eb, ec = _edges(xa, xb, xc, ya, yb, yc)
        least = torch.minimum(torch.minimum(ea, eb), ec)
        share = za.mul_(ea).add_(zb.mul_(eb)).add_(zc.mul_(ec))
        depth = ea.add_(eb).add_(ec).div_(share).mul_(_DEPTH_STEPS).add_(0.5)
        key = depth.long().bitwise_left_shift_(_FACE_BITS).bitwise_or_(face)
        outside = least.add_(0.0).view(torch.int64) >> 63  # all bits of a number below 0; adding 0 makes a -0 positive
        keys.scatter_reduce_(0, pixel, key.bitwise_or_(outside).bitwise_and_(_NOTHING), "amin")


def _draw_spans(
    keys: Tensor, boxes: _Boxes, heights: Tensor, bounds: Tensor, nearness: Sequence[Tensor], width: int
) -> None:
    """What `_draw` does in a window of one picture, by the rows of faces in place of their boxes.

    Two edges bound each row of a face, so that only pixels inside are looked at. What lies within a hair's breadth of
    an edge counts for the faces on both of its sides, so that rounding leaves no holes.

    Args:
        keys: (P) of the window, which name rows of `boxes` in place of faces.
        boxes: of M faces in the window.
        heights: (M) of the boxes.
        bounds: (12, M) from `_bounds`.
        nearness: the plane of 1 / z.
        width: of the window.
    """
    last = boxes.left + boxes.columns - 1
    for rows, which, number in _repeat(heights):
        face = which + rows.start
        py = boxes.top.index_select(0, face).add_(number)
        low, rise, high, fall = bounds.index_select(1, face).view(4, 3, -1)
        start = rise.mul_(py).add_(low).amax(dim=0).sub_(_HAIR).ceil_()
        start = torch.maximum(start, boxes.left.index_select(0, face))
        end = fall.mul_(py).add_(high).amin(dim=0).add_(_HAIR).floor_()
        counts = torch.minimum(end, last.index_select(0, face)).sub_(start).add_(1).clamp_(min=0).long()
        at, across, down = (part.index_select(0, face) for part in nearness)
        at += down.mul_(py).addcmul_(across, start)
        pixel = py.mul_(width).add_(start).long()
        for part, again, nth in _repeat(counts):
            near = across[part].index_select(0, again).mul_(nth).add_(at[part].index_select(0, again))
            key = near.reciprocal_().mul_(_DEPTH_STEPS).add_(0.5).long().bitwise_left_shift_(_FACE_BITS)
            key.bitwise_or_(face[part].index_select(0, again))
            keys.scatter_reduce_(0, pixel[part].index_select(0, again).add_(nth), key, "amin")


def _slopes(xs: Sequence[Tensor], ys: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """The numbers of `_edges` as planes over a picture: at its first pixel, a column on and a row on, each (3, M)."""
    (xa, xb, xc), (ya, yb, yc) = xs, ys
    still = torch.stack(_edges(xa, xb, xc, ya, yb, yc))
    return still, torch.stack((yb - yc, yc - ya, ya - yb)), torch.stack((xc - xb, xa - xc, xb - xa))


def _bounds(edges: Sequence[Tensor], sign: Tensor) -> Tensor:
    """(12, M): between which columns 3 edges leave a row: lowest in row 0, what a row adds, and so for the highest."""
    still, across, down = edges
    at, step = -still / across, -down / across
    lower, upper = across * sign > 0, across * sign < 0  # of a level edge neither: it bounds no row
    ends = torch.where(lower, at, -torch.inf), torch.where(upper, at, torch.inf)
    return torch.cat((ends[0], torch.where(lower, step, 0.0), ends[1], torch.where(upper, step, 0.0)))


def _plane(edges: Sequence[Tensor], values: Sequence[Tensor]) -> list[Tensor]:
    """What corners carry, 3 of (M), as a plane over the picture: at its first pixel, a column on and a row on."""
    area, carried = edges[0].sum(dim=0), torch.stack(list(values))
    return [(slope * carried).sum(dim=0).div_(area) for slope in edges]


def _on_plane(plane: Sequence[Tensor], row: Tensor, px: Tensor, py: Tensor) -> Tensor:
    """(P,) what planes of M faces, each by its row, have at pixels."""
    still, across, down = (part.index_select(0, row) for part in plane)
    there: Tensor = across.mul_(px).add_(still).add_(down.mul_(py))
    return there


def _probe(depth: Tensor, pixels: Tensor, corners: _Corners, height: int, width: int) -> None:
    """Lower the depths (b, N) at some positions (b, N, 2) to the least that the faces of their pictures have there."""
    cell = pixels.double().add(0.5).floor_()
    size = cell.new_tensor([width, height])
    inside = ((cell >= 0) & (cell < size)).all(dim=-1)
    points = inside.view(-1).nonzero()[:, 0]
    column, row = cell.view(-1, 2).index_select(0, points).long().unbind(1)
    cell, order = ((points // max(1, pixels.shape[1]) * height + row) * width + column).sort()
    points = points.index_select(0, order)  # by the pixel that they are in
    counts = torch.bincount(cell, minlength=len(pixels) * height * width)
    begins = counts.cumsum(0) - counts
    px, py = pixels.reshape(-1, 2).index_select(0, points).double().unbind(1)
    boxes = _Boxes(corners, height, width, 0.5, False)
    xs, ys, zs = (corners.of(v, boxes.found) for v in (corners.x, corners.y, corners.z))
    for rows, which, number in _repeat(boxes.pixels):
        columns = boxes.columns[rows].long().index_select(0, which)
        row = torch.div(number, columns, rounding_mode="floor")
        pixel = boxes.first[rows].index_select(0, which) + row * width + (number - row * columns)
        held = counts.index_select(0, pixel)
        some = held.nonzero()[:, 0]  # pixels of boxes that hold points
        face, pixel = which.index_select(0, some) + rows.start, pixel.index_select(0, some)
        for part, again, nth in _repeat(held.index_select(0, some)):
            point = begins.index_select(0, pixel[part].index_select(0, again)) + nth
            face_of = face[part].index_select(0, again)
            x, y = px.index_select(0, point), py.index_select(0, point)
            sign = boxes.sign.index_select(0, face_of)
            xa, xb, xc = (v.index_select(0, face_of).sub_(x).mul_(sign) for v in xs)
            ya, yb, yc = (v.index_select(0, face_of).sub_(y) for v in ys)
            za, zb, zc = (v.index_select(0, face_of) for v in zs)
            ea, eb, ec = _edges(xa, xb, xc, ya, yb, yc)
            least = torch.minimum(torch.minimum(ea, eb), ec)
            there = (ea + eb + ec) / (ea / za + eb / zb + ec / zc)
            there = torch.where(least >= 0, there, torch.inf)
            depth.view(-1).scatter_reduce_(0, points.index_select(0, point), there, "amin")


def _resolve(keys: Tensor, corners: _Corners, face: Tensor, bary: Tensor, depth: Tensor, front: Tensor) -> None:
    """Fill the pixels (b, H, W) of some pictures from the least keys (P)."""
    height, width = face.shape[1:]
    named = keys.add_(1).bitwise_and_(MAX_FACES)  # the face plus one; one after the greatest key ends in zeros
    torch.sub(named, 1, out=face.view(-1))
    limit = _COPIES_AT_ONCE.get(keys.device.type, 1 << 15)
    drawn = named.nonzero()[:, 0]
    for start in range(0, len(drawn), limit):
        seen = drawn[start : start + limit]
        row = torch.div(seen, width, rounding_mode="floor")
        picture = row // height
        found = named.index_select(0, seen).add_(picture * corners.count - 1)
        px, py = seen - row * width, row - picture * height
        weights, there, outside = _on_surface(corners, found, px, py)
        bary.view(-1, 3).index_copy_(0, seen, weights)
        depth.view(-1).index_copy_(0, seen, there)
        front.view(-1).index_copy_(0, seen, outside)


def _on_surface(corners: _Corners, found: Tensor, px: Tensor, py: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Where on their faces pixels lie: (P, 3) weights of the corners, (P,) depth, (P,) whether the outside is seen."""
    xa, xb, xc = (v.sub_(px) for v in corners.of(corners.x, found))
    ya, yb, yc = (v.sub_(py) for v in corners.of(corners.y, found))
    za, zb, zc = corners.of(corners.z, found)
    ea, eb, ec = _edges(xa, xb, xc, ya, yb, yc)
    area = ea + eb + ec
    ea, eb, ec = ea.div_(za), eb.div_(zb), ec.div_(zc)
    share = ea + eb + ec
    weights = torch.stack([ea, eb, ec], dim=1).div_(share[:, None])
    return weights.float(), (area / share).float(), area < 0
