"""The cameras of a capture at work: clips opened, clocks compared, and every instant looked at by all of them.

Clips are read twice: quickly, for their clocks (`clock_offset.py`), then side by side (`instants.py`), when each
camera's frame goes to a detector and a tracker of its own.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Generator, Sequence

from humanpt.data.captures.association import Sighting
from humanpt.data.captures.clock_offset import estimate_offsets, motion_trace
from humanpt.data.captures.instants import SideBySide
from humanpt.data.captures.rules import CaptureConfig
from humanpt.data.captures.straighten import straight_box
from humanpt.data.captures.views import Capture, View
from humanpt.data.frame import Clip, Frame
from humanpt.data.harvest import CameraHarvest
from humanpt.data.sources.camera import CameraModel
from humanpt.data.video import open_clip
from humanpt.detect.choose import make_detector
from humanpt.detect.detector import Detections, Detector
from humanpt.detect.tracking import Tracker
from humanpt.errors import InputError
from humanpt.workers import Tell

TELL = 25  # frames between two words of progress


@dataclasses.dataclass(eq=False, kw_only=True)
class Eye:
    """One camera at work."""

    view: View
    """Its place in the capture."""
    clip: Clip
    """What it filmed."""
    camera: CameraModel | None
    """Its calibration, for frames of this size."""
    detector: Detector
    """Finds the subjects in its frames."""
    tracker: Tracker
    """Follows them."""
    told: CameraHarvest
    """What is known of it so far."""
    detections: Detections = dataclasses.field(default_factory=Detections.none)
    """Of the present instant."""
    frame: Frame | None = None
    """Of the present instant; None if it has none."""

    @property
    def length(self) -> float:
        """Seconds that the clip promises, or has been found to last."""
        return max(self.told.duration, self.clip.duration or 0.0)


def open_eyes(capture: Capture, config: CaptureConfig, notes: list[str]) -> list[Eye]:
    """Open all clips and fit their cameras to them.

    Args:
        capture: which.
        config: how; says whether a camera that does not fit its clip is refused or left out.
        notes: gets a line for each that is left out.

    Raises:
        InputError: if a clip cannot be read, does not fit its camera, or fewer than two are left.
    """
    eyes = []
    for view in capture.views:
        clip = open_clip(view.clip.path, config.decoder, frame_rate=config.capture.frame_rate)
        camera, note = view.camera, None
        if camera is not None:
            try:
                camera, note = camera.fitted(clip.width, clip.height)
            except InputError as error:
                if config.capture.strays == "refuse":
                    raise InputError(f"{view.clip.path}: {error}, or set capture.strays=skip") from None
                notes.append(f"left out: {error}")
                continue
        eyes.append(
            Eye(
                view=view,
                clip=clip,
                camera=camera,
                detector=make_detector(config.detector, config.subject, config.detect, config.motion),
                tracker=Tracker(config.track),
                told=CameraHarvest(name=view.name, clip=view.clip.name, rate=clip.rate or 0.0, note=note or ""),
            )
        )
    if len(eyes) < 2:
        raise InputError(f"{capture.path}: fewer than two cameras are left ({'; '.join(notes)}); cross-view needs two")
    return eyes


def set_clocks(capture: Capture, eyes: Sequence[Eye], config: CaptureConfig) -> None:
    """Compare the cameras' clocks by the motion that they see, unless the times of frames are known otherwise."""
    rules = config.capture
    if rules.sync == "none" or capture.timed:
        for eye in eyes:
            eye.told.measured_offset = float("nan")
        return
    offsets = estimate_offsets(
        [motion_trace(eye.clip.frames(), rules.sync_seconds) for eye in eyes],
        longest=rules.max_offset,
        confidence=rules.min_confidence,
        smallest=rules.min_offset,
    )
    for eye, offset in zip(eyes, offsets, strict=True):
        eye.told.offset, eye.told.measured_offset = offset.seconds, offset.measured
        eye.told.confidence = offset.confidence


def watch(
    eyes: Sequence[Eye], config: CaptureConfig, tell: Tell
) -> Generator[tuple[float, list[Sighting]], None, None]:
    """Look at every instant with all cameras.

    Args:
        eyes: with their clocks set.
        config: how often, and how far frames may be from an instant.
        tell: called now and then with the number of frames done since the last call.

    Returns:
        The common time and what was seen, instant by instant. While one is out, the eyes hold its frames and
        detections; when all are done or the iterator is closed, their `told` is complete.
    """
    for eye in eyes:
        eye.detector.start(eye.view.clip.name, eye.clip.width, eye.clip.height)
    reader = SideBySide(
        [eye.clip for eye in eyes],
        [eye.told.offset for eye in eyes],
        [eye.view.times for eye in eyes],
        config.rate,
        config.capture.max_skew,
    )
    done = 0
    instants = iter(reader)
    try:
        for instant, frames in instants:
            if sum(reader.frames) - done >= TELL:
                tell(sum(reader.frames) - done)
                done = sum(reader.frames)
            sightings: list[Sighting] = []
            for number, (eye, frame) in enumerate(zip(eyes, frames, strict=True)):
                eye.frame = frame
                if frame is not None:
                    sightings += _look(number, eye, frame, instant)
            yield instant, sightings
    finally:
        instants.close()
        tell(sum(reader.frames) - done)
        for eye, count, end in zip(eyes, reader.frames, reader.ends, strict=True):
            eye.tracker.finish()
            eye.frame = None
            eye.told.frames, eye.told.duration = count, end


def _look(number: int, eye: Eye, frame: Frame, instant: float) -> list[Sighting]:
    """What one camera sees at one instant."""
    eye.detections = eye.detector.detect(frame)
    eye.told.looked += 1
    eye.told.found += len(eye.detections) > 0
    eye.told.boxes += len(eye.detections)
    step = eye.tracker.update(instant, eye.detections)
    return [
        Sighting(
            camera=number,
            index=index,
            track=track,
            kind=eye.detections.kinds[index],
            box=straight_box(eye.detections.boxes[index], eye.camera),
        )
        for index, track in enumerate(step.ids)
    ]
