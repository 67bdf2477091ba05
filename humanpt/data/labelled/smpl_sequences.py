"""People followed through clips, told as SMPL's parameters in a world: what 3DPW and EMDB have in common.

Letters: T frames of a track, N samples, K = J = 24 joints.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from humanpt.body.skeletons import ROOTS, SMPL_24
from humanpt.body.smpl_files import Gender
from humanpt.data.crops import square_around
from humanpt.data.image import Rgb
from humanpt.data.labelled.check import finite, in_metres, need, read_picture, seen_at, shaped, square_on
from humanpt.data.labelled.record import Floats, LabelLayout, Labelled
from humanpt.data.labelled.smpl_bodies import FileBody, in_camera
from humanpt.errors import InputError

JOINT_MARGIN = 1.4
"""Side of the crop over the longer side of the joints' box, which ends short of head, hands and feet [ours]."""

BOX_MARGIN = 1.2
"""The same over a box of the whole person [ours]."""

APART = 15
"""Frames between a sample and its partner: half a second at 30 frames a second [ours]."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Track:
    """One person through one clip; only frames with sound labels."""

    sequence: str
    """The clip's name, which its people share."""
    person: int
    """Number of the person in the clip, from 0."""
    gender: Gender
    """Whose file of SMPL was fitted."""
    pictures: tuple[Path, str]
    """Folder of the clip's pictures, and their names with a place for the frame's number."""
    frames: NDArray[np.int64]
    """(T,) numbers of the frames."""
    betas: Floats
    """(10,) shape."""
    poses: Floats
    """(T, 24, 3) rotation vectors."""
    transl: Floats
    """(T, 3) metres, in the world."""
    cam_from_world: NDArray[np.float64]
    """(T, 4, 4) metres."""
    intrinsics: NDArray[np.float64]
    """(3, 3) pixels."""
    joints: Floats | None = None
    """(T, 24, 3) in the world, metres; None if they follow from the parameters alone."""
    pixels: Floats | None = None
    """(T, 24, 2) where the joints are in the pictures; None if they follow from `joints`."""
    boxes: Floats | None = None
    """(T, 4) boxes of the whole person in the pictures, edges x0, y0, x1, y1."""

    def __post_init__(self) -> None:
        where = f"{self.pictures[0].parent}: {self.sequence}, person {self.person}"
        count = len(self.frames)
        wanted = {
            "betas": (10,),
            "poses": (count, 24, 3),
            "transl": (count, 3),
            "cam_from_world": (count, 4, 4),
            "intrinsics": (3, 3),
            "joints": (count, 24, 3),
            "pixels": (count, 24, 2),
            "boxes": (count, 4),
        }
        for name, shape in wanted.items():
            values = getattr(self, name)
            if values is None:
                continue
            finite(shaped(values, shape, where, name), where, name)


def smpl_layout(dataset: str, split: str, licence: str, site: str) -> LabelLayout:
    """What people with SMPL's joints are told in."""
    return LabelLayout(
        dataset=dataset,
        split=split,
        subject="body",
        keypoint_names=SMPL_24,
        model="smpl",
        root_names=ROOTS["body"],
        licence=licence,
        site=site,
    )


class SmplSequences:
    """The frames of tracks, one after the other; a `LabelledSet`.

    Args:
        layout: what the labels mean; its key points are `SMPL_24`.
        tracks: at least one with frames.

    Raises:
        InputError: if no frame is left, a clip's folder of pictures is missing, or joints are not in metres.
    """

    groups: NDArray[np.int64]
    partners: NDArray[np.int64]

    def __init__(self, layout: LabelLayout, tracks: Sequence[Track]) -> None:
        self.layout = layout
        self.tracks = tuple(tracks)
        lengths = [len(track.frames) for track in self.tracks]
        self._ends = np.cumsum([0, *lengths])  # where each track begins, and the end of the last
        if not self._ends[-1]:
            raise InputError(f"{layout.dataset}: no frame has sound labels; get the files again from {layout.site}")
        for track in self.tracks:
            need(track.pictures[0], layout.dataset, layout.site)
            if track.joints is not None and len(track.frames):
                in_metres(track.joints[0], "body", f"{layout.dataset}: {track.sequence}")
        sequences = list(dict.fromkeys(track.sequence for track in self.tracks))
        of_track = [sequences.index(track.sequence) for track in self.tracks]
        self.groups = np.repeat(np.array(of_track, np.int64), lengths)
        self.partners = np.concatenate(
            [_partners(length, start) for length, start in zip(lengths, self._ends[:-1].tolist(), strict=True)]
        )

    def __len__(self) -> int:
        return int(self._ends[-1])

    def _locate(self, index: int) -> tuple[Track, int]:
        """The track of a sample, and its place in it."""
        if not 0 <= index < len(self):
            raise IndexError(f"sample {index} of {len(self)}")
        number = int(np.searchsorted(self._ends, index, side="right")) - 1
        return self.tracks[number], index - int(self._ends[number])

    def name(self, index: int) -> str:
        """The clip, the frame and the person."""
        track, row = self._locate(index)
        return f"{track.sequence}/{track.frames[row]:05d}/{track.person}"

    def labels(self, index: int) -> Labelled:
        """The labels of a sample; vertices where the user has the SMPL file of the person's gender.

        Raises:
            InputError: if that file is damaged.
        """
        track, row = self._locate(index)
        cam_from_world = track.cam_from_world[row]
        told = None if track.joints is None else track.joints[row]
        body = in_camera(
            FileBody(
                kind="smpl",
                gender=track.gender,
                betas=track.betas,
                pose=track.poses[row],
                transl=track.transl[row],
                cam_from_world=cam_from_world,
                root=None if told is None else told[0],
            )
        )
        if told is not None:
            keypoints = told @ cam_from_world[:3, :3].T + cam_from_world[:3, 3]
        else:
            keypoints = body.keypoints(SMPL_24)
        keypoints = keypoints.astype(np.float32)
        intrinsics = track.intrinsics.astype(np.float32)
        pixels = seen_at(keypoints, intrinsics) if track.pixels is None else track.pixels[row]
        if track.boxes is None:
            square = square_on(pixels, JOINT_MARGIN, self.name(index))
        else:
            square = square_around(track.boxes[row], BOX_MARGIN)
        return Labelled(
            name=self.name(index),
            group=track.sequence,
            side="none",
            square=square,
            intrinsics=intrinsics,
            focal_from="calibration",
            keypoints=keypoints,
            pixels=pixels,
            vertices=body.vertices,
            shape=body.shape,
            pose=body.pose,
            transl=body.transl,
        )

    def picture(self, index: int) -> Rgb:
        """(H, W, 3) uint8, the whole frame.

        Raises:
            InputError: if it is missing or damaged.
        """
        track, row = self._locate(index)
        folder, name = track.pictures
        return read_picture(folder / name.format(track.frames[row]), self.layout.dataset, self.layout.site)


def _partners(length: int, start: int) -> NDArray[np.int64]:
    """(T,) another frame of the same track: `APART` later, or earlier near its end, as far as the track reaches."""
    own = np.arange(length)
    step = min(APART, length - 1)
    other = np.where(own + step < length, own + step, np.maximum(own - step, 0))
    return np.where(other == own, -1, other + start)
