"""One capture to a shard of cross-view pairs: instants, boxes, subjects, pairs of cameras.

All cameras look at every instant (`watch.py`); boxes of one subject are found in each other (`association.py`), and
every `pairs.every` seconds pairs of cameras are chosen for each subject (`view_pairs.py`). What is kept is one frame
per camera, and per subject and pair of cameras the pictures of its last pair.
"""

from __future__ import annotations

import dataclasses
import time
from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from humanpt.config import to_dict
from humanpt.data.captures.association import Association, Group, Sighting
from humanpt.data.captures.rules import CaptureConfig, CaptureRules
from humanpt.data.captures.straighten import straight_crop, straight_mask
from humanpt.data.captures.view_pairs import ViewPairChooser
from humanpt.data.captures.views import Capture
from humanpt.data.captures.watch import Eye, open_eyes, set_clocks, watch
from humanpt.data.crops import share_inside, square_around
from humanpt.data.harvest import Harvest, content_hash, side_of
from humanpt.data.pairs import Candidate, PairConfig
from humanpt.data.shards import Kind, PairRecord, Picture, ShardWriter, Source
from humanpt.workers import Tell


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
    result = Harvest(name=capture.name, notes=list(capture.notes))
    eyes = open_eyes(capture, config, result.notes)
    clips = [eye.clip for eye in eyes]
    result.cameras = [eye.told for eye in eyes]
    result.reader = ", ".join(sorted({clip.reader for clip in clips}))
    result.codec = ", ".join(sorted({clip.codec for clip in clips}))
    result.width, result.height = max(clip.width for clip in clips), max(clip.height for clip in clips)
    set_clocks(capture, eyes, config)
    sources = [_source(capture, eye, config) for eye in eyes]
    with ShardWriter(
        part,
        subject_kind=config.subject,
        crop_size=config.pairs.crop_size,
        config=to_dict(config),
        sources=sources,
    ) as shard:
        _Reaper(capture, eyes, config, shard, result).run(tell)
        shard.sources = [
            dataclasses.replace(source, frames=eye.told.frames, duration=eye.told.duration, notes=_ledger_note(eye))
            for source, eye in zip(sources, eyes, strict=True)
        ]
    result.seconds = time.perf_counter() - began
    return result


def _source(capture: Capture, eye: Eye, config: CaptureConfig) -> Source:
    return Source(
        path=eye.view.clip.name,
        sha256=content_hash(eye.view.clip.path),
        licence=config.source_licence,
        sequence=capture.name,
        camera=eye.view.name,
        reader=eye.clip.reader,
        width=eye.clip.width,
        height=eye.clip.height,
        frames=0,  # this and the next two are known when the clip has been read
        duration=0.0,
        notes="",
    )


def _ledger_note(eye: Eye) -> str:
    notes = [f"clock offset {eye.told.offset:+.3f} s"] if eye.told.offset else []
    notes += ["pixels without lens distortion"] if eye.camera is not None and not eye.camera.straight else []
    return "; ".join([*notes, *([eye.told.note] if eye.told.note else [])])


class _Cut:
    """A picture that is cut when it is first asked for."""

    def __init__(self, eye: Eye, sighting: Sighting, square: NDArray[np.float32], rules: PairConfig) -> None:
        self._eye, self._sighting, self._square, self._rules = eye, sighting, square, rules

    @cached_property
    def candidate(self) -> Candidate:
        frame, detections = self._eye.frame, self._eye.detections
        assert frame is not None
        box, index = self._sighting.box, self._sighting.index
        size = (frame.width, frame.height)
        given = detections.masks[index]
        mask = straight_mask(given, box, self._square, size, self._eye.camera)
        if not mask.any():  # a detector that found somebody and outlined nobody
            given, mask = None, straight_mask(None, box, self._square, size, self._eye.camera)
        return Candidate(
            frame=frame.number,
            timestamp=frame.timestamp,
            crop=straight_crop(frame.rgb(), self._square, self._rules.crop_size, self._eye.camera),
            quality=self._rules.jpeg_quality,
            mask=mask,
            mask_kind=detections.mask_kind if given is not None else "box",
            box=box,
            square=self._square,
            score=float(detections.scores[index]),
            side=side_of(self._sighting.kind),
        )


class _Reaper:
    """The state of one capture's harvest."""

    def __init__(
        self, capture: Capture, eyes: list[Eye], config: CaptureConfig, shard: ShardWriter, result: Harvest
    ) -> None:
        self.capture = capture
        self.eyes = eyes
        self.config = config
        self.shard = shard
        self.result = result
        self.rejected: Counter[str] = Counter()
        cameras = [eye.camera for eye in eyes]
        self.association = Association(cameras, config.capture.max_mismatch)
        self.chooser = ViewPairChooser(config, capture.name, cameras, self.rejected)
        self.kept: set[int] = set()

    def run(self, tell: Tell) -> None:
        """Look at every instant, and choose."""
        for instant, sightings in watch(self.eyes, self.config, tell):
            for subject, group in sorted(self.association.update(sightings).items()):
                if self.chooser.due(subject, instant):
                    self._pair(instant, subject, group)
        self._finish()

    def _pair(self, instant: float, subject: int, group: Group) -> None:
        """Choose pairs of cameras for one subject at one instant, and write them."""
        if len(group) > 1 and len(group) < min(self.config.capture.min_views, self.association.could_see(group)):
            self.rejected["unsupported"] += 1
            return
        near = self.chooser.near(list(group))
        cuts = {camera: cut for camera in {c for pair in near for c in pair} if (cut := self._cut(group[camera]))}
        for pair in self.chooser.choose(instant, subject, near, cuts):
            self.kept.add(subject)
            self.result.pairs += 1
            sides = {pair.image1.side, pair.image2.side} - {"unknown"}
            self.shard.append(
                PairRecord(
                    image1=self._picture(pair.camera1, pair.image1),
                    image2=self._picture(pair.camera2, pair.image2),
                    kind=Kind.CROSS_VIEW,
                    subject=f"{self.capture.name}#{subject}",
                    track=subject,
                    side=sides.pop() if len(sides) == 1 else pair.image1.side,
                    change=float("nan"),
                    pair_score=float("nan"),
                )
            )
            for camera in (pair.camera1, pair.camera2):
                self.eyes[camera].told.pairs += 1

    def _cut(self, sighting: Sighting) -> _Cut | None:
        """The picture of a sighting, if its box is fit for one."""
        rules, box, eye = self.config.pairs, sighting.box, self.eyes[sighting.camera]
        square = square_around(box, rules.margin)
        if (box[2:] - box[:2]).max() < rules.min_size:
            self.rejected["small"] += 1
        elif share_inside(square, eye.clip.width, eye.clip.height) < rules.min_inside:
            self.rejected["outside"] += 1
        else:
            return _Cut(eye, sighting, square, rules)
        return None

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

    def _finish(self) -> None:
        """Sum up what the cameras gave."""
        result, cameras = self.result, self.result.cameras
        for eye in self.eyes:
            remarks = [*eye.clip.damage, eye.detector.remark, eye.told.note]
            result.notes += [f"{eye.told.name}: {remark}" for remark in remarks if remark]
        result.frames = sum(told.frames for told in cameras)
        result.looked = sum(told.looked for told in cameras)
        result.found = sum(told.found for told in cameras)
        result.boxes = sum(told.boxes for told in cameras)
        result.tracks = sum(eye.tracker.tracks for eye in self.eyes)
        result.jumps = sum(eye.tracker.jumps for eye in self.eyes)
        result.duration = max(told.duration for told in cameras)
        result.kept_tracks = len(self.kept)
        self.rejected["crowded"] += self.association.crowded
        result.rejected = {reason: count for reason, count in sorted(self.rejected.items()) if count}
        result.notes += remarks_on(self.capture, self.eyes, self.config.capture)


def remarks_on(capture: Capture, eyes: Sequence[Eye], rules: CaptureRules) -> list[str]:
    """What a person should know of a capture's geometry and time, once it has been watched."""
    cameras = [eye.told for eye in eyes]
    lengths = [eye.length for eye in eyes]
    notes = []
    if not capture.calibrated:
        notes.append("no calibration with camera poses: pairs by time alone, no rule on the angle between cameras")
    moved = [f"{told.name} {told.offset:+.3f} s ({told.confidence:.2f})" for told in cameras if told.offset]
    if moved:
        notes.append(f"clock offsets, with their confidence: {', '.join(moved)}")
    unsure = [told.name for told in cameras if told.confidence < rules.min_confidence]
    if rules.sync == "motion" and not capture.timed and unsure:
        notes.append(f"clock offset taken for zero, too little motion to tell: {', '.join(unsure)}")
    rates = sorted({round(told.rate, 2) for told in cameras})
    if len(rates) > 1:
        notes.append(f"frames per second differ: {', '.join(f'{rate:g}' for rate in rates)}; nearest frames are paired")
    if max(lengths) - min(lengths) > 0.5:
        notes.append(f"clips last {min(lengths):.1f} to {max(lengths):.1f} s; instants that two cameras share are used")
    return notes
