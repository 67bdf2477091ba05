"""DensePose-COCO (Güler and others, DensePose: Dense human pose estimation in the wild, CVPR 2018).

    ROOT/annotations/densepose_{train2014,valminusminival2014,minival2014}.json, or densepose_coco_2014_train.json ...
    ROOT/{train2014,val2014}/COCO_train2014_000000000001.jpg

A person's annotation has a `bbox` (x, y, width, height), the `area` within COCO's outline, about 100 points and 14
masks of coarse parts. `dp_x` and `dp_y` run from 0 to 255 over the box, `dp_I` is the part from 1 to 24, `dp_U` and
`dp_V` lie in [0, 1]; `dp_masks` are 256 x 256 over the box, run-length coded or empty. COCO measures from the corner of
the top-left pixel, humanpt from its centre: half a pixel is taken off.

`read_iuv` reads pictures of predicted or drawn dense poses, as DensePose's tools write them.

Source: cocodataset.org (format of annotations); the owners' notebooks and DENSEPOSE_DATASETS.md in
github.com/facebookresearch/detectron2.

Letters: P points, H and W the height and width of a picture.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from humanpt.body.skeletons import BODY_PARTS
from humanpt.data.crops import square_around
from humanpt.data.image import Rgb, read_image
from humanpt.data.labelled.check import need_split
from humanpt.data.labelled.dense import DenseLayout, DenseMaps, DensePoints, Floats
from humanpt.data.labelled.rle import decode_mask
from humanpt.data.records import Side
from humanpt.errors import InputError

SITE = "densepose.org and cocodataset.org"
SPLITS = {
    "train": ("densepose_train2014.json", "densepose_coco_2014_train.json"),
    "valminusminival": ("densepose_valminusminival2014.json", "densepose_coco_2014_valminusminival.json"),
    "minival": ("densepose_minival2014.json", "densepose_coco_2014_minival.json"),
}
"""The splits, and the names of their files; `minival` is what published figures are of."""

MARGIN = 1.2
"""Side of the crop over the longer side of the person's box [ours]."""

MASK_SIDE = 256
"""Side of the masks that are stretched over a box."""

COARSE_PARTS = 14
"""Masks of a person; the first is the trunk, both sides of it."""


@dataclass(frozen=True, kw_only=True, eq=False)
class _Person:
    """One annotation, checked."""

    name: str
    picture: str
    size: tuple[int, int]  # height and width
    image: int
    box: tuple[float, float, float, float]
    area: float | None
    points: DensePoints
    masks: tuple[dict[str, Any], ...]
    where: str


class DensePoseCoco:
    """The people of one annotation file that have dense points; a `DenseSet`.

    Attributes:
        layout: what the labels mean.
        groups: (N,) the picture of each person.
    """

    def __init__(self, root: Path, split: str, people: list[_Person]) -> None:
        self.root = root
        self._people = people
        self.layout = DenseLayout(
            dataset="densepose-coco",
            split=split,
            subject="body",
            part_names=BODY_PARTS,
            charts="densepose",
            licence="DensePose-COCO: CC BY-NC 2.0; pictures of COCO: Flickr's terms",
            site=SITE,
        )
        _, groups = np.unique([person.image for person in people], return_inverse=True)
        self.groups: NDArray[np.int64] = groups.astype(np.int64)
        self._of_picture: dict[int, list[int]] = {}
        for index, person in enumerate(people):
            self._of_picture.setdefault(person.image, []).append(index)
        self._folders = _picture_folders(root, {person.picture for person in people})

    def __len__(self) -> int:
        return len(self._people)

    def name(self, index: int) -> str:
        """The picture and the annotation's number."""
        return self._people[index].name

    def side(self, index: int) -> Side:
        """Always "none": people."""
        return "none"

    def box(self, index: int) -> Floats:
        """(4,) box of the person in pixels of the picture, edges x0, y0, x1, y1."""
        x, y, width, height = self._people[index].box
        return np.array([x - 0.5, y - 0.5, x + width - 0.5, y + height - 0.5], np.float32)

    def square(self, index: int) -> Floats:
        """(4,) the crop around that box."""
        return square_around(self.box(index), MARGIN)

    def beside(self, index: int) -> tuple[int, ...]:
        """The other people of the same picture who have dense points."""
        return tuple(other for other in self._of_picture[self._people[index].image] if other != index)

    def area(self, index: int) -> float | None:
        """Square pixels of the person's outline, as COCO's annotation tells them; None if it does not."""
        return self._people[index].area

    def picture(self, index: int) -> Rgb:
        """(H, W, 3) uint8.

        Raises:
            InputError: if it is missing or damaged.
        """
        name = self._people[index].picture
        return read_image(self._folders[Path(name).parent.name or _folder_of(name)] / Path(name).name)

    def points(self, index: int) -> DensePoints:
        """The annotated points."""
        return self._people[index].points

    def coarse(self, index: int) -> NDArray[np.int64]:
        """(256, 256) over the box: the coarse part from 1 to 14, 0 elsewhere.

        Raises:
            InputError: if a mask is damaged.
        """
        person = self._people[index]
        parts = np.zeros((MASK_SIDE, MASK_SIDE), np.int64)
        for number, packed in enumerate(person.masks, start=1):
            if not packed:
                continue
            try:
                mask = decode_mask(packed)
            except ValueError as error:
                raise InputError(f"{person.where}: mask {number}: {error}; get the file again from {SITE}") from None
            if mask.shape != parts.shape:
                raise InputError(f"{person.where}: mask {number} is {mask.shape}, not {parts.shape}")
            parts[mask] = number
        return parts

    def mask(self, index: int) -> NDArray[np.bool_] | None:
        """(H, W) the person, by the masks of the parts; None if none was drawn."""
        person = self._people[index]
        if not any(person.masks):
            return None
        height, width = person.size
        x, y, box_width, box_height = person.box
        columns = np.floor((np.arange(width) + 0.5 - x) / box_width * MASK_SIDE).astype(np.int64)
        rows = np.floor((np.arange(height) + 0.5 - y) / box_height * MASK_SIDE).astype(np.int64)
        inside_x, inside_y = ((cells >= 0) & (cells < MASK_SIDE) for cells in (columns, rows))
        cells = self.coarse(index)[np.ix_(rows.clip(0, MASK_SIDE - 1), columns.clip(0, MASK_SIDE - 1))]
        return np.asarray((cells > 0) & inside_y[:, None] & inside_x[None])

    def maps(self, index: int) -> DenseMaps | None:
        """None: only points are labelled."""
        return None


def open_set(root: Path, split: str | None = None) -> DensePoseCoco:
    """Find and check the annotations of a split, "train" by default.

    Raises:
        InputError: if there is no such split, the file or a folder of pictures is missing, or labels are damaged.
    """
    split = split or "train"
    need_split(split, SPLITS, root, "DensePose-COCO")
    places = [folder / name for folder in (root / "annotations", root) for name in SPLITS[split]]
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        raise InputError(f"{places[0]}: no such file; get it from {SITE}")
    try:
        content = json.loads(path.read_bytes())
        pictures = {int(image["id"]): image for image in content["images"]}
        dense = [told for told in content["annotations"] if "dp_x" in told]
        people = [_person(path, told, pictures) for told in dense]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: no annotations of DensePose ({error!r}); get the file from {SITE}") from None
    if not people:
        raise InputError(f"{path}: nobody has dense points (dp_x); get DensePose's annotations from {SITE}")
    return DensePoseCoco(root, split, people)


def _person(path: Path, told: dict[str, Any], pictures: dict[int, dict[str, Any]]) -> _Person:
    """One annotation, its points in pixels of the picture."""
    where = f"{path}: annotation {told['id']}"
    x, y, width, height = (float(edge) for edge in told["bbox"])
    columns = {name: np.asarray(told[f"dp_{name}"], np.float64) for name in ("x", "y", "I", "U", "V")}
    counts = {name: values.shape for name, values in columns.items()}
    if len(set(counts.values())) > 1 or columns["x"].ndim != 1:
        raise InputError(f"{where}: dp_x, dp_y, dp_I, dp_U and dp_V have {counts}; get the file again from {SITE}")
    area = None if told.get("area") is None else float(told["area"])
    finite = all(np.isfinite(values).all() for values in columns.values()) and np.isfinite(area or 0.0)
    if not finite or min(width, height) <= 0:
        raise InputError(f"{where}: has numbers that are not finite, or an empty box; get the file again from {SITE}")
    part = columns["I"].round().astype(np.int64)
    if ((part < 1) | (part > len(BODY_PARTS))).any():
        raise InputError(f"{where}: parts are 1 to 24, this has {part.min()} to {part.max()}; get the file again")
    uv = np.stack([columns["U"], columns["V"]], axis=1)
    if ((uv < 0) | (uv > 1)).any():
        raise InputError(f"{where}: u and v lie in [0, 1], these in [{uv.min():g}, {uv.max():g}]; get the file again")
    if ((columns["x"] < 0) | (columns["x"] > 256) | (columns["y"] < 0) | (columns["y"] > 256)).any():
        raise InputError(f"{where}: dp_x and dp_y run from 0 to 255 over the box; these do not; get the file again")
    pixels = np.stack([x + columns["x"] / 255 * width, y + columns["y"] / 255 * height], axis=1) - 0.5
    image = int(told["image_id"])
    if image not in pictures:
        raise InputError(f"{where}: is of picture {image}, which the file does not list; get it again from {SITE}")
    masks = tuple(mask or {} for mask in told.get("dp_masks", ()))
    if len(masks) not in (0, COARSE_PARTS):
        raise InputError(f"{where}: has {len(masks)} masks of parts, not {COARSE_PARTS}; get the file again")
    picture = pictures[image]
    return _Person(
        name=f"{Path(picture['file_name']).stem}/{told['id']}",
        picture=str(picture["file_name"]),
        size=(int(picture["height"]), int(picture["width"])),
        image=image,
        box=(x, y, width, height),
        area=area,
        points=DensePoints(pixels=pixels.astype(np.float32), part=part, uv=uv.astype(np.float32)),
        masks=masks,
        where=where,
    )


def _folder_of(name: str) -> str:
    """The folder that COCO puts a picture into: COCO_val2014_000000000001.jpg belongs to val2014."""
    parts = name.split("_")
    return parts[1] if len(parts) == 3 else ""


def _picture_folders(root: Path, names: set[str]) -> dict[str, Path]:
    """Where the pictures of each of COCO's folders lie.

    Raises:
        InputError: if a folder is nowhere.
    """
    folders = {}
    for folder in sorted({Path(name).parent.name or _folder_of(name) for name in names}):
        places = [root / folder, root / "images" / folder]
        found = next((place for place in places if place.is_dir()), None)
        if found is None:
            raise InputError(f"{places[0]}: no such folder of pictures; get {folder or 'the pictures'} from {SITE}")
        folders[folder] = found
    return folders


def read_iuv(iuv: Path, people: Path | None = None) -> tuple[DenseMaps, NDArray[np.int64]]:
    """Read a picture of dense poses: its channels, blue first, are the part from 0 to 24, and u and v times 255.

    Args:
        iuv: the picture, such as demo_im_IUV.png.
        people: the picture of the same size that numbers the people from 1, such as demo_im_INDS.png.

    Returns:
        The maps, and (H, W) the number of the person; 1 wherever there is a part if nothing numbers them.

    Raises:
        InputError: if a file is missing, no such picture, or of another size.
    """
    channels = _read_channels(iuv)
    if channels.ndim != 3 or channels.shape[2] != 3 or channels[..., 0].max() > len(BODY_PARTS):
        raise InputError(f"{iuv}: no picture of dense poses, which has parts 0 to 24 in its first channel")
    part = channels[..., 0].astype(np.int64)
    maps = DenseMaps(
        part=part,
        known=np.ones(part.shape, np.bool_),
        uv=np.where(part[..., None] > 0, channels[..., 1:] / np.float32(255), np.float32(0)),
    )
    if people is None:
        return maps, (part > 0).astype(np.int64)
    numbers = _read_channels(people)
    if numbers.shape != part.shape:
        raise InputError(f"{people}: is {numbers.shape}, {iuv.name} is {part.shape}; give files of one picture")
    return maps, numbers.astype(np.int64)


def _read_channels(path: Path) -> NDArray[np.uint8]:
    """A picture as it is stored, blue first."""
    try:
        read: Any = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_UNCHANGED)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check the path") from None
    except cv2.error:
        read = None
    if read is None:
        raise InputError(f"{path}: not a picture that OpenCV reads; give the PNG file that DensePose wrote")
    return np.asarray(read, np.uint8)
