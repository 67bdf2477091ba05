"""A view drawn for people: meshes, boxes, who is who, how long the work takes, and which focal length was used.

Only here may the picture be turned into a mirror's; text stays readable in it, and no number knows of it.

H W the picture's size, V vertices, F faces
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from humanpt.body.model import BodyModel
from humanpt.data.image import Rgb
from humanpt.detect.detector import BoxKind
from humanpt.live.latency import Latencies
from humanpt.live.shot import Stage, Subject3D, View
from humanpt.render.overlay import colour_of, draw_boxes, draw_mesh

STAGES: tuple[Stage, ...] = ("capture", "detect", "network", "smooth", "draw", "encode")
"""The parts of the work, in the order in which they are done."""
SIDES: dict[BoxKind, str] = {"body": "", "hand": "hand", "hand_left": "left", "hand_right": "right"}
"""What a person calls them, beside the identity."""

Faces = Mapping[BoxKind, NDArray[np.int64]]
"""(F, 3) the triangles of each kind of subject."""

_RECENT = 90  # views that a median is taken of: a few seconds
_CALM = 5  # views between two looks at the medians
_FULL = 0.1  # seconds that fill a bar
_BAR, _LINE, _NAME, _MARGIN = 72, 15, 58, 6  # pixels: a full bar, a line of text, room for a name, the border
_USUAL = 720  # pixels across; text grows with what is wider
_INK, _QUIET = (240, 240, 240), (90, 176, 240)


class RecentTimes:
    """How long each part of the work took over the last few seconds, and how many views came; safe to share."""

    def __init__(self) -> None:
        self._latencies = Latencies(_RECENT)
        self._arrived: deque[float] = deque(maxlen=_RECENT)
        self._lock = threading.Lock()
        self._added = 0
        self.medians: Mapping[Stage, float] = {}
        """Seconds, for each part that was ever done; brought up to date with every few views, to be calm and cheap."""

    def add(self, view: View) -> None:
        """Take one more view's times."""
        self._latencies.add(view.seconds)
        with self._lock:
            self._arrived.append(view.shot.arrived)
        if self._added % _CALM == 0:
            self.medians = {stage: spread.p50 for stage, spread in self._latencies.spreads().items()}
        self._added += 1

    @property
    def rate(self) -> float:
        """Views a second; 0 before the second one."""
        with self._lock:
            passed = self._arrived[-1] - self._arrived[0] if self._arrived else 0.0
            return (len(self._arrived) - 1) / passed if passed > 0 else 0.0


def faces_of(body: BodyModel) -> Faces:
    """The triangles of each kind that a body model stands for; those of left hands run the other way round.

    Args:
        body: a body, or a right hand.
    """
    faces = body.faces.cpu().numpy()
    if body.layout.subject == "body":
        return {"body": faces}
    return {"hand": faces, "hand_right": faces, "hand_left": np.ascontiguousarray(faces[:, ::-1])}


def rims_of(faces: NDArray[np.int64]) -> list[list[int]]:
    """The openings of a mesh, such as a hand's at the wrist: vertices along each, as the triangles (F, 3) run there."""
    edges = {(int(a), int(b)) for a, b in faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2)}
    after = {a: b for a, b in edges if (b, a) not in edges}
    rims = []
    while after:
        rim = [next(iter(after))]
        while (vertex := after.pop(rim[-1], None)) is not None and vertex != rim[0]:
            rim.append(vertex)
        rims.append(rim)
    return rims


class Shell:
    """Triangles to draw, with flat lids on what is open, so that no inside can be seen and backs need not be drawn.

    Args:
        faces: (F, 3) counter-clockwise seen from outside.
    """

    def __init__(self, faces: NDArray[np.int64]) -> None:
        self._count = int(faces.max()) + 1  # vertices that triangles have
        rims, lids, first = rims_of(faces), [faces], self._count
        for rim in rims:  # a lid has vertices of its own, as it meets the surface in an edge that is not rounded
            own = np.arange(first, first + len(rim))
            lids.append(np.stack([np.full(len(rim) - 2, own[0]), own[2:], own[1:-1]], axis=1))
            first += len(rim)
        self._rims = torch.tensor([vertex for rim in rims for vertex in rim], dtype=torch.int64)
        self.faces = torch.from_numpy(np.concatenate(lids))
        """(F + L, 3)."""

    def vertices(self, of_mesh: NDArray[np.float32]) -> Tensor:
        """Those of a mesh (V, 3) with those of the lids."""
        vertices = torch.from_numpy(of_mesh)
        return torch.cat((vertices[: self._count], vertices.index_select(0, self._rims)))


def called(subject: Subject3D) -> str:
    """Identity and side as written beside a subject."""
    return f"{subject.identity} {SIDES[subject.kind]}".rstrip()


class Drawer:
    """Draws one view after the other."""

    mirrored: bool
    """Whether pictures are shown as in a mirror; may be set at any time, by any thread."""

    def __init__(self, faces: Faces, *, mirrored: bool = False, bars: bool = True) -> None:
        """Prepare to draw.

        Args:
            faces: the triangles of each kind, from `faces_of`; of a kind without any only the box is drawn.
            mirrored: whether to begin as a mirror.
            bars: draw how long each part of the work takes.
        """
        self.mirrored = mirrored
        self._bars = bars
        self._shells = {kind: Shell(np.asarray(of_kind)) for kind, of_kind in faces.items()}
        self._times = RecentTimes()
        self._told: Mapping[Stage, float] | None = None  # what the plates say; they are made anew when that changes
        self._line: tuple[str, int] | None = None  # and the width of the picture

    def __call__(self, view: View) -> Rgb:
        """Draw a view.

        Returns:
            (H, W, 3) uint8 RGB, a new picture of the shot's size.
        """
        mirrored, subjects = self.mirrored, view.subjects
        picture = view.shot.picture
        meshes = [subject for subject in subjects if subject.kind in self._shells]
        drawn = draw_mesh(
            picture,
            [self._shells[subject.kind].vertices(subject.vertices) for subject in meshes],
            [self._shells[subject.kind].faces for subject in meshes],
            torch.from_numpy(view.shot.camera.intrinsics),
            colours=[colour_of(subject.identity) for subject in meshes],
            cull=True,
        )
        if mirrored:
            drawn = np.ascontiguousarray(drawn[:, ::-1])
        if subjects:
            boxes = np.stack([subject.box for subject in subjects])
            colours = [colour_of(subject.identity) for subject in subjects]
            seen = mirrored_boxes(boxes, picture.shape[1]) if mirrored else boxes
            larger, labels = larger_by(picture.shape[1]), [called(one) for one in subjects]
            drawn = draw_boxes(drawn, seen, labels=labels, colours=colours, thickness=round(larger), larger=larger)
        self._times.add(view)
        if self._bars and self._times.medians:
            if self._told is not self._times.medians:
                self._told = self._times.medians
                self._bars_plate = bars_plate(self._told, self._times.rate)
            lay(self._bars_plate, drawn, _MARGIN)
        line = view.shot.camera.line, drawn.shape[1]
        if self._line != line:
            self._line, self._line_plate = line, line_plate(*line)
        lay(self._line_plate, drawn, len(drawn) - _MARGIN - len(self._line_plate))
        return drawn


def mirrored_boxes(boxes: NDArray[np.floating], width: int) -> NDArray[np.floating]:
    """Where boxes (N, 4), edges in pixels, lie in the mirror of a picture that is so many pixels wide."""
    edges = np.array(boxes, copy=True)
    edges[:, [0, 2]] = width - 1 - boxes[:, [2, 0]]
    return edges


def bars_plate(medians: Mapping[Stage, float], rate: float) -> Rgb:
    """A bar for each part of the work, and all of it together.

    Args:
        medians: seconds of each part.
        rate: pictures a second.

    Returns:
        (h, w, 3) uint8 writing on black.
    """
    shown = [stage for stage in STAGES if stage in medians]
    total = medians.get("total", sum(medians[stage] for stage in shown))
    plate: Rgb = np.zeros((_LINE * (len(shown) + 1) + 4, _NAME + _BAR + 62, 3), np.uint8)
    write_line(plate, f"{1000 * total:.0f} ms   {rate:.1f} pictures/s", (4, _LINE - 3))
    for row, stage in enumerate(shown, 1):
        base = _LINE * (row + 1) - 3
        length = round(_BAR * min(1.0, medians[stage] / _FULL))
        write_line(plate, stage, (4, base))
        cv2.rectangle(plate, (_NAME, base - 8), (_NAME + max(1, length), base), _QUIET, -1)
        write_line(plate, f"{1000 * medians[stage]:.1f}", (_NAME + _BAR + 6, base))
    return plate


def line_plate(line: str, width: int) -> Rgb:
    """A line of text, broken where the picture ends, in letters that grow with wide pictures.

    Args:
        line: what is told.
        width: of the picture, pixels.

    Returns:
        (h, w, 3) uint8 writing on black.
    """
    larger = larger_by(width)
    rows = [""]
    for word in line.split():
        longer = f"{rows[-1]} {word}".strip()
        fits = _width(longer, larger) + 2 * _MARGIN + 8 <= width
        rows = [*rows[:-1], longer] if fits or not rows[-1] else [*rows, word]
    step = round(_LINE * larger)
    plate: Rgb = np.zeros((step * len(rows) + 2, max(_width(row, larger) for row in rows) + 8, 3), np.uint8)
    for number, row in enumerate(rows, 1):
        write_line(plate, row, (4, step * number - 3), larger)
    return plate


def larger_by(width: int) -> float:
    """How many times as large as usual text is in a picture that is so many pixels wide."""
    return max(1.0, width / _USUAL)


def _width(text: str, larger: float) -> int:
    (width, _), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 0.4 * larger, 1)
    return int(width)


def lay(plate: Rgb, picture: Rgb, top: int) -> None:
    """Lay writing on black over a picture near its left edge, the picture darkened under it; what juts out is lost.

    Args:
        plate: (h, w, 3).
        picture: (H, W, 3), drawn into.
        top: row of the picture, pixels.
    """
    ground = picture[max(0, top) : max(0, top + len(plate)), _MARGIN : _MARGIN + plate.shape[1]]
    np.maximum(ground // 3, plate[max(0, -top) :][: len(ground), : ground.shape[1]], out=ground)


def write_line(picture: Rgb, text: str, corner: tuple[int, int], larger: float = 1.0) -> None:
    """Write a line into a picture (H, W, 3).

    Args:
        corner: where the line begins and its letters stand, pixels across and down.
        larger: how many times the usual size.
    """
    cv2.putText(picture, text, corner, cv2.FONT_HERSHEY_SIMPLEX, 0.4 * larger, _INK, 1, cv2.LINE_AA)
