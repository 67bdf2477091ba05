"""One capture to a shard of cross-view pairs: instants, boxes, subjects, pairs of cameras.

The clips are read twice: quickly, for their clocks (`clock_offset.py`), then side by side. At each instant every
camera's frame goes to a detector and a tracker of its own; boxes of one subject are found in each other
(`association.py`), and every `pairs.every` seconds pairs of cameras are chosen for each subject. What is kept is one
frame per camera, and per subject and pair of cameras the small pictures of its last pair.
"""

from __future__ import annotations

import dataclasses
import time
import zlib
from collections import Counter
from itertools import combinations
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from humanpt.config import to_dict
from humanpt.data.association import Association, Group, Sighting
from humanpt.data.captures import Capture, CaptureConfig, View
from humanpt.data.change import ChangeMeter
from humanpt.data.clock_offset import ClockOffset, estimate_offsets, motion_trace
from humanpt.data.crops import share_inside, square_around
from humanpt.data.frame import Clip, Frame
from humanpt.data.harvest import CameraHarvest, Harvest, content_hash, side_of
from humanpt.data.instants import SideBySide
from humanpt.data.pairs import REASONS, Candidate
from humanpt.data.shards import Kind, PairRecord, Picture, ShardWriter, Source
from humanpt.data.sources.camera import CameraModel
from humanpt.data.straighten import straight_box, straight_crop, straight_mask
from humanpt.data.video import open_clip
from humanpt.detect.choose import make_detector
from humanpt.detect.detector import Detections
from humanpt.detect.tracking import Tracker
from humanpt.errors import InputError
from humanpt.workers import Tell

VIEW_REASONS = {
    "small": REASONS["small"],
    "outside": REASONS["outside"],
    "near-duplicate": "hardly changed since the same two cameras were paired before",
    "one view": "subject seen by one camera alone",
    "crowded": "several in view, and no calibration to tell them apart",
    "angle": "cameras rotated by less than min_angle or more than max_angle",
    "enough": "more pairs than per_instant",
}
"""Why a picture or a pair was not taken, as the summary names it."""
VIEW_TIPS = {
    "small": "pairs.min_size=48",
    "outside": "pairs.min_inside=0.2",
    "near-duplicate": "capture.min_change=0.02",
    "one view": "capture.max_mismatch=0.5",
    "crowded": "capture.calibration=FILE",
    "angle": "capture.max_angle=120",
    "enough": "capture.per_instant=10",
}
"""What to try when most was left out for a reason."""


@dataclasses.dataclass(eq=False, kw_only=True)
class _Eye:
    """One camera at work."""

    view: View
    clip: Clip
    camera: CameraModel | None
    tracker: Tracker
    detections: Detections
    frame: Frame | None = None


def harvest_capture(capture: Capture, config: CaptureConfig, part: Path, tell: Tell) -> Harvest:
    """Find the cross-view pairs of one capture and write them to a shard.

    Args:
        capture: its clips and cameras.
        config: how.
        part: where the shard is written; it appears whole or not at all.
        tell: called now and then with the number of frames done since the last call.

    Raises:
        InputError: if a clip cannot be read, or its frames are not those that were calibrated.
        OutputError: if the shard cannot be written.
    """
    began = time.perf_counter()
    cv2.setNumThreads(1)  # a process per core is the parallelism here
    rules = config.capture
    clips = [open_clip(view.clip.path, config.decoder, frame_rate=rules.frame_rate) for view in capture.views]
    fitted = [_fit(view, clip) for view, clip in zip(capture.views, clips, strict=True)]
    offsets = _offsets(clips, config)
    result = Harvest(
        name=capture.name,
        reader=", ".join(sorted({clip.reader for clip in clips})),
        codec=", ".join(sorted({clip.codec for clip in clips})),
        width=max(clip.width for clip in clips),
        height=max(clip.height for clip in clips),
        cameras=[
            CameraHarvest(name=view.name, clip=view.clip.name, rate=clip.rate or 0.0, note=note or "")
            for view, clip, (_, note) in zip(capture.views, clips, fitted, strict=True)
        ],
    )
    for told, offset in zip(result.cameras, offsets, strict=True):
        told.offset, told.measured_offset, told.confidence = offset.seconds, offset.measured, offset.confidence
    sources = [_source(capture, view, clip, config) for view, clip in zip(capture.views, clips, strict=True)]
    eyes = [
        _Eye(view=view, clip=clip, camera=camera, tracker=Tracker(config.track), detections=Detections.none())
        for view, clip, (camera, _) in zip(capture.views, clips, fitted, strict=True)
    ]
    with ShardWriter(
        part,
        subject_kind=config.subject,
        crop_size=config.pairs.crop_size,
        config=to_dict(config),
        sources=sources,
    ) as shard:
        _Reaper(capture, eyes, offsets, config, shard, result).run(tell)
        shard.sources = [
            dataclasses.replace(source, frames=told.frames, duration=told.duration, notes=_ledger_note(told, camera))
            for source, told, (camera, _) in zip(sources, result.cameras, fitted, strict=True)
        ]
    result.seconds = time.perf_counter() - began
    return result


def _fit(view: View, clip: Clip) -> tuple[CameraModel | None, str | None]:
    """The camera for the clip's frames."""
    if view.camera is None:
        return None, None
    try:
        return view.camera.fitted(clip.width, clip.height)
    except InputError as error:
        raise InputError(f"{view.clip.path}: {error}") from None


def _offsets(clips: list[Clip], config: CaptureConfig) -> list[ClockOffset]:
    rules = config.capture
    if rules.sync == "none":
        return [ClockOffset(seconds=0.0, measured=float("nan"), confidence=0.0) for _ in clips]
    return estimate_offsets(
        [motion_trace(clip.frames(), rules.sync_seconds) for clip in clips],
        longest=rules.max_offset,
        confidence=rules.min_confidence,
        smallest=rules.min_offset,
    )


def _source(capture: Capture, view: View, clip: Clip, config: CaptureConfig) -> Source:
    return Source(
        path=view.clip.name,
        sha256=content_hash(view.clip.path),
        licence=config.source_licence,
        sequence=capture.name,
        camera=view.name,
        reader=clip.reader,
        width=clip.width,
        height=clip.height,
        frames=0,  # this and the next two are known when the clip has been read
        duration=0.0,
        notes="",
    )


def _ledger_note(told: CameraHarvest, camera: CameraModel | None) -> str:
    notes = [f"clock offset {told.offset:+.3f} s"] if told.offset else []
    notes += ["pixels without lens distortion"] if camera is not None and not camera.straight else []
    return "; ".join([*notes, *([told.note] if told.note else [])])


class _Reaper:
    """The state of one capture's harvest."""

    def __init__(
        self,
        capture: Capture,
        eyes: list[_Eye],
        offsets: list[ClockOffset],
        config: CaptureConfig,
        shard: ShardWriter,
        result: Harvest,
    ) -> None:
        self.capture = capture
        self.eyes = eyes
        self.offsets = offsets
        self.config = config
        self.rules = config.capture
        self.shard = shard
        self.result = result
        self.detectors = [make_detector(config.detector, config.subject, config.detect, config.motion) for _ in eyes]
        cameras = [eye.camera for eye in eyes]
        self.association = Association(cameras, self.rules.max_mismatch)
        self.angles = _angles(cameras)
        self.meter = ChangeMeter(config.pairs.margin)
        self.rejected: Counter[str] = Counter()
        self.asked: dict[int, float] = {}
        self.latest: dict[tuple[int, int, int], tuple[Candidate, Candidate]] = {}
        self.uses: Counter[tuple[int, int]] = Counter()
        self.kept: set[int] = set()

    def run(self, tell: Tell) -> None:
        """Read all clips side by side."""
        for eye, detector in zip(self.eyes, self.detectors, strict=True):
            detector.start(eye.view.clip.name, eye.clip.width, eye.clip.height)
        reader = SideBySide(
            [eye.clip for eye in self.eyes],
            [offset.seconds for offset in self.offsets],
            self.config.rate,
            self.rules.max_skew,
        )
        told = 0
        for instant, frames in reader:
            if sum(reader.frames) - told >= 25:
                tell(sum(reader.frames) - told)
                told = sum(reader.frames)
            for subject, group in sorted(self._look(instant, frames).items()):
                self._pair(instant, subject, group)
        tell(sum(reader.frames) - told)
        self._finish(reader)

    def _look(self, instant: float, frames: list[Frame | None]) -> dict[int, Group]:
        """Detect, follow and group the subjects of one instant."""
        sightings = []
        for number, (eye, detector, frame) in enumerate(zip(self.eyes, self.detectors, frames, strict=True)):
            eye.frame = frame
            if frame is None:
                continue
            eye.detections = detector.detect(frame)
            told = self.result.cameras[number]
            told.looked += 1
            told.found += len(eye.detections) > 0
            self.result.boxes += len(eye.detections)
            step = eye.tracker.update(instant, eye.detections)
            for index, track in enumerate(step.ids):
                sightings.append(
                    Sighting(
                        camera=number,
                        index=index,
                        track=track,
                        kind=eye.detections.kinds[index],
                        box=straight_box(eye.detections.boxes[index], eye.camera),
                    )
                )
        return self.association.update(sightings)

    def _pair(self, instant: float, subject: int, group: Group) -> None:
        """Choose pairs of cameras for one subject at one instant, and write them."""
        if instant - self.asked.get(subject, -np.inf) < self.config.pairs.every - 5e-4:
            return
        self.asked[subject] = instant
        if len(group) < 2:
            self.rejected["one view"] += 1
            return
        near = [pair for pair in combinations(sorted(group), 2) if self._turned(*pair)]
        self.rejected["angle"] += len(group) * (len(group) - 1) // 2 - len(near)
        wanted = {camera for pair in near for camera in pair}
        squares = {camera: square for camera in wanted if (square := self._fit_square(group[camera])) is not None}
        random = np.random.default_rng(
            [self.config.seed, zlib.crc32(self.capture.name.encode("utf-8", "surrogateescape")), subject,
             round(instant * 1000) & 0xFFFFFFFF]
        )  # fmt: skip
        options = [pair for pair in near if pair[0] in squares and pair[1] in squares]
        order = sorted(random.permutation(len(options)).tolist(), key=lambda k: self.uses[options[k]])
        candidates: dict[int, Candidate] = {}
        chosen = 0
        for option in order:
            first, second = options[option]
            if chosen == self.rules.per_instant:
                self.rejected["enough"] += 1
                continue
            for camera in (first, second):
                if camera not in candidates:
                    candidates[camera] = self._crop(group[camera], squares[camera])
            if not self._new(subject, first, candidates[first], second, candidates[second]):
                self.rejected["near-duplicate"] += 1
                continue
            self.latest[subject, first, second] = (candidates[first], candidates[second])
            self.uses[first, second] += 1
            self.kept.add(subject)
            chosen += 1
            images = [(first, candidates[first]), (second, candidates[second])]
            self._write(subject, images if random.random() < 0.5 else images[::-1])

    def _turned(self, first: int, second: int) -> bool:
        """Whether two cameras see the subject from different sides, but not from opposite ones."""
        angle = self.angles[first, second]
        return not np.isfinite(angle) or bool(self.rules.min_angle <= angle <= self.rules.max_angle)

    def _fit_square(self, sighting: Sighting) -> NDArray[np.float32] | None:
        """The crop of a sighting, if its box is fit for one."""
        rules, box, eye = self.config.pairs, sighting.box, self.eyes[sighting.camera]
        square = square_around(box, rules.margin)
        if (box[2:] - box[:2]).max() < rules.min_size:
            self.rejected["small"] += 1
        elif share_inside(square, eye.clip.width, eye.clip.height) < rules.min_inside:
            self.rejected["outside"] += 1
        else:
            return square
        return None

    def _crop(self, sighting: Sighting, square: NDArray[np.float32]) -> Candidate:
        eye, index, rules = self.eyes[sighting.camera], sighting.index, self.config.pairs
        frame, detections = eye.frame, eye.detections
        assert frame is not None
        mask = detections.masks[index]
        size = (frame.width, frame.height)
        return Candidate(
            frame=frame.number,
            timestamp=frame.timestamp,
            crop=straight_crop(frame.rgb(), square, rules.crop_size, eye.camera),
            quality=rules.jpeg_quality,
            mask=straight_mask(mask, sighting.box, square, size, eye.camera),
            mask_kind=detections.mask_kind if mask is not None else "box",
            box=sighting.box,
            square=square,
            score=float(detections.scores[index]),
            side=side_of(sighting.kind),
        )

    def _new(self, subject: int, first: int, image1: Candidate, second: int, image2: Candidate) -> bool:
        """Whether the subject changed in at least one view since the same two cameras were paired last."""
        before = self.latest.get((subject, first, second))
        if before is None:
            return True
        changes = [
            self.meter.amount(self.meter.follow(now.view, old.view), now.mask)
            for now, old in zip((image1, image2), before, strict=True)
        ]
        return max(changes) >= self.rules.min_change

    def _write(self, subject: int, images: list[tuple[int, Candidate]]) -> None:
        sides = {candidate.side for _, candidate in images} - {"unknown"}
        self.shard.append(
            PairRecord(
                image1=self._picture(*images[0]),
                image2=self._picture(*images[1]),
                kind=Kind.CROSS_VIEW,
                subject=f"{self.capture.name}#{subject}",
                track=subject,
                side=sides.pop() if len(sides) == 1 else images[0][1].side,
                change=float("nan"),
                pair_score=float("nan"),
            )
        )
        self.result.pairs += 1
        for camera, _ in images:
            self.result.cameras[camera].pairs += 1

    def _picture(self, number: int, candidate: Candidate) -> Picture:
        eye = self.eyes[number]
        return Picture(
            jpeg=candidate.jpeg,
            mask=candidate.mask,
            mask_kind=candidate.mask_kind,
            source=number,
            frame=candidate.frame,
            timestamp=candidate.timestamp,
            box=candidate.box,
            square=candidate.square,
            image_size=(eye.clip.width, eye.clip.height),
            score=candidate.score,
            intrinsics=None if eye.camera is None else eye.camera.intrinsics,
            cam_from_world=None if eye.camera is None else eye.camera.cam_from_world,
        )

    def _finish(self, reader: SideBySide) -> None:
        """Sum up what the cameras gave."""
        result = self.result
        result.notes += self.capture.notes
        for number, (eye, detector) in enumerate(zip(self.eyes, self.detectors, strict=True)):
            told = result.cameras[number]
            eye.tracker.finish()
            told.frames, told.duration = reader.frames[number], reader.ends[number]
            result.jumps += eye.tracker.jumps
            result.tracks += eye.tracker.tracks
            damage = [
                *eye.clip.damage,
                *([detector.remark] if detector.remark else []),
                *([told.note] * bool(told.note)),
            ]
            result.notes += [f"{told.name}: {note}" for note in damage]
        result.frames = sum(told.frames for told in result.cameras)
        result.looked = sum(told.looked for told in result.cameras)
        result.found = sum(told.found for told in result.cameras)
        result.duration = max(told.duration for told in result.cameras)
        result.kept_tracks = len(self.kept)
        self.rejected["crowded"] += self.association.crowded
        result.rejected = {reason: count for reason, count in sorted(self.rejected.items()) if count}
        result.notes += _remarks(self.capture, result.cameras, self.rules.sync == "motion", self.rules.min_confidence)


def _angles(cameras: list[CameraModel | None]) -> NDArray[np.float64]:
    """(C, C) rotation between each two cameras in degrees, NaN where a pose is unknown."""
    angles = np.full((len(cameras), len(cameras)), np.nan)
    for (i, first), (j, second) in combinations(enumerate(cameras), 2):
        if first is None or second is None or first.cam_from_world is None or second.cam_from_world is None:
            continue
        turn = first.cam_from_world[:3, :3] @ second.cam_from_world[:3, :3].T
        angles[i, j] = angles[j, i] = np.degrees(np.arccos(np.clip((np.trace(turn) - 1) / 2, -1, 1)))
    return angles


def _remarks(capture: Capture, cameras: list[CameraHarvest], synced: bool, confidence: float) -> list[str]:
    """What a person should know of a capture's geometry and time."""
    notes = []
    if not capture.calibrated:
        notes.append("no calibration with camera poses: pairs by time alone, no rule on the angle between cameras")
    moved = [f"{told.name} {told.offset:+.3f} s ({told.confidence:.2f})" for told in cameras if told.offset]
    if moved:
        notes.append(f"clock offsets, with their confidence: {', '.join(moved)}")
    unsure = [told.name for told in cameras if told.confidence < confidence]
    if synced and unsure:
        notes.append(f"clock offset taken for zero, too little motion to tell: {', '.join(unsure)}")
    rates = sorted({round(told.rate, 2) for told in cameras})
    if len(rates) > 1:
        notes.append(f"frames per second differ: {', '.join(f'{rate:g}' for rate in rates)}; nearest frames are paired")
    lengths = [told.duration for told in cameras]
    if max(lengths) - min(lengths) > 0.5:
        notes.append(f"clips last {min(lengths):.1f} to {max(lengths):.1f} s; instants that two cameras share are used")
    return notes
