"""`preview.html`: what `mkpairs` found, to be looked at before anything is trained on it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from humanpt.data.image import decode_jpeg
from humanpt.data.shards import KINDS, Kind, PairSet, Picture
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
    write_page(
        path,
        "preview.html",
        title=f"{summary['pairs']} pairs of {'people' if summary['subject'] == 'body' else 'hands'}",
        subject="person" if summary["subject"] == "body" else "hand",
        noun=summary["noun"],
        figures=[
            (summary["pairs"], "pairs"),
            (summary["parts"], f"{summary['noun']}s"),
            *([(summary["frames"], f"{summary['unit']}s")] if summary["unit"] != "pair" else []),
            (f"{summary['frames_per_second']:.3g}", f"{summary['unit']}s per second"),
        ],
        charts=_charts(pairs, summary["config"]),
        kinds=[KINDS[kind] for kind in np.unique(pairs.kind)],
        shown=[_shown(pairs, index) for index in chosen],
        total=len(pairs),
        parts=summary["per_part"],
        rejected=[(summary["reasons"][reason], count) for reason, count in summary["rejected"].items()],
        settings=json.dumps(summary["config"], indent=2),
    )


def _charts(pairs: PairSet, config: dict[str, Any]) -> list[Markup]:
    """How the pairs are spread: gaps and changes of cross-pose pairs, angles and scores of cross-view pairs."""
    found: dict[str, list[NDArray[Any]]] = {"gap": [], "change": [], "angle": [], "score": []}
    for reader in pairs.readers:
        pose = reader.kind == Kind.CROSS_POSE
        found["gap"].append(np.abs(np.diff(reader.timestamps[pose], axis=1)).ravel())
        found["change"].append(reader.change[pose])
        found["angle"].append(np.degrees(_angle(reader.column("cam_from_world")[~pose])))
        found["score"].append(reader.column("pair_score")[~pose])
        reader.release()
    values = {name: np.concatenate(parts) for name, parts in found.items()}
    rules = config.get("pairs", {})

    def limits(*names: str) -> list[tuple[float, str]]:
        return [(rules[name], name) for name in names if name in rules]

    charts: tuple[tuple[str, str, list[tuple[float, str]]], ...] = (
        ("gap", "time gap (s)", limits("min_gap", "max_gap")),
        ("change", "change (mean shift / box size)", limits("min_motion")),
        ("angle", "angle between the cameras (degrees)", []),
        ("score", "pair score", []),
    )
    return [
        histogram(values[name][np.isfinite(values[name])], label, marks)
        for name, label, marks in charts
        if np.isfinite(values[name]).any()
    ]


def _angle(cam_from_world: NDArray[np.float64]) -> NDArray[np.float64]:
    """Angle in radians between two cameras' orientations, (N, 2, 4, 4) to (N,); NaN where a pose is unknown."""
    first, second = cam_from_world[:, 0, :3, :3], cam_from_world[:, 1, :3, :3]
    trace = np.einsum("nij,nij->n", first, second)
    return np.asarray(np.arccos(np.clip((trace - 1) / 2, -1, 1)))


def _shown(pairs: PairSet, index: int) -> dict[str, Any]:
    pair, (reader, _) = pairs.record(index), pairs.locate(index)
    sources = [reader.sources[picture.source] for picture in (pair.image1, pair.image2)]
    if pair.kind == Kind.CROSS_VIEW:
        where = sources[0].sequence
        poses = [
            np.eye(4) * np.nan if p.cam_from_world is None else p.cam_from_world for p in (pair.image1, pair.image2)
        ]
        angle = np.degrees(_angle(np.array([poses]))[0])
        cameras = " and ".join(source.camera for source in sources) if sources[0].camera else "two cameras"
        told = cameras + (f" · {angle:.0f}°" if np.isfinite(angle) else "")
    else:
        where = sources[0].path
        told = f"gap {pair.image2.timestamp - pair.image1.timestamp:+.2f} s · change {pair.change:.2f}"
    return {"image1": outlined(pair.image1), "image2": outlined(pair.image2), "where": where, "told": told}


def outlined(picture: Picture, side: int = SIDE) -> NDArray[np.uint8]:
    """A crop with the outline of its subject mask, (side, side, 3) RGB."""
    crop = cv2.resize(decode_jpeg(picture.jpeg), (side, side), interpolation=cv2.INTER_AREA)
    mask = cv2.resize(picture.mask.astype(np.uint8), (side, side), interpolation=cv2.INTER_NEAREST)
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(crop, contours, -1, (255, 214, 10), 1)
    return np.asarray(crop)
