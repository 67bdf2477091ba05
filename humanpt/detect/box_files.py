"""Boxes from a user's files: MOT text, CSV and COCO JSON, read into clips and frames.

MOT text (`.txt`): one box per line, `frame,id,x,y,w,h[,score,...]`, parted by commas or blanks. Frames and pixels
count from 1: a box at the picture's corner has x = y = 1. An id of -1 is none. Lines with score 0 are left out, which
is how MOT's ground truth marks what is not to be used; scores outside (0, 1] have no scale that we know and become 1.
A file serves one clip; a folder has one file per clip, with the clip's name and `.txt`.

CSV (`.csv`, parted by `,`, `;` or tabs): a header names the columns, in any order. `frame` (from 0) and either
`x1,y1,x2,y2` or `x,y,w,h`, edges in humanpt's pixels (the first pixel's centre is 0, so the picture's corner is -0.5);
optional `clip`, `score`, `kind` (body, hand, hand_left, hand_right or similar words) and `track` or `id` (a whole
number). Other columns are passed over. Without `clip` the file serves one clip.

COCO JSON (`.json`): boxes are xywh from the picture's corner. Categories named person, hand, left hand, right hand and
the like are read, others passed over; without categories every box is the subject. Crowds are left out. When hands are
wanted, whole-body annotations give theirs (`lefthand_box`, `righthand_box`). `track_id` or `instance_id` are ids. A
clip is the video that `video_id` points to, else the folder in `file_name`; a file with at most one folder serves any
clip. Frames of a folder are found by file name alone, frames of a video by `frame_id`, `frame` or `frame_index`, else
by the number at the end of the file name. These numbers count from 0, unless the lowest of a clip is 1, as ffmpeg and
others write them.

Boxes without area are left out; boxes may reach beyond the picture.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from humanpt.detect.detector import BoxKind, Subject, kind_of, serves
from humanpt.errors import InputError

XYXY, XYWH = ("x1", "y1", "x2", "y2"), ("x", "y", "w", "h")
FRAME_FIELDS = ("frame_id", "frame", "frame_index")
LARGEST = 1e9  # beyond any picture or clip; float32 edges stay finite

Edges = tuple[float, float, float, float]


@dataclass(frozen=True)
class Box:
    """One box of a file."""

    edges: Edges
    """x1, y1, x2, y2 in humanpt's pixels."""
    score: float
    """Confidence, 0 to 1."""
    kind: BoxKind
    """What it holds."""
    track: int | None
    """The file's own identity, if it has one."""


@dataclass
class PictureBoxes:
    """What a file says about one frame."""

    boxes: list[Box] = field(default_factory=list)
    """Boxes of the wanted subject; may be none."""
    size: tuple[int, int] | None = None
    """Width and height in pixels, where the file tells."""

    def add(self, box: Box, where: str) -> None:
        """Take one more box; an id stands for one subject, so a frame has it once.

        Raises:
            InputError: if the frame has a box of this id and kind.
        """
        if box.track is not None and any(box.track == other.track and box.kind == other.kind for other in self.boxes):
            raise InputError(f"{where}: the frame has the id {box.track} twice; write -1 where ids are not known")
        self.boxes.append(box)


@dataclass
class ClipBoxes:
    """What a file says about one clip: pictures by frame number (from 0) and, for COCO, the same ones by file name."""

    numbers: dict[int, PictureBoxes] = field(default_factory=dict)
    """Pictures by frame number, from 0."""
    names: dict[str, PictureBoxes] = field(default_factory=dict)
    """Pictures by file name without folder."""

    def add(self, number: int, box: Box | None, where: str) -> None:
        """Note that frame `number` is in the file, and its box if it is wanted."""
        picture = self.numbers.setdefault(number, PictureBoxes())
        if box is not None:
            picture.add(box, where)

    def contents(self) -> str:
        """A few words about what is here, for error lines."""
        if self.names:
            return f"pictures such as {next(iter(self.names))}"
        return f"frames {min(self.numbers)} to {max(self.numbers)}, counted from 0" if self.numbers else "no frames"


FileBoxes = dict[str | None, ClipBoxes]
"""Clips by the name that the file gives them; None is the clip that has no name in the file."""


def read_boxes(path: Path, subject: Subject) -> FileBoxes:
    """Read a boxes file, or a folder of MOT files; the formats are at the top of this file.

    Args:
        path: a `.txt`, `.csv` or `.json` file, or a folder of `.txt` files.
        subject: which boxes are wanted; frames whose boxes are all of another kind stay, empty.

    Raises:
        InputError: if it is missing, of another kind, has nothing in it, or one of its lines is wrong.
    """
    if path.is_dir():
        files = sorted(path.rglob("*.txt"))
        if not files:
            raise InputError(f"{path}: no .txt file in this folder; give one MOT file per clip, named like the clip")
        return {file.relative_to(path).with_suffix("").as_posix(): _read_mot(file, subject)[None] for file in files}
    readers: Mapping[str, Callable[[Path, Subject], FileBoxes]]
    readers = {".txt": _read_mot, ".csv": _read_csv, ".json": _read_coco}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise InputError(f"{path}: boxes are read from .txt (MOT), .csv and .json (COCO), or a folder of .txt")
    try:
        clips = reader(path, subject)
    except (csv.Error, RecursionError) as error:  # an endless cell, JSON nested without end
        raise InputError(f"{path}: cannot be read ({error}); boxes are MOT text, CSV or COCO JSON") from None
    if not any(clip.numbers or clip.names for clip in clips.values()):
        raise InputError(f"{path}: no boxes in it")
    return clips


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check the path") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: is not text; boxes are read from MOT text, CSV and COCO JSON") from None


def _number(value: Any, what: str, where: str, highest: float = LARGEST) -> float:
    try:
        number = float("nan") if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = float("nan")
    if not abs(number) <= highest:  # NaN is refused too
        raise InputError(f"{where}: {what} is {value!r}; it must be a number up to {highest:g}")
    return number


def _whole(value: Any, what: str, where: str, lowest: int = 0) -> int:
    number = _number(value, what, where)
    if number != int(number) or number < lowest:
        raise InputError(f"{where}: {what} is {value!r}; it must be a whole number from {lowest}")
    return int(number)


def _score(value: Any, where: str) -> float:
    score = _number(value, "the score", where, highest=1.0)
    if score < 0:
        raise InputError(f"{where}: the score is {value!r}; it lies between 0 and 1")
    return score


def _edges(x: float, y: float, w: float, h: float, where: str) -> Edges | None:
    """The edges of a box given by corner and size; None if it has no area."""
    if w < 0 or h < 0:
        raise InputError(f"{where}: the box is {w:g} x {h:g} pixels; sizes must not be negative")
    return (x, y, x + w, y + h) if w > 0 and h > 0 else None


def _read_mot(path: Path, subject: Subject) -> FileBoxes:
    clip = ClipBoxes()
    for index, line in enumerate(_text(path).splitlines(), 1):
        if not line.strip():
            continue
        where = f"{path}, line {index}"
        cells = [cell.strip() for cell in line.split(",")] if "," in line else line.split()
        if not 6 <= len(cells) <= 10:
            raise InputError(f"{where}: {len(cells)} columns; MOT text has frame,id,x,y,w,h and up to 4 more")
        number = _whole(cells[0], "the frame", where, lowest=1) - 1
        track = _whole(cells[1], "the id", where, lowest=-1)
        x, y, w, h = (_number(cell, name, where) for cell, name in zip(cells[2:6], XYWH, strict=True))
        score = _number(cells[6], "the score", where) if len(cells) > 6 else 1.0
        edges = _edges(x - 1.5, y - 1.5, w, h, where)
        box = None
        if edges is not None and score != 0:
            box = Box(edges, score if 0 < score <= 1 else 1.0, subject, track if track >= 0 else None)
        clip.add(number, box, where)
    return {None: clip}


def _read_csv(path: Path, subject: Subject) -> FileBoxes:
    lines = _text(path).splitlines()
    top = next((index for index, line in enumerate(lines) if line.strip()), len(lines))
    header = lines[top] if top < len(lines) else ""
    delimiter = max(",;\t", key=header.count)
    names = [name.strip().strip('"').lower() for name in header.split(delimiter)]
    corners = set(XYXY) <= set(names)
    if "frame" not in names or not (corners or set(XYWH) <= set(names)):
        found = f"the columns are {header.strip()}" if header else "there is no header"
        raise InputError(f"{path}, line {top + 1}: {found}; it must name frame and x1,y1,x2,y2 or x,y,w,h")
    clips: FileBoxes = {}
    reader = csv.reader(lines[top + 1 :], delimiter=delimiter)
    for cells in reader:
        where = f"{path}, line {top + 1 + reader.line_num}"
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) != len(names):
            raise InputError(f"{where}: {len(cells)} columns; the header names {len(names)}")
        row = {name: cell.strip() for name, cell in zip(names, cells, strict=True)}
        if row.get("clip") == "":
            raise InputError(f"{where}: the clip is empty; name it or leave the column out")
        box = _csv_box(row, corners, subject, where)
        clips.setdefault(row.get("clip"), ClipBoxes()).add(_whole(row["frame"], "the frame", where), box, where)
    return clips


def _csv_box(row: Mapping[str, str], corners: bool, subject: Subject, where: str) -> Box | None:
    kind = kind_of(row["kind"]) if row.get("kind") else subject
    if kind is None:
        raise InputError(f"{where}: the kind is {row['kind']!r}; kinds are body, hand, hand_left and hand_right")
    a, b, c, d = (_number(row[name], name, where) for name in (XYXY if corners else XYWH))
    edges = _edges(a, b, c - a, d - b, where) if corners else _edges(a, b, c, d, where)
    score = _score(row["score"], where) if row.get("score") else 1.0
    track = row.get("track") or row.get("id")
    identity = _whole(track, "the track", where, lowest=-1) if track else -1
    if edges is None or not serves(kind, subject):
        return None
    return Box(edges, score, kind, identity if identity >= 0 else None)


def _read_coco(path: Path, subject: Subject) -> FileBoxes:
    try:
        content = json.loads(_text(path))
    except json.JSONDecodeError as error:
        raise InputError(f"{path}, line {error.lineno}: is not JSON ({error.msg})") from None
    if not isinstance(content, dict) or not {"images", "annotations"} <= set(content):
        raise InputError(f"{path}: is not COCO JSON; it must be an object with images and annotations")
    kinds = _coco_kinds(content, path)
    images = _entries(content, "images", path)
    pictures: dict[int | str, PictureBoxes] = {}
    for where, image in images:
        size = None
        if "width" in image and "height" in image:
            size = _whole(image["width"], "width", where, 1), _whole(image["height"], "height", where, 1)
        pictures[_key(image, "id", where)] = PictureBoxes(size=size)
    for where, annotation in _entries(content, "annotations", path):
        picture = pictures.get(_key(annotation, "image_id", where))
        if picture is None:
            raise InputError(f"{where}: image_id is {annotation['image_id']!r}, which no image has")
        kind = kinds.get(_key(annotation, "category_id", where)) if kinds else subject
        if kind is not None and not annotation.get("iscrowd"):
            for box in _coco_boxes(annotation, kind, subject, where):
                picture.add(box, where)
    return _coco_clips(content, [(where, image, pictures[image["id"]]) for where, image in images], path)


def _entries(content: Mapping[str, Any], name: str, path: Path) -> list[tuple[str, dict[str, Any]]]:
    """The objects of one of COCO's lists, each with a text that says where it is."""
    listed = content.get(name, [])
    if not isinstance(listed, list) or not all(isinstance(entry, dict) for entry in listed):
        raise InputError(f"{path}: {name} is not a list of objects, so this is not COCO JSON")
    return [(f"{path}, {name}[{index}]", entry) for index, entry in enumerate(listed)]


def _key(entry: Mapping[str, Any], name: str, where: str) -> int | str:
    value = entry.get(name)
    if not isinstance(value, int | str):
        raise InputError(f"{where}: {name} is {value!r}; it must be a number or a text")
    return value


def _coco_kinds(content: Mapping[str, Any], path: Path) -> dict[int | str, BoxKind | None]:
    categories = [
        (_key(entry, "id", where), str(entry.get("name"))) for where, entry in _entries(content, "categories", path)
    ]
    kinds = {key: kind_of(name) for key, name in categories}
    if kinds and not any(kinds.values()):
        names = ", ".join(name for _, name in categories[:5])
        raise InputError(f"{path}: its categories are {names}; one must be named person, hand, left hand or right hand")
    return kinds


def _coco_boxes(annotation: Mapping[str, Any], kind: BoxKind, subject: Subject, where: str) -> list[Box]:
    """The boxes of one annotation that are of the wanted subject, hands of a whole-body annotation included."""
    wanted: list[tuple[str, BoxKind]] = [("bbox", kind)] if serves(kind, subject) else []
    if kind == "body" and subject == "hand":
        sides: tuple[tuple[str, BoxKind], ...] = (("lefthand", "hand_left"), ("righthand", "hand_right"))
        wanted = [(f"{side}_box", hand) for side, hand in sides if annotation.get(f"{side}_valid")]
    identity = annotation.get("track_id", annotation.get("instance_id"))
    track = -1 if identity is None else _whole(identity, "the track", where, lowest=-1)
    score = _score(annotation.get("score", 1.0), where)
    boxes = []
    for name, box_kind in wanted:
        values = annotation.get(name)
        if not isinstance(values, list) or len(values) != 4:
            raise InputError(f"{where}: {name} is {values!r}; it must be [x, y, width, height]")
        x, y, w, h = (_number(value, name, where) for value in values)
        edges = _edges(x - 0.5, y - 0.5, w, h, where)
        if edges is not None:
            boxes.append(Box(edges, score, box_kind, track if track >= 0 else None))
    return boxes


def _coco_clips(
    content: Mapping[str, Any], images: Sequence[tuple[str, dict[str, Any], PictureBoxes]], path: Path
) -> FileBoxes:
    """Sort the pictures into clips, by number and by file name."""
    videos = {
        _key(video, "id", where): str(video.get("name", video.get("file_name", "")))
        for where, video in _entries(content, "videos", path)
    }
    clips: FileBoxes = {}
    numbered: dict[str | None, list[tuple[int, PictureBoxes]]] = {}
    for where, image, picture in images:
        file = PurePosixPath(str(image.get("file_name", "")).replace("\\", "/"))
        folder = str(file.parent) if len(file.parts) > 1 else None
        if "video_id" in image:
            folder = videos.get(_key(image, "video_id", where)) or folder
        clip = clips.setdefault(folder, ClipBoxes())
        if file.name:
            clip.names[file.name] = picture
        given = next((image[name] for name in FRAME_FIELDS if name in image), None)
        digits = re.search(r"(\d{1,9})$", file.stem)
        if given is not None:
            numbered.setdefault(folder, []).append((_whole(given, "the frame", where), picture))
        elif digits:
            numbered.setdefault(folder, []).append((int(digits[1]), picture))
    for folder, pairs in numbered.items():
        first = 1 if min(number for number, _ in pairs) == 1 else 0
        if len({number for number, _ in pairs}) == len(pairs):  # else several clips share the folder: names alone tell
            clips[folder].numbers = {number - first: picture for number, picture in pairs}
    if len(clips) == 1 and not videos:
        clips = {None: next(iter(clips.values()))}
    return clips
