"""Detectors against the hand-made boxes of tests/detect/annotated. A script, not a test.

    python -m tests.benchmarks detection [--samples DIR] [--detectors own auto motion onnx:FILE] [--hog-python PYTHON]
        [--json FILE]

Recall: the share of annotated subjects that a box of their own meets with an IoU of 0.4 or more; boxes are given away
in the order of their scores. False: boxes per frame that meet nobody; boxes on something marked `ignore` count neither
way. Large: at least a quarter of the picture on the longer side. Side: of the hands found and called left or right,
the share called by the side that they are of.

Every detector sees the pictures that it would see in `mkpairs`: one that remembers (`auto`, `motion`) is fed the clip
from its start; on a still picture `motion` has nothing to go by and is not measured. Times are of one thread, medians
over all frames that were looked at, with the conversion of the frame to what the detector wants and without decoding.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import os
import statistics
import subprocess
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from humanpt.data.frame import ArrayFrame, Frame
from humanpt.data.image import read_image
from humanpt.data.video import open_clip
from humanpt.detect.choose import make_detector
from humanpt.detect.detector import Detections, Detector, Subject, serves
from humanpt.detect.motion import MotionDetector
from humanpt.errors import HumanptError

TRUTH = Path(__file__).parents[1] / "detect" / "annotated" / "boxes.json"
SAMPLES = Path(__file__).parents[3] / "shared" / "samples"
OVERLAP = 0.4
LARGE = 0.25
REMEMBERING = ("auto", "motion")
SUBJECTS: tuple[tuple[Subject, str], ...] = (("body", "people"), ("hand", "hands"))


@dataclasses.dataclass
class Tally:
    """What happened on some frames; tallies add up."""

    frames: int = 0
    subjects: int = 0
    found: int = 0
    false: int = 0
    sided: int = 0
    """Hands found and called left or right."""
    right_side: int = 0
    """Of these, those called by the side that they are of."""
    large: int = 0
    """Subjects whose longer side is at least `LARGE` of the picture's."""
    large_found: int = 0

    def __add__(self, other: Tally) -> Tally:
        return Tally(*(a + b for a, b in zip(dataclasses.astuple(self), dataclasses.astuple(other), strict=True)))

    @property
    def text(self) -> str:
        """Recall and false boxes per frame."""
        return f"{self.found / max(1, self.subjects):.2f} / {self.false / max(1, self.frames):.2f}"


def score_frame(found: Detections, boxes: Sequence[dict[str, Any]], subject: Subject, size: tuple[int, int]) -> Tally:
    """Give the boxes found, the best first, to annotated subjects that they meet.

    Args:
        found: what a detector said of a frame.
        boxes: everything annotated in the frame, as in the file.
        subject: whom to count; boxes of another subject are left out on both sides.
        size: width and height of the picture.
    """
    wanted = [box for box in boxes if serves(box["kind"], subject) and not box.get("ignore")]
    passed_over = [box["edges"] for box in boxes if serves(box["kind"], subject) and box.get("ignore")]
    tally = Tally(frames=1, subjects=len(wanted), large=sum(is_large(box["edges"], size) for box in wanted))
    free = list(wanted)
    for i in np.argsort(-found.scores, kind="stable"):
        if not serves(found.kinds[i], subject):
            continue
        edges = found.boxes[i]
        overlaps = [iou(edges, box["edges"]) for box in free]
        if overlaps and max(overlaps) >= OVERLAP:
            truth = free.pop(int(np.argmax(overlaps)))
            tally.found += 1
            tally.large_found += is_large(truth["edges"], size)
            if found.kinds[i] in ("hand_left", "hand_right"):
                tally.sided += 1
                tally.right_side += found.kinds[i] == truth["kind"]
        elif not any(meets_ignored(edges, other) for other in passed_over):
            tally.false += 1
    return tally


def meets_ignored(edges: Sequence[float], ignored: Sequence[float]) -> bool:
    """Whether a box lies on something that was marked `ignore`: mostly within it, or of about its shape."""
    return shared(edges, ignored) >= 0.5 * area(edges) or iou(edges, ignored) >= OVERLAP


def is_large(edges: Sequence[float], size: tuple[int, int]) -> bool:
    """Whether a box is large in its picture."""
    return max(edges[2] - edges[0], edges[3] - edges[1]) >= LARGE * max(size)


def area(edges: Sequence[float]) -> float:
    """Square pixels of a box."""
    return max(0.0, float(edges[2] - edges[0])) * max(0.0, float(edges[3] - edges[1]))


def shared(first: Sequence[float], second: Sequence[float]) -> float:
    """Square pixels that two boxes share."""
    low, high = np.maximum(first[:2], second[:2]), np.minimum(first[2:], second[2:])
    return area([*low, *high])


def iou(first: Sequence[float], second: Sequence[float]) -> float:
    """What two boxes share over what they cover together."""
    common = shared(first, second)
    return common / max(1e-9, area(first) + area(second) - common)


class HogDetector:
    """OpenCV's HOG people in another Python; see hog_people.py.

    Args:
        python: an interpreter whose cv2 has HOGDescriptor.
    """

    name = "hog"
    remark: str | None = None

    def __init__(self, python: Path) -> None:
        script = Path(__file__).with_name("hog_people.py")
        self._child = subprocess.Popen([python, script], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.seconds = (0.0, 0.0)

    def start(self, clip_name: str, width: int, height: int) -> None:
        """Nothing to prepare."""

    def detect(self, frame: Frame) -> Detections:
        """Send the frame and read the answer."""
        to_child, from_child = self._child.stdin, self._child.stdout
        assert to_child is not None
        assert from_child is not None
        to_child.write(json.dumps([frame.height, frame.width]).encode() + b"\n")
        to_child.write(np.ascontiguousarray(frame.rgb()).tobytes())
        to_child.flush()
        boxes, scores, *seconds = json.loads(from_child.readline())
        self.seconds = seconds[0], seconds[1]
        edges = np.array(boxes, np.float32).reshape(-1, 4) - np.float32(0.5)
        return Detections(boxes=edges, scores=np.array(scores, np.float32), kinds=("body",) * len(scores))


def frames_of(path: Path, clip: dict[str, Any]) -> Iterator[Frame]:
    """The frames of a sample up to the last annotated one."""
    if clip["still"]:
        yield ArrayFrame(0, 0.0, read_image(path), name=path.name)
        return
    last = max(frame["number"] for frame in clip["frames"])
    for frame in open_clip(path).frames():
        yield frame
        if frame.number >= last:
            return


def refusal(clip: dict[str, Any], samples: Path) -> str | None:
    """Why a sample cannot be used; None if it is the one that was annotated."""
    path = samples / clip["file"]
    if not path.exists():
        return f"{clip['file']}: not in {samples}; left out"
    for number, told in [(None, clip.get("sha256")), *((f["number"], f.get("sha256")) for f in clip["frames"])]:
        file = path if number is None else path / f"{number:05d}.jpg"
        if told and (not file.is_file() or hashlib.sha256(file.read_bytes()).hexdigest() != told):
            return f"{file}: not the file that was annotated; left out"
    return None


def measure(
    detector: Detector, subject: Subject, clips: Sequence[dict[str, Any]], samples: Path, remembers: bool
) -> tuple[dict[str, Tally], list[tuple[float, float]]]:
    """Run a detector over the samples.

    Returns:
        A tally per group of clips, and (wall, CPU) seconds of every call.
    """
    tallies: dict[str, Tally] = defaultdict(Tally)
    seconds = []
    for clip in clips:
        annotated = {frame["number"]: frame["boxes"] for frame in clip["frames"]}
        detector.start(clip["file"], *clip["size"])
        for frame in frames_of(samples / clip["file"], clip):
            if not remembers and frame.number not in annotated:
                continue
            wall, cpu = time.perf_counter(), time.process_time()
            found = detector.detect(frame)
            times = time.perf_counter() - wall, time.process_time() - cpu
            seconds.append(detector.seconds if isinstance(detector, HogDetector) else times)
            if frame.number in annotated:
                tallies[clip["group"]] += score_frame(found, annotated[frame.number], subject, clip["size"])
    return dict(tallies), seconds


def table(title: str, clips: Sequence[dict[str, Any]], results: dict[str, dict[str, Any]]) -> list[str]:
    """Rows of groups, columns of detectors: recall / false boxes per frame."""
    groups: dict[str, bool] = {clip["group"]: clip["still"] for clip in clips}
    sets = {group: [group] for group in groups}
    sets |= {"all clips": [g for g in groups if not groups[g]], "all stills": [g for g in groups if groups[g]]}
    sets |= {"all": list(groups)}
    lines = [f"{title:24}" + "".join(f"{name[-18:]:>20}" for name in results)]
    for row, members in sets.items():
        cells = []
        for result in results.values():
            known = [result["tallies"][group] for group in members if group in result["tallies"]]
            whole = sum(known, Tally())
            cells.append(whole.text if len(known) == len(members) and known else "n/a")
        lines.append(f"{row:24}" + "".join(f"{cell:>20}" for cell in cells))
    totals = [sum(result["tallies"].values(), Tally()) for result in results.values()]
    large = [f"{t.large_found / t.large:.2f} of {t.large}" if t.large else "n/a" for t in totals]
    lines.append(f"{'recall of large ones':24}" + "".join(f"{cell:>20}" for cell in large))
    if title == "hands":
        sides = [f"{t.right_side / t.sided:.2f} of {t.sided}" if t.sided else "n/a" for t in totals]
        lines.append(f"{'side right':24}" + "".join(f"{cell:>20}" for cell in sides))
    for k, name in enumerate(("wall", "CPU")):
        medians = [1000 * statistics.median(times[k] for times in result["seconds"]) for result in results.values()]
        lines.append(f"{f'ms per frame, {name}':24}" + "".join(f"{value:>20.1f}" for value in medians))
    return lines


def detectors_for(subject: Subject, specs: Sequence[str], hog_python: Path | None) -> dict[str, Detector]:
    """The detectors that there are for a subject; says which there are not."""
    made: dict[str, Detector] = {}
    for spec in specs:
        try:
            made[spec] = make_detector(spec, subject)
        except HumanptError as error:
            print(f"{spec} for {subject}: {error}")
    if isinstance(made.get("auto"), MotionDetector) and "motion" in made:
        print(f"auto is motion for {subject}: measured once")
        del made["auto"]
    if subject == "body" and hog_python:
        made["hog"] = HogDetector(hog_python)
    elif subject == "body":
        print("hog: name a Python that has OpenCV 4 with --hog-python or HOG_PYTHON; left out")
    return made


def main() -> None:
    """Measure all, print two tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=Path, default=SAMPLES)
    parser.add_argument("--detectors", nargs="+", default=["own", "auto", "motion"], help="as for mkpairs --detector")
    parser.add_argument("--hog-python", type=Path, default=os.environ.get("HOG_PYTHON"))
    parser.add_argument("--json", type=Path)
    words = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    clips = json.loads(TRUTH.read_text())["clips"]
    reasons = [refusal(clip, words.samples) for clip in clips]
    for reason in filter(None, reasons):
        print(reason)
    clips = [clip for clip, reason in zip(clips, reasons, strict=True) if reason is None]
    figures: dict[str, Any] = {}
    for subject, title in SUBJECTS:
        chosen = [clip for clip in clips if subject in clip["subjects"]]
        if not chosen:
            continue
        results = {}
        for name, detector in detectors_for(subject, words.detectors, words.hog_python).items():
            usable = [clip for clip in chosen if not (clip["still"] and isinstance(detector, MotionDetector))]
            tallies, seconds = measure(detector, subject, usable, words.samples, name in REMEMBERING)
            results[name] = {"tallies": tallies, "seconds": seconds}
        if not results:
            continue
        boxes = [box for clip in chosen for frame in clip["frames"] for box in frame["boxes"]]
        count = sum(serves(box["kind"], subject) and not box.get("ignore") for box in boxes)
        frames = sum(len(clip["frames"]) for clip in chosen)
        print(f"\n{count} {title} in {frames} frames: recall at IoU {OVERLAP} / false boxes per frame")
        print("\n".join(table(title, chosen, results)))
        figures[subject] = {
            name: {
                "groups": {group: dataclasses.asdict(tally) for group, tally in result["tallies"].items()},
                "wall_ms": 1000 * statistics.median(wall for wall, _ in result["seconds"]),
                "cpu_ms": 1000 * statistics.median(cpu for _, cpu in result["seconds"]),
            }
            for name, result in results.items()
        }
    if words.json:
        words.json.write_text(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
