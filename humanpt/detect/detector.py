"""What a detector is, and the simplest one.

A detector is told when a clip begins and then sees its frames in order. It answers with boxes in the pixels of the
whole frame: pixel (0, 0) is the centre of the top-left pixel, so a W x H frame spans [-0.5, W - 0.5] across and
[-0.5, H - 0.5] down.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from humanpt.errors import ConfigError

Subject = Literal["body", "hand"]
BoxKind = Literal["body", "hand", "hand_left", "hand_right"]

KIND_NAMES: dict[str, BoxKind] = {
    **dict.fromkeys(("body", "person", "people", "human", "pedestrian"), "body"),
    **dict.fromkeys(("hand", "hands"), "hand"),
    **dict.fromkeys(("hand left", "left hand", "lefthand", "left"), "hand_left"),
    **dict.fromkeys(("hand right", "right hand", "righthand", "right"), "hand_right"),
}


def kind_of(name: str) -> BoxKind | None:
    """The kind that a class name of a file or model means ("person", "Left-Hand", ...), or None for any other thing."""
    return KIND_NAMES.get(" ".join(name.lower().replace("_", " ").replace("-", " ").split()))


def serves(kind: BoxKind, subject: Subject) -> bool:
    """Whether a box of this kind is wanted: bodies for `body`, hands of every side for `hand`."""
    return kind.startswith(subject)


class Frame(Protocol):
    """What a detector needs of a frame; the frames of `data/video.py` are such frames."""

    @property
    def number(self) -> int:
        """Place in presentation order, from 0."""
        ...

    @property
    def name(self) -> str | None:
        """File name of the picture in a folder of frames, None in a video."""
        ...

    @property
    def timestamp(self) -> float:
        """Seconds since the clip's first frame."""
        ...

    @property
    def width(self) -> int:
        """Pixels across, after rotation."""
        ...

    @property
    def height(self) -> int:
        """Pixels down, after rotation."""
        ...

    def rgb(self) -> NDArray[np.uint8]:
        """(H, W, 3) RGB picture at full size."""
        ...

    def small(self, longest: int) -> NDArray[np.uint8]:
        """(h, w, 3) RGB picture whose longest side is at most `longest`."""
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class Detections:
    """What was found in one frame; entry i of every field speaks of the same subject.

    Raises:
        ValueError: if the fields do not have the same length, or boxes is not (N, 4).
    """

    boxes: NDArray[np.float32]
    """(N, 4) edges x1, y1, x2, y2 in source pixels."""
    scores: NDArray[np.float32]
    """(N,) confidence, 0 to 1."""
    kinds: tuple[BoxKind, ...]
    """N kinds; `hand` is a hand of unknown side."""
    masks: tuple[NDArray[np.bool_] | None, ...] = ()
    """N masks, True on the subject, at any resolution, stretched over the whole picture; () stands for none at all."""
    mask_kind: Literal["detector", "motion"] = "detector"
    """What the masks show: subjects that a network outlined, or whatever moved."""
    ids: tuple[int | None, ...] = ()
    """N identities known beforehand (a boxes file with tracks), None where unknown; () stands for none at all."""

    def __post_init__(self) -> None:
        count = len(self.kinds)
        object.__setattr__(self, "masks", self.masks or (None,) * count)
        object.__setattr__(self, "ids", self.ids or (None,) * count)
        lengths = (self.boxes.shape, self.scores.shape, len(self.masks), len(self.ids))
        if lengths != ((count, 4), (count,), count, count):
            raise ValueError(f"boxes, scores, masks, ids of {count} kinds have the shapes and lengths {lengths}")

    def __len__(self) -> int:
        return len(self.kinds)

    @staticmethod
    def none() -> Detections:
        """A frame in which nothing was found."""
        return Detections(boxes=np.zeros((0, 4), np.float32), scores=np.zeros(0, np.float32), kinds=())


class Detector(Protocol):
    """Finds the subjects of one clip after the other."""

    name: str
    """What the user called it, for reports."""

    remark: str | None
    """One line about the clip begun last, for the summary: a boxes file says nothing of it, or the camera moved."""

    def start(self, clip_name: str, width: int, height: int) -> None:
        """A new clip begins: its name (posix path relative to its input) and the size of its frames in pixels."""
        ...

    def detect(self, frame: Frame) -> Detections:
        """The subjects in the clip's next frame."""
        ...


@dataclass(frozen=True, kw_only=True)
class DetectConfig:
    """How a detection model is run. Boxes from a file are taken as they are."""

    min_score: float = 0.3
    """Detections of a model with a lower score are left out, 0 to 1."""
    max_overlap: float = 0.5
    """Of two detections of a kind with a larger IoU only the better stays, where a model leaves this to its user."""
    max_detections: int = 100
    """Most detections kept in a frame, the best first."""
    input_size: int = 640
    """Side of the square input, in pixels, for models that accept any size."""
    threads: int = 1
    """CPU threads of one model; several clips are worked on side by side anyway."""

    def __post_init__(self) -> None:
        for field in ("min_score", "max_overlap"):
            if not 0 <= getattr(self, field) <= 1:
                raise ConfigError(f"detect.{field} is {getattr(self, field)}; it lies between 0 and 1")
        if self.max_detections < 1 or self.threads < 1:
            raise ConfigError("detect.max_detections and detect.threads must be at least 1")
        if self.input_size < 32 or self.input_size % 32:
            raise ConfigError(f"detect.input_size is {self.input_size}; it must be a multiple of 32")


class FullDetector:
    """The whole frame is the subject."""

    name = "full"
    remark: str | None = None

    def __init__(self, subject: Subject) -> None:
        self.subject = subject

    def start(self, clip_name: str, width: int, height: int) -> None:
        """Nothing to prepare."""

    def detect(self, frame: Frame) -> Detections:
        """One box over the whole frame, with score 1."""
        box = np.array([[-0.5, -0.5, frame.width - 0.5, frame.height - 0.5]], np.float32)
        return Detections(boxes=box, scores=np.ones(1, np.float32), kinds=(self.subject,))
