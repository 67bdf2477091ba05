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
    "mean_per_class": "mean accuracy per class",
    "chance": "always the most frequent class",
    "mean_pa_mpjpe_mm": "PA-MPJPE of the mean pose",
    "mask_iou": "IoU of the whole body",
    "mean_iou": "IoU, mean over parts",
    "uv_error": "distance in UV",
    "parts": "cross-entropy of parts",
    "uv": "loss of UV",
    "lr": "learning rate",
}
_SHORT = ("MPJPE", "MPVPE", "PVE", "PA", "AUC", "PCK", "AP", "AR", "GPS", "GPSm", "IoU", "UV", "F", "2D", "3D")
_CAPITALS = {word.lower(): word for word in _SHORT}
_PERCENT = re.compile(r"^top\d|accuracy|mean_per_class|^chance$|share")
_HIGH = re.compile(r"^top\d|accuracy|mean_per_class|(^|_)(auc|pck|ap|ar|gps|gpsm|iou|f|f1|ap\d+|f\d+)($|[_@\d])")
_COUNTS = re.compile(r"count$|samples$|^n$|seed|step|epoch|missing")


ALIGNMENTS: Mapping[str, str] = {
    "raw_": "as predicted",
    "": "roots together",
    "scaled_": "roots together, one bone as long",
    "pa_": "after Procrustes",
}
"""What was done to points before they were measured, by how a figure's name begins."""
_PREFIXES = re.compile("^(" + "|".join(filter(None, ALIGNMENTS)) + ")")
LEADING = ("pa_mpjpe_mm", "mpjpe_mm", "pa_pve_mm", "pve_mm", "pa_f_at_5", "pa_f_at_15")
"""The figures that most tables of papers have, first of all."""


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
    coarse = value is not None and abs(value) >= 100 and figure.digits == 2
    text = f"{value:,.{0 if figure.unit != 'mm' else 1}f}" if coarse else figure.told(value)
    if value is None or not figure.unit:
        return text
    return text + ("" if figure.unit in ("%", "°") else " ") + figure.unit


def leading(figures: Mapping[str, float], count: int) -> dict[str, float]:
    """So many figures that matter most: those of `LEADING`, then the others in their order."""
    names = [name for name in LEADING if name in figures] + [name for name in figures if name not in LEADING]
    return {name: figures[name] for name in names[:count]}


def by_alignment(figures: Mapping[str, float]) -> tuple[list[str], list[tuple[str, list[str]]], list[tuple[str, str]]]:
    """Figures as a table of measures by alignments, and the rest as a list.

    Returns:
        What the columns are called; each row's title and values, "" where there is none; and titles and values of the
        figures that are measured but one way.
    """
    bases = {_PREFIXES.sub("", name): None for name in figures}
    several = [base for base in bases if any(prefix + base in figures for prefix in ALIGNMENTS if prefix)]
    columns = [prefix for prefix in ALIGNMENTS if any(prefix + base in figures for base in several)]
    rows = [
        (
            score(base).title,
            [told(prefix + base, figures[prefix + base]) if prefix + base in figures else "" for prefix in columns],
        )
        for base in several
    ]
    rest = [(score(name).title, told(name, figures[name])) for name in bases if name not in several]
    return [ALIGNMENTS[prefix] for prefix in columns], rows, rest


def _title(bare: str) -> str:
    if bare in TITLES:
        return TITLES[bare]
    ending = next((ending for ending in UNITS if bare.endswith(ending)), "")
    words = bare.removesuffix(ending).replace("_at_", "@").split("_")
    text = " ".join(re.sub(r"^[a-z0-9]*[a-z]", lambda found: _CAPITALS.get(found[0], found[0]), word) for word in words)
    return re.sub(r"\b(PA|AP) (?=[A-Z]|[ml]$)", r"\1-", text)
