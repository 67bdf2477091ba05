"""One view as it travels to the page: what is known in JSON, then the meshes, then the drawn picture as a JPEG file.

A message is the length of its head (uint32, little-endian), the head (JSON, padded with spaces to whole fours of
bytes), the vertices of the subjects one after the other (float32, little-endian, metres, camera axes: x right, y down,
z forward), and the picture to the end of the message.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
import simplejpeg

from humanpt.data.image import Rgb
from humanpt.live.draw import STAGES, RecentTimes
from humanpt.live.shot import Subject3D, View
from humanpt.render.overlay import colour_of

_QUALITY = 82


def message_of(view: View, drawn: Rgb, times: RecentTimes, mirrored: bool) -> bytes:
    """Write a view down for the page.

    Args:
        view: what is known.
        drawn: (H, W, 3) uint8 RGB.
        times: of this view and those before.
        mirrored: whether the picture was drawn as in a mirror.
    """
    camera = view.shot.camera
    head = {
        "number": view.shot.number,
        "timestamp": round(view.shot.timestamp, 3),
        "name": view.shot.name,
        "size": [drawn.shape[1], drawn.shape[0]],
        "intrinsics": camera.intrinsics.round(3).tolist(),
        "focal": {"line": camera.line, "from": camera.focal_from},
        "mirrored": mirrored,
        "detected": view.detected,
        "dropped": view.dropped,
        "rate": round(times.rate, 2),
        "stages": _stages(view.seconds, times.medians),
        "subjects": [_told(subject) for subject in view.subjects],
    }
    vertices = [np.ascontiguousarray(subject.vertices, "<f4").tobytes() for subject in view.subjects]
    jpeg = simplejpeg.encode_jpeg(np.ascontiguousarray(drawn), _QUALITY, "RGB", "420")
    text = json.dumps(head, allow_nan=False).encode()
    text += b" " * (-len(text) % 4)
    return b"".join((struct.pack("<I", len(text)), text, *vertices, jpeg))


def _stages(now: Mapping[Any, float], medians: Mapping[Any, float]) -> list[dict[str, Any]]:
    """Milliseconds of each part, in the order in which they are done; `now` is None where nothing was to do."""
    return [
        {
            "stage": stage,
            "now": round(1000 * now[stage], 3) if stage in now else None,
            "p50": round(1000 * medians[stage], 3),
        }
        for stage in (*STAGES, "total")
        if stage in medians
    ]


def _told(subject: Subject3D) -> dict[str, Any]:
    what = {"body": "person", "hand": "hand", "hand_left": "left hand", "hand_right": "right hand"}[subject.kind]
    return {
        "identity": subject.identity,
        "kind": subject.kind,
        "told": f"{subject.identity} · {what}",
        "score": _finite(subject.score),
        "box": [_finite(edge) for edge in subject.box],
        "metres": _finite(np.median(subject.keypoints[:, 2])) if len(subject.keypoints) else None,
        "vertices": len(subject.vertices),
        "colour": "#{:02x}{:02x}{:02x}".format(*colour_of(subject.identity)),
    }


def _finite(value: float | np.floating) -> float | None:
    """A number as JSON can hold it."""
    return round(float(value), 3) if math.isfinite(value) else None
