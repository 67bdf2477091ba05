"""What may be set about captures by several cameras."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from humanpt.data.harvest import HarvestConfig
from humanpt.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class CaptureRules:
    """How several cameras become cross-view pairs; the numbers are ours, see docs/captures.md."""

    calibration: str = ""
    """The calibration's file or folder; empty to look for it in the capture."""
    unit: Literal["auto", "m", "cm", "mm"] = "auto"
    """Unit of the calibration's distances; auto is what its format documents, and metres where it documents none."""
    strays: Literal["refuse", "skip"] = "refuse"
    """What to do about a video without a calibrated camera, and a calibrated camera without a video."""
    max_cameras: int = 32
    """Most cameras of a capture; of more, those far from each other are taken. Each keeps a decoder open."""
    sync: Literal["motion", "none"] = "motion"
    """Whether clock offsets between the cameras are estimated from the motion, or taken for zero."""
    sync_seconds: float = 120.0
    """How much of each clip the offsets are estimated from."""
    max_offset: float = 10.0
    """Largest clock offset looked for, in seconds."""
    min_offset: float = 0.05
    """Offsets that come out smaller are taken for zero: two views of one motion differ by as much."""
    min_confidence: float = 0.2
    """Least confidence of an offset that is used; clips of different scenes reach 0.17."""
    max_skew: float = 0.021
    """Frames further than this from the instant do not belong to it, in seconds; half a frame at 24 per second."""
    min_angle: float = 10.0
    """Smallest rotation between the two cameras of a pair, in degrees."""
    max_angle: float = 75.0
    """Largest rotation between the two cameras of a pair, in degrees."""
    max_mismatch: float = 0.25
    """Farthest that two boxes' centres may miss each other in 3D, reprojected, as a share of the box's longer side."""
    min_views: int = 3
    """Cameras that must agree on where a subject is, if so many have that place in their picture: by chance two do."""
    per_instant: int = 4
    """Most pairs of one subject at one instant."""
    min_change: float = 0.05
    """Least change of the subject, in either view, between two instants paired by the same two cameras."""
    frame_rate: float = 25.0
    """Frames per second of frame folders, which carry no times."""

    def __post_init__(self) -> None:
        if not 0 <= self.min_angle < self.max_angle <= 180:
            raise ConfigError(
                f"capture: angles must satisfy 0 <= min < max <= 180, got {self.min_angle} and {self.max_angle} degrees"
            )
        for name in ("sync_seconds", "max_offset", "max_skew", "max_mismatch", "frame_rate"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"capture.{name} is {getattr(self, name)}; it must be positive")
        if self.min_offset < 0 or self.min_change < 0 or not 0 <= self.min_confidence <= 1:
            raise ConfigError("capture: min_offset and min_change must not be negative, min_confidence from 0 to 1")
        if self.max_cameras < 2 or self.min_views < 2:
            raise ConfigError("capture: max_cameras and min_views must be at least 2, as a pair has two views")
        if self.per_instant < 1:
            raise ConfigError(f"capture.per_instant is {self.per_instant}; it must be at least 1")


@dataclass(frozen=True, kw_only=True)
class CaptureConfig(HarvestConfig):
    """How a capture becomes cross-view pairs: everything about clips, and what concerns several cameras."""

    capture: CaptureRules = field(default_factory=CaptureRules)
    """The rules for several cameras."""
