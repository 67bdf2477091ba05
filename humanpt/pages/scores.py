"""What the figures of an evaluation are called on a page, their unit, and which way is better, read from their names.

A name says it all: `pa_mpjpe_mm` is a length in millimetres after alignment, `f_at_5` a share of one. So a scorer may
add figures without telling this file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

from humanpt.pages.figures import Figure

UNITS = {"_mm_per_s2": "mm/s²", "_mm_per_frame2": "mm/frame²", "_mm": "mm", "_cm": "cm", "_deg": "°"}
TITLES: Mapping[str, str] = {
    "top1": "top-1 accuracy",
    "top_1": "top-1 accuracy",
    "top5": "top-5 accuracy",
    "mean_per_class": "mean accuracy per class",
    "accuracy": "accuracy",
    "uv_l1": "mean distance in UV",
    "loss": "loss",
    "mean_pose_pa_mm": "PA error of the mean pose",
}
_CAPITALS = {"mpjpe", "mpvpe", "pve", "pa", "auc", "pck", "ap", "ar", "gps", "gpsm", "iou", "uv", "f", "2d", "3d"}
_PERCENT = re.compile(r"top_?\d|accuracy|mean_per_class|share")
_HIGH = re.compile(r"top_?\d|accuracy|mean_per_class|(^|_)(auc|pck|ap|ar|gps|gpsm|iou|f|f1|ap\d+|f\d+)($|[_@\d])")
_COUNTS = re.compile(r"count$|samples$|^n$|seed|step|epoch|missing")


def score(name: str) -> Figure:
    """How a figure is told on a page.

    Args:
        name: as the scorer calls it; `heldout_` before it makes no difference.
    """
    bare = name.removeprefix("heldout_")
    unit = next((unit for ending, unit in UNITS.items() if bare.endswith(ending)), "")
    is_count = bool(_COUNTS.search(bare))
    high = bool(_HIGH.search(bare)) and not unit
    percent = bool(_PERCENT.search(bare)) and not unit
    low = bool(unit) or "loss" in bare or "error" in bare or bare.endswith("l1")
    better: Literal["low", "high"] | None = None if is_count else "high" if high else "low" if low else None
    return Figure(
        name=name,
        title=_title(bare),
        group=None,
        unit="%" if percent else unit,
        better=better,
        digits=0 if is_count else 1 if percent or unit == "°" else 2 if unit else 3,
    )


def told(name: str, value: float | None) -> str:
    """A figure's value with its unit."""
    figure = score(name)
    text = figure.told(value)
    return text if value is None or not figure.unit else f"{text} {figure.unit}".replace(" °", "°")


def _title(bare: str) -> str:
    if bare in TITLES:
        return TITLES[bare]
    ending = next((ending for ending in UNITS if bare.endswith(ending)), "")
    words = bare.removesuffix(ending).replace("_at_", "@").split("_")
    text = " ".join(word.upper() if word.split("@")[0] in _CAPITALS or _is_ap(word) else word for word in words)
    return re.sub(r"\bPA (?=[A-Z])", "PA-", text)


def _is_ap(word: str) -> bool:
    return re.fullmatch(r"(ap|f|pck|auc)\d+", word) is not None
