"""`preview.html`: what `mkpairs` found, to be looked at before anything is trained on it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from humanpt.data.image import decode_jpeg
from humanpt.data.shards import PairSet, Picture
from humanpt.pages.charts import histogram
from humanpt.pages.page import write_page

SHOWN = 24
SIDE = 168  # of a shown crop, in pixels: three pairs in a row


def write_preview(path: Path, summary: dict[str, Any], shards: Sequence[Path]) -> None:
    """Write the page.

    Args:
        path: the HTML file.
        summary: as `mkpairs` writes it.
        shards: the shard files that the summary speaks of.
    """
    pairs = PairSet.open(shards)
    chosen = np.unique(np.linspace(0, len(pairs) - 1, SHOWN).round().astype(int)).tolist()
    gaps, changes = [], []
    for reader in pairs.readers:
        gaps.append(np.abs(np.diff(reader.timestamps, axis=1)).ravel())
        changes.append(reader.change.copy())
        reader.release()
    rules = summary["config"]["pairs"]
    write_page(
        path,
        "preview.html",
        title=f"{summary['pairs']} pairs of {'people' if summary['subject'] == 'body' else 'hands'}",
        subject="person" if summary["subject"] == "body" else "hand",
        figures=[
            (summary["pairs"], "pairs"),
            (summary["parts"], f"{summary['noun']}s"),
            (summary["kept_tracks"], "tracks"),
            (summary["frames"], "frames decoded"),
            (f"{summary['frames_per_second']:.0f}", "frames per second"),
        ],
        charts=[
            histogram(
                np.concatenate(gaps), "time gap (s)", [(rules["min_gap"], "min_gap"), (rules["max_gap"], "max_gap")]
            ),
            histogram(np.concatenate(changes), "change (mean shift / box size)", [(rules["min_motion"], "min_motion")]),
        ],
        shown=[_shown(pairs, index) for index in chosen],
        total=len(pairs),
        parts=summary["per_part"],
        rejected=[(summary["reasons"][reason], count) for reason, count in summary["rejected"].items()],
        settings=json.dumps(summary["config"], indent=2),
    )


def _shown(pairs: PairSet, index: int) -> dict[str, Any]:
    pair, (reader, _) = pairs.record(index), pairs.locate(index)
    return {
        "image1": outlined(pair.image1),
        "image2": outlined(pair.image2),
        "clip": reader.sources[pair.image1.source].path,
        "track": pair.track,
        "gap": f"{pair.image2.timestamp - pair.image1.timestamp:+.2f}",
        "change": f"{pair.change:.2f}",
    }


def outlined(picture: Picture, side: int = SIDE) -> NDArray[np.uint8]:
    """A crop with the outline of its subject mask, (side, side, 3) RGB."""
    crop = cv2.resize(decode_jpeg(picture.jpeg), (side, side), interpolation=cv2.INTER_AREA)
    mask = cv2.resize(picture.mask.astype(np.uint8), (side, side), interpolation=cv2.INTER_NEAREST)
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(crop, contours, -1, (255, 214, 10), 1)
    return np.asarray(crop)
