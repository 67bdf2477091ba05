"""Painted cut-outs: figures whose left hand is red and whose right hand is green, so that anybody can check them."""

from pathlib import Path

import cv2
import numpy as np

from humanpt.data.detection.cutouts import LEFT, PERSON, RIGHT, CutOut, Framing, part_name, write_cutouts

RED, GREEN = (220, 20, 20), (20, 220, 20)


def painted(person: int, framing: Framing = Framing.FIGURE, cut=(False, False, False, False)) -> CutOut:
    """A figure of 120 x 60 pixels with a hand on each side."""
    label = np.zeros((120, 60), np.uint8)
    cv2.ellipse(label, (30, 70), (16, 49), 0, 0, 360, PERSON, -1)
    cv2.circle(label, (30, 14), 13, PERSON, -1)
    cv2.circle(label, (8, 70), 8, LEFT, -1)
    cv2.circle(label, (51, 70), 8, RIGHT, -1)
    shade = 60 + 20 * (person % 8)
    rgb = np.zeros((120, 60, 3), np.uint8)
    rgb[label == PERSON] = (shade, shade, 255 - shade)
    rgb[label == LEFT], rgb[label == RIGHT] = RED, GREEN
    alpha = np.where(label > 0, 255, 0).astype(np.uint8)
    return CutOut(rgba=np.dstack([rgb, alpha]), label=label, framing=framing, person=person, cut=cut, seen=(1.0, 1.0))


def room(person: int) -> CutOut:
    """A grey room."""
    rgba = np.full((64, 64, 4), 90, np.uint8)
    rgba[..., 3] = 255
    nothing = np.zeros((64, 64), np.uint8)
    return CutOut(rgba=rgba, label=nothing, framing=Framing.ROOM, person=person, cut=(True,) * 4, seen=(0.0, 0.0))


def write_painted(folder: Path, people: int = 12) -> Path:
    """A set of them: every person as a figure, as a part cut below, and as a hand from near; and some rooms."""
    with write_cutouts(folder / part_name(0)) as add:
        for person in range(people):
            add(painted(person))
            add(painted(person, Framing.PART, cut=(False, False, False, True)))
            add(painted(person, Framing.HAND))
            if person % 3 == 0:
                add(room(person))
    return folder
