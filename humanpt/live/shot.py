"""What travels through the live pipeline: a picture with its camera, the people found in it, and how long it all took.

Letters: H, W height and width of the picture, K key points, V vertices, J joints, P shape parameters.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from humanpt.data.image import Rgb
from humanpt.detect.detector import BoxKind

Floats = NDArray[np.float32]
FocalSource = Literal["given", "EXIF", "assumed"]
Stage = Literal["capture", "detect", "network", "smooth", "draw", "encode", "total"]
"""Parts of the work on a frame.

"capture" is the reading and decoding of the picture, "encode" what those who show or write it take. "total" is from the
moment the picture was there to the drawn one, so it holds the waiting for one another too, but neither of these two.
"""


@dataclass(frozen=True, kw_only=True, eq=False)
class Camera:
    """The camera that took a picture, and how much of it is known."""

    intrinsics: Floats
    """(3, 3) pixels, without distortion."""
    focal_from: FocalSource
    """Given by the user, read from the picture's EXIF, or assumed to be the picture's longer side."""

    @property
    def focal(self) -> float:
        """Focal length across, pixels."""
        return float(self.intrinsics[0, 0])

    @property
    def line(self) -> str:
        """One honest line for a person, on screen and in files."""
        if self.focal_from == "assumed":
            return f"focal length {self.focal:.0f} px, assumed (the longer side): distances scale with it"
        return f"focal length {self.focal:.0f} px, {self.focal_from}"


@dataclass(frozen=True, kw_only=True, eq=False)
class Shot:
    """A picture as it was taken; never mirrored."""

    number: int
    """Place among all pictures that the source gave, from 0; where some were dropped numbers are missing."""
    timestamp: float
    """Seconds since the source's first picture."""
    picture: Rgb
    """(H, W, 3) uint8; nobody writes into it."""
    camera: Camera
    """What took it."""
    arrived: float
    """`time.perf_counter()` when the picture was there, seconds."""
    decoding: float = 0.0
    """Seconds of work until it was there; waiting for a camera does not count."""
    place: int | None = None
    """Number of the frame in its clip or of the picture in its folder, which begin again; None where it is `number`."""
    name: str | None = None
    """File name of a picture in a folder."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Subject3D:
    """One hand or body in the axes of the picture's camera, metres; CPU arrays."""

    identity: int
    """The same through time."""
    kind: BoxKind
    """`body`, `hand_left`, `hand_right`, or `hand` while nobody knows the side."""
    score: float
    """How sure the pipeline is that somebody is there, 0 to 1."""
    box: Floats
    """(4,) edges x1, y1, x2, y2 in pixels of the picture."""
    keypoints: Floats
    """(K, 3)."""
    pixels: Floats
    """(K, 2) the key points in pixels of the picture."""
    vertices: Floats
    """(V, 3); those of a left hand belong to the left hand of the body model."""
    pose: Floats | None
    """(J, 3, 3) as the body model of that side takes it; None from a network without a model's parameters."""
    shape: Floats | None
    """(P,) None likewise."""
    transl: Floats | None
    """(3,) None likewise."""


@dataclass(frozen=True, kw_only=True, eq=False)
class View:
    """The answer to one shot."""

    shot: Shot
    """The picture."""
    subjects: tuple[Subject3D, ...]
    """Who is in it, in the order of their identities."""
    seconds: Mapping[Stage, float] = field(default_factory=dict)
    """How long each part of the work took."""
    detected: bool = False
    """Whether the detector ran."""
    dropped: int = 0
    """Pictures of the source that nobody looked at, up to now."""
    panels: Mapping[int, Mapping[str, Rgb]] = field(default_factory=dict)
    """(S, S, 3) uint8 pictures to show beside it, by identity and title."""
