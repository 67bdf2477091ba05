"""What rooms are made of: covered faces, panels on them, furniture, and open country.

Letters: H W size of a picture.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from humanpt.render.materials import Colour

FLOOR, CEILING, LEFT, RIGHT, FRONT, BACK = 3, 2, 0, 1, 4, 5
"""Numbers of the box's faces: -x, +x, -y (above), +y (below), -z, +z."""


@dataclass(frozen=True, kw_only=True)
class Face:
    """What one face of the room, or a piece of furniture, is covered with."""

    kind: str
    """One of `textures.SURFACES`."""
    colour: Colour
    """Linear reflectance."""
    second: Colour
    """Linear reflectance of the texture's other colour."""
    period: float
    """Metres after which the texture repeats."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Panel:
    """A flat thing on a face of the room: a framed picture, a window, a door, a rug."""

    face: int
    """Which face: `FLOOR`, `LEFT`, ..."""
    centre: tuple[float, float]
    """Where on the face, metres along its two axes."""
    half: tuple[float, float]
    """Half its width and height, metres."""
    picture: Tensor
    """(H, W, 3) float32 linear."""
    frame: float
    """Width of its frame, metres."""
    frame_colour: Colour
    """Linear reflectance."""
    glow: float
    """How much it shines by itself: 0 for pictures, more for windows."""


@dataclass(frozen=True, kw_only=True)
class Block:
    """A box of furniture, standing or hanging."""

    centre: tuple[float, float, float]
    """Metres, world."""
    half: tuple[float, float, float]
    """Half sizes along its own axes, metres."""
    turn: float
    """Rotation about the vertical, radians."""
    cover: Face
    """What it is covered with."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Room:
    """Surroundings of a scene; floor at y = 0, y down."""

    low: tuple[float, float, float]
    """Least corner of the box; low[1] is the ceiling."""
    high: tuple[float, float, float]
    """Greatest corner; high[1] is the floor."""
    faces: tuple[Face, ...]
    """Covers of the six faces in the order of LEFT, RIGHT, CEILING, FLOOR, FRONT, BACK."""
    panels: tuple[Panel, ...] = ()
    """Things on the faces; later ones cover earlier ones."""
    blocks: tuple[Block, ...] = ()
    """Furniture. It never hides the subject: what would is left out of that view."""
    panorama: Tensor | None = None
    """(H, W, 3) float32 linear: what is seen outdoors instead of walls and ceiling, all around, zenith on top."""
