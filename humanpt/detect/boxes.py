"""The `boxes:FILE` detector: boxes that the user already has. The formats are told in `box_files.py`.

Which rows belong to which clip: a clip's name in the file is the clip's path or the end of it, with or without the
last suffix. `cam0`, `cam0.mp4` and `walk/cam0.mp4` all find `walk/cam0.mp4`; the name that agrees in more parts wins.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from humanpt.detect.box_files import ClipBoxes, PictureBoxes, read_boxes
from humanpt.detect.detector import Detections, Frame, Subject
from humanpt.errors import InputError


class BoxesDetector:
    """Answers with the boxes that a file has for each frame, whatever the picture shows.

    Args:
        path: the file, or a folder of MOT files.
        subject: which boxes are wanted.

    Raises:
        InputError: if the file cannot be read or a line of it is wrong; the text names the file and the line.
    """

    def __init__(self, path: Path, subject: Subject) -> None:
        self.name = f"boxes:{path}"
        self.path = path
        self.remark: str | None = None
        self._clips = read_boxes(path, subject)
        self._clip: ClipBoxes | None = None
        self._clip_name = ""
        self._served: list[tuple[ClipBoxes, str]] = []  # whose frame numbers went to which clip
        self._shown: set[int] = set()  # pictures of the clip that came, by their place in memory

    def check(self, clips: Sequence[str]) -> None:
        """Refuse a file that cannot serve these clips, as far as their names tell.

        Args:
            clips: the names of all clips to come, as `start` will get them.

        Raises:
            InputError: if none of the clips is in the file, or rows could belong to several of them.
        """
        found = {name: self._find(name) for name in dict.fromkeys(clips)}
        if found and all(clip is None for clip in found.values()):
            names = ", ".join(str(name) for name in list(self._clips)[:3])
            raise InputError(
                f"{self.path}: has the clips {names}, but not {next(iter(found))}; give both the same name"
            )
        for name, clip in found.items():
            if clip is not None and not clip.names:  # pictures with names may come from any number of folders
                self._serve(clip, name)
        self._served.clear()

    def start(self, clip_name: str, width: int, height: int) -> None:
        """Look up the clip by its name.

        Raises:
            InputError: if two clips of the file could be this one.
        """
        self._clip_name = clip_name
        self._clip = clip = self._find(clip_name)
        self._shown.clear()
        contents = f"clips such as {next(iter(self._clips))}" if clip is None else clip.contents()
        self.remark = f"{self.path}: nothing in it is about {clip_name}; it has {contents}"
        if clip is not None and not clip.numbers and not clip.names:
            self.remark = None  # an empty file of a folder says that nobody is in the clip of its name

    def detect(self, frame: Frame) -> Detections:
        """The boxes that the file has for this frame, in the file's order.

        Raises:
            InputError: if the file gives the picture another size, or its frame numbers could mean two clips.
        """
        picture = self._picture(frame)
        if picture is None:
            return Detections.none()
        if picture.size is not None and picture.size != (frame.width, frame.height):
            raise InputError(
                f"{self.path}: frame {frame.number} of {self._clip_name} is {frame.width} x {frame.height} pixels, "
                f"not {picture.size[0]} x {picture.size[1]} as the file says; give boxes for pictures of this size"
            )
        self.remark = None
        self._shown.add(id(picture))
        return Detections(
            boxes=np.array([box.edges for box in picture.boxes], np.float32).reshape(-1, 4),
            scores=np.array([box.score for box in picture.boxes], np.float32),
            kinds=tuple(box.kind for box in picture.boxes),
            ids=tuple(box.track for box in picture.boxes),
        )

    @property
    def unseen(self) -> int:
        """Frames that the file has for the clip begun last and that have not come: missing pictures, for example."""
        if self._clip is None:
            return 0
        pictures = (*self._clip.numbers.values(), *self._clip.names.values())
        return len({id(picture) for picture in pictures} - self._shown)

    def _picture(self, frame: Frame) -> PictureBoxes | None:
        if self._clip is None:
            return None
        if self._clip.names and frame.name is not None:
            return self._clip.names.get(frame.name)
        self._serve(self._clip, self._clip_name)
        return self._clip.numbers.get(frame.number)

    def _serve(self, clip: ClipBoxes, clip_name: str) -> None:
        """Give the clip's frame numbers to one clip alone."""
        other = next((name for served, name in self._served if served is clip), None)
        if other is None:
            self._served.append((clip, clip_name))
        elif other != clip_name:
            raise InputError(
                f"{self.path}: the same rows would serve {other} and {clip_name}; "
                "give a folder of MOT files, a CSV with a clip column or COCO JSON with a folder per clip"
            )

    def _find(self, clip_name: str) -> ClipBoxes | None:
        """The clip whose name in the file agrees best, else the nameless one."""
        agreed = {name: _agreement(name, clip_name) for name in self._clips if name is not None}
        best = max(agreed.values(), default=0)
        if best == 0:
            return self._clips.get(None)
        first, *others = (name for name, value in agreed.items() if value == best)
        if others:
            raise InputError(
                f"{self.path}: both {first} and {others[0]} could be {clip_name}; give the folder above it"
            )
        return self._clips[first]


def _agreement(first: str, second: str) -> int:
    """How well two paths agree: 0 unless one ends like the other, more for more parts and for equal suffixes."""
    a, b = PurePosixPath(first.replace("\\", "/")), PurePosixPath(second.replace("\\", "/"))
    count = min(len(a.parts), len(b.parts))
    same_file = a.name == b.name or a.name == b.stem or a.stem == b.name
    if not same_file or a.parts[-count:-1] != b.parts[-count:-1]:
        return 0
    return 2 * count + (a.name == b.name)
