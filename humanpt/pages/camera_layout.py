"""A plan of a capture: where its cameras stand, where they look and where the subject went, seen from above."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from humanpt.data.captures.check import CaptureCheck
from humanpt.files import write_whole
from humanpt.pages.charts import COLOURS


def write_camera_layout(path: Path, check: CaptureCheck) -> None:
    """Draw the plan as an SVG file; up is what the cameras agree on, as captures have world axes of their own.

    Args:
        path: the file to write.
        check: of a capture with calibrated cameras.

    Raises:
        ValueError: if fewer than two cameras have a place.
        OutputError: if the file cannot be written.
    """
    placed = [camera for camera in check.cameras if camera.centre is not None]
    if len(placed) < 2:
        raise ValueError(f"{check.name}: {len(placed)} cameras have a place; a plan needs two")
    axes_in_plan = _plan(np.array([camera.down for camera in placed]))
    centres = np.array([camera.centre for camera in placed]) @ axes_in_plan.T
    looks = np.array([camera.forward for camera in placed]) @ axes_in_plan.T
    figure = Figure(figsize=(5.4, 5.0), layout="constrained")
    axes = figure.add_subplot()
    axes.set_aspect("equal")
    reach = 0.25 * float(np.ptp(centres, axis=0).max())
    if check.subject:
        path_in_plan = np.array(check.subject) @ axes_in_plan.T
        axes.plot(path_in_plan[:, 0], path_in_plan[:, 1], ".", color=COLOURS[1], markersize=3, label="subject")
    for camera, centre, look in zip(placed, centres, looks, strict=True):
        wrong = any(f" {camera.name}:" in problem or f" {camera.name} and" in problem for problem in check.problems)
        colour = COLOURS[3] if wrong else COLOURS[0]
        axes.annotate(
            "", centre + reach * look, centre, arrowprops={"arrowstyle": "->", "color": colour, "linewidth": 1.4}
        )
        axes.plot(*centre, "s", color=colour, markersize=6)
        told = camera.name if np.isnan(camera.error) else f"{camera.name}\nmiss {camera.error:.2f}"
        axes.annotate(told, centre, xytext=(6, 6), textcoords="offset points", fontsize=8)
    axes.set_xlabel("m", fontsize=9)
    axes.set_ylabel("m", fontsize=9)
    axes.tick_params(labelsize=8)
    axes.margins(0.2)
    axes.grid(alpha=0.2)
    stream = io.BytesIO()
    figure.savefig(stream, format="svg", metadata={"Date": None})
    write_whole(path, stream.getvalue())


def _plan(down: NDArray[np.float64]) -> NDArray[np.float64]:
    """(2, 3) the two axes of a plan seen from above, given what is down for each camera, (C, 3)."""
    mean = down.mean(axis=0)
    fallen = float(np.linalg.norm(mean))
    vertical = mean / fallen if fallen > 1e-6 else np.array([0.0, 1.0, 0.0])
    first = np.cross(vertical, np.eye(3)[int(np.argmin(np.abs(vertical)))])
    first /= np.linalg.norm(first)
    return np.stack([first, np.cross(first, vertical)])
