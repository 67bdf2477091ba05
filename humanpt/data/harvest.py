"""One clip, front to back, to a shard of its own: frames, subjects, tracks, crops, pairs.

Each frame is decoded once. What is kept is bounded: one frame, and per track the pictures of the last `max_gap`
seconds.
"""

from __future__ import annotations

import dataclasses
import hashlib
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from humanpt.config import to_dict
from humanpt.data.clips import FoundClip
from humanpt.data.crops import mask_in_square, share_inside, square_around
from humanpt.data.image import warp_square
from humanpt.data.pairs import Candidate, ChosenPair, PairChooser, PairConfig
from humanpt.data.shards import Kind, PairRecord, Picture, ShardWriter, Source
from humanpt.data.video import Clip, Frame, open_clip
from humanpt.detect.choose import make_detector
from humanpt.detect.detector import DetectConfig, Detections, Subject
from humanpt.detect.motion import MotionConfig
from humanpt.detect.tracking import TrackConfig, Tracker
from humanpt.errors import ConfigError
from humanpt.workers import Tell


@dataclass(frozen=True, kw_only=True)
class HarvestConfig:
    """How a clip becomes pairs."""

    subject: Subject = "body"
    """What is looked for."""
    detector: str = "auto"
    """auto, own, motion, full, boxes:FILE or onnx:FILE."""
    decoder: Literal["auto", "pyav", "decord"] = "auto"
    """The video reader."""
    rate: float = 15.0
    """Most frames looked at per second; the others are decoded and passed over."""
    seed: int = 0
    """Seed of the draws among possible partners."""
    source_licence: str = "unknown"
    """Terms of the source material, written into the ledger of every shard."""
    pairs: PairConfig = field(default_factory=PairConfig)
    """The selection rules."""
    motion: MotionConfig = field(default_factory=MotionConfig)
    """How the motion detector learns the background."""
    detect: DetectConfig = field(default_factory=DetectConfig)
    """How a detection model is run."""
    track: TrackConfig = field(default_factory=TrackConfig)
    """How boxes are joined through time."""

    def __post_init__(self) -> None:
        if self.rate <= 0:
            raise ConfigError(f"rate is {self.rate}; it is in frames per second and must be positive")
        if self.seed < 0:
            raise ConfigError(f"seed is {self.seed}; it must not be negative")


@dataclass(kw_only=True)
class CameraHarvest:
    """What one camera of a capture gave."""

    name: str
    clip: str
    """Its clip's path relative to the input."""
    rate: float = 0.0
    """Frames per second, 0 if the clip does not say."""
    frames: int = 0
    looked: int = 0
    found: int = 0
    boxes: int = 0
    duration: float = 0.0
    """Time of the last frame, in seconds."""
    offset: float = 0.0
    """Added to its clock to have the common time, in seconds."""
    measured_offset: float = 0.0
    """What its motion says, used or not; NaN if it says nothing."""
    confidence: float = 0.0
    """How sure the measured offset is, 0 to 1."""
    pairs: int = 0
    """Pairs that it has part in."""
    note: str = ""
    """How its calibration was made to fit, if it had to be."""


@dataclass(kw_only=True)
class Harvest:
    """What one clip gave, as the summary tells it."""

    name: str
    reader: str = ""
    codec: str = ""
    width: int = 0
    height: int = 0
    frames: int = 0
    """Frames decoded."""
    looked: int = 0
    """Frames given to the detector."""
    found: int = 0
    """Of these, frames with at least one subject."""
    boxes: int = 0
    """Boxes found in all."""
    duration: float = 0.0
    """Time of the last frame, in seconds."""
    tracks: int = 0
    kept_tracks: int = 0
    """Tracks of at least `min_track`."""
    jumps: int = 0
    pairs: int = 0
    rejected: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    """What was wrong with the clip but could be lived with."""
    seconds: float = 0.0
    """Wall time of the work, in seconds."""
    problem: str | None = None
    """Why the clip gave nothing at all."""
    cameras: list[CameraHarvest] = field(default_factory=list)
    """For a capture, what each camera gave; the fields above are their sums and most."""


class _Track:
    """One subject's way through the clip: its chooser, and the pairs that wait until the track is long enough."""

    def __init__(self, chooser: PairChooser, start: float) -> None:
        self.chooser = chooser
        self.start = start
        self.end = start
        self.waiting: list[ChosenPair] = []

    @property
    def duration(self) -> float:
        return self.end - self.start


def harvest(found: FoundClip, config: HarvestConfig, part: Path, tell: Tell) -> Harvest:
    """Find the pairs of one clip and write them to a shard.

    Args:
        found: the clip.
        config: how.
        part: where the shard is written; it appears whole or not at all.
        tell: called now and then with the number of frames done since the last call.

    Raises:
        InputError: if the clip cannot be read.
        OutputError: if the shard cannot be written.
    """
    began = time.perf_counter()
    cv2.setNumThreads(1)  # a process per core is the parallelism here
    clip = open_clip(found.path, config.decoder)
    result = Harvest(name=found.name, reader=clip.reader, codec=clip.codec, width=clip.width, height=clip.height)
    source = Source(
        path=found.name,
        sha256=content_hash(found.path),
        licence=config.source_licence,
        sequence=found.name,
        camera="",
        reader=clip.reader,
        width=clip.width,
        height=clip.height,
        frames=0,  # this and the next two are known when the clip has been read
        duration=0.0,
        notes="",
    )
    with ShardWriter(
        part,
        subject_kind=config.subject,
        crop_size=config.pairs.crop_size,
        config=to_dict(config),
        sources=[source],
    ) as shard:
        _Reaper(clip, found.name, config, shard, result).run(tell)
        notes = "; ".join(result.notes)
        shard.sources = [dataclasses.replace(source, frames=result.frames, duration=result.duration, notes=notes)]
    result.seconds = time.perf_counter() - began
    return result


class _Reaper:
    """The state of one clip's harvest."""

    def __init__(self, clip: Clip, name: str, config: HarvestConfig, shard: ShardWriter, result: Harvest) -> None:
        self.clip = clip
        self.name = name
        self.config = config
        self.shard = shard
        self.result = result
        self.detector = make_detector(config.detector, config.subject, config.detect, config.motion)
        self.tracker = Tracker(config.track)
        self.tracks: dict[int, _Track] = {}
        self.kept: set[int] = set()
        self.rejected: Counter[str] = Counter()

    def run(self, tell: Tell) -> None:
        """Read the clip front to back."""
        result, told, last_look = self.result, 0, -np.inf
        self.detector.start(self.name, self.clip.width, self.clip.height)
        for frame in self.clip.frames():
            result.frames += 1
            result.duration = frame.timestamp
            if result.frames - told >= 25:
                tell(result.frames - told)
                told = result.frames
            if frame.timestamp - last_look >= 1 / self.config.rate - 5e-4:
                last_look = frame.timestamp
                self._look(frame)
        tell(result.frames - told)
        self._end(self.tracker.finish())
        result.jumps, result.tracks, result.kept_tracks = self.tracker.jumps, self.tracker.tracks, len(self.kept)
        result.rejected = dict(sorted(self.rejected.items()))
        result.notes = [*self.clip.damage, *([self.detector.remark] if self.detector.remark else [])]

    def _look(self, frame: Frame) -> None:
        detections = self.detector.detect(frame)
        self.result.looked += 1
        self.result.found += len(detections.boxes) > 0
        self.result.boxes += len(detections.boxes)
        step = self.tracker.update(frame.timestamp, detections)
        self._end(step.ended)
        for index, number in enumerate(step.ids):
            track = self.tracks.get(number)
            if track is None:
                chooser = PairChooser(self.config.pairs, self.config.seed, self.name, number, self.rejected)
                track = self.tracks[number] = _Track(chooser, frame.timestamp)
            track.end = frame.timestamp
            if not track.chooser.due(frame.timestamp):
                continue
            candidate = self._crop(frame, detections, index)
            if candidate:
                track.waiting += track.chooser.offer(candidate)
            if track.duration >= self.config.pairs.min_track:
                self._write(number, track)
        # A track with an identity of its own may come back after any time; its old pictures are of no use then.
        max_gap = self.config.pairs.max_gap
        self._end([number for number, track in self.tracks.items() if frame.timestamp - track.end > max_gap])

    def _crop(self, frame: Frame, detections: Detections, index: int) -> Candidate | None:
        """The picture of one subject, if its box is fit for it."""
        rules, box = self.config.pairs, detections.boxes[index]
        square = square_around(box, rules.margin)
        if (box[2:] - box[:2]).max() < rules.min_size:
            self.rejected["small"] += 1
            return None
        if share_inside(square, frame.width, frame.height) < rules.min_inside:
            self.rejected["outside"] += 1
            return None
        return Candidate(
            frame=frame.number,
            timestamp=frame.timestamp,
            crop=warp_square(frame.rgb(), square, rules.crop_size),
            quality=rules.jpeg_quality,
            mask=mask_in_square(detections.masks[index], box, square, (frame.width, frame.height)),
            mask_kind=detections.mask_kind if detections.masks[index] is not None else "box",
            box=box,
            square=square,
            score=float(detections.scores[index]),
            side=side_of(detections.kinds[index]),
        )

    def _end(self, ended: Sequence[int]) -> None:
        """Close tracks that are over; what a short one had ready is thrown away."""
        for number in ended:
            track = self.tracks.pop(number, None)
            if track is None:
                continue
            if track.duration < self.config.pairs.min_track:
                self.rejected["short track"] += 1
            else:
                self._write(number, track)
                self.kept.add(number)

    def _write(self, number: int, track: _Track) -> None:
        for pair in track.waiting:
            self.shard.append(
                PairRecord(
                    image1=self._picture(pair.image1),
                    image2=self._picture(pair.image2),
                    kind=Kind.CROSS_POSE,
                    subject=f"{self.name}#{number}",
                    track=number,
                    side=pair.image1.side,
                    change=pair.change,
                    pair_score=float("nan"),
                )
            )
            self.result.pairs += 1
        track.waiting.clear()

    def _picture(self, candidate: Candidate) -> Picture:
        return Picture(
            jpeg=candidate.jpeg,
            mask=candidate.mask,
            mask_kind=candidate.mask_kind,
            source=0,
            frame=candidate.frame,
            timestamp=candidate.timestamp,
            box=candidate.box,
            square=candidate.square,
            image_size=(self.clip.width, self.clip.height),
            score=candidate.score,
            intrinsics=None,
            cam_from_world=None,
        )


def side_of(kind: str) -> Literal["none", "unknown", "left", "right"]:
    """The side that a kind of box stands for."""
    sides: dict[str, Literal["none", "unknown", "left", "right"]] = {
        "body": "none",
        "hand": "unknown",
        "hand_left": "left",
        "hand_right": "right",
    }
    return sides[kind]


def clip_bytes(path: Path) -> int:
    """Size of a file, or of a folder's files together."""
    files = path.iterdir() if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())


def content_hash(path: Path) -> str:
    """SHA-256 of a file, or of the names and contents of a folder's files in sorted order, as hexadecimal digits."""
    digest = hashlib.sha256()
    for file in sorted(path.iterdir()) if path.is_dir() else [path]:
        if path.is_dir():
            digest.update(file.name.encode() + b"\0")
        if file.is_file():
            try:
                with file.open("rb") as content:
                    while block := content.read(1 << 20):
                        digest.update(block)
            except OSError as error:  # the reader names it; here it only counts as unreadable
                digest.update(str(error.errno).encode())
    return digest.hexdigest()
