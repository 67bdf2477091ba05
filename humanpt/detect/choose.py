"""The detectors that a user may name."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path

from humanpt.detect.boxes import BoxesDetector
from humanpt.detect.detector import DetectConfig, Detector, FullDetector, Subject
from humanpt.detect.motion import MotionConfig, MotionDetector
from humanpt.detect.onnx import OnnxDetector
from humanpt.errors import ConfigError

CHOICES = ("auto", "own", "motion", "full", "boxes:FILE", "onnx:FILE")


def make_detector(
    spec: str, subject: Subject, config: DetectConfig | None = None, motion: MotionConfig | None = None
) -> Detector:
    """Build the detector that a user named. The text and config are all it takes, so a worker process can do it again.

    Args:
        spec: `auto` (own, helped by motion), `own`, `motion`, `full`, `boxes:FILE` or `onnx:FILE`.
        subject: whether bodies or hands are wanted.
        config: how a model is run.
        motion: how the motion detector learns the background.

    Raises:
        ConfigError: if there is no such detector; the nearest is offered.
        InputError: if the file is missing or of another kind.
    """
    name, _, file = spec.partition(":")
    if file and name == "boxes":
        return BoxesDetector(Path(file), subject)
    if file and name == "onnx":
        return OnnxDetector(Path(file), subject, config)
    if spec == "full":
        return FullDetector(subject)
    if spec == "motion":
        return MotionDetector(subject, motion)
    if spec == "auto":
        from humanpt.detect.auto import AutoDetector  # torch loads here, for those who need it alone

        return AutoDetector(subject, config, motion)
    if spec == "own":
        from humanpt.detect.heatmap import OwnDetector

        return OwnDetector(subject, config)
    near = difflib.get_close_matches(spec, CHOICES, n=1, cutoff=0.0)[0]
    choices = ", ".join(CHOICES)
    raise ConfigError(f"there is no detector {spec!r}; did you mean {near}? The choices are {choices}")


def check_detector(spec: str, subject: Subject, clips: Sequence[str], config: DetectConfig | None = None) -> None:
    """Refuse now, before any clip is decoded, what could only fail later.

    Args:
        spec: as for `make_detector`.
        subject: as for `make_detector`.
        clips: names of all clips to come, as `start` will get them.
        config: as for `make_detector`.

    Raises:
        ConfigError: if there is no such detector.
        InputError: if the file is missing or of another kind, or a boxes file can serve none of the clips.
    """
    detector = make_detector(spec, subject, config)
    if isinstance(detector, BoxesDetector):
        detector.check(clips)
