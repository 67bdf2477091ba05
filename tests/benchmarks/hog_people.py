"""OpenCV's HOG person detector, answering the frames that `detection.py` pipes to it. Not run by hand.

Needs OpenCV and NumPy alone, so that any Python with an OpenCV that still has HOG (4.x) can run it: opencv-python 5
dropped it. In: a line of JSON with the height and width, then the RGB bytes. Out: a line of JSON with boxes as edges
from the picture's corner, scores, and the seconds of wall and CPU time of the detection.
"""

from __future__ import annotations

import json
import sys
import time

import cv2
import numpy as np

# Of the sizes 320, 480 and 640, with and without a border, and with and without the cut of the boxes' margins, these
# gave the best balance on the very frames that are reported: the baseline is shown at its best.
LONGEST = 480
BORDER = 0.25  # of the longer side, on all sides: the window of 64 x 128 wants room around a person


def people(hog: cv2.HOGDescriptor, rgb: np.ndarray) -> tuple[list[list[float]], list[float]]:
    """Boxes and scores, with the usual steps. HOG boxes have a margin, cut as OpenCV's own sample peopledetect does."""
    scale = min(1.0, LONGEST / max(rgb.shape[:2]))
    size = round(rgb.shape[1] * scale), round(rgb.shape[0] * scale)
    grey = cv2.cvtColor(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)
    border = int(BORDER * max(size))
    grey = cv2.copyMakeBorder(grey, border, border, border, border, cv2.BORDER_REPLICATE)
    found, scores = hog.detectMultiScale(grey, winStride=(8, 8), padding=(8, 8), scale=1.05)
    lefts, tops, widths, heights = np.array(found, np.float64).reshape(-1, 4).T - [[border], [border], [0], [0]]
    low = np.stack([lefts + 0.1 * widths, tops + 0.07 * heights], axis=1)
    high = low + 0.8 * np.stack([widths, heights], axis=1)
    edges = np.concatenate([low, high], axis=1) / scale
    return edges.tolist(), [float(score) for score in np.ravel(scores)]


def main() -> None:
    """Answer frame after frame until the input ends."""
    cv2.setNumThreads(1)
    hog = cv2.HOGDescriptor()
    hog.setSVMDetector(cv2.HOGDescriptor_getDefaultPeopleDetector())
    while line := sys.stdin.buffer.readline():
        height, width = json.loads(line)
        rgb = np.frombuffer(sys.stdin.buffer.read(height * width * 3), np.uint8).reshape(height, width, 3)
        wall, cpu = time.perf_counter(), time.process_time()
        boxes, scores = people(hog, rgb)
        times = time.perf_counter() - wall, time.process_time() - cpu
        print(json.dumps([boxes, scores, *times]), flush=True)


if __name__ == "__main__":
    main()
