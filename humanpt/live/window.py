"""The demo in a window of the desktop, by OpenCV: the drawn picture, and keys for what there is to do."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable

import cv2
import numpy as np

from humanpt.data.image import Rgb
from humanpt.errors import OutputError
from humanpt.live.controls import Action, Controls
from humanpt.live.shot import View

KEYS: dict[str, Action] = {"r": "record", "s": "snapshot", "m": "mirror"}
"""The key of each action; q and Esc end the demo."""

_END = ("q", "\x1b")
_WIDEST, _HIGHEST = 1280, 800  # pixels of the window at first, as OpenCV does not say how large the screen is
_TOLD_FOR = 4.0  # seconds that the answer to a key stays on the window
_PROBE = "import cv2; cv2.namedWindow('humanpt'); cv2.destroyAllWindows()"
_PATIENCE = 20.0  # seconds for a window to open


def available() -> bool:
    """Whether a window can be opened here.

    Tried by a process of its own, as some builds of OpenCV end the process that asks for a window without a display.
    """
    if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return False
    try:
        return subprocess.run([sys.executable, "-c", _PROBE], capture_output=True, timeout=_PATIENCE).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


class Window:
    """Shows what the loop draws; to be used by the main thread alone, which is where the loop shows."""

    def __init__(self, *, title: str, controls: Controls, stop: Callable[[], None]) -> None:
        """Open the window.

        Args:
            title: over the picture.
            controls: what the keys do.
            stop: asked to end the demo when q or Esc is pressed or the window is closed.

        Raises:
            OutputError: if no window can be opened; `available` tells before.
        """
        self._title, self._controls, self._stop = title, controls, stop
        self._drawn: Rgb | None = None
        self._line, self._until = "", 0.0
        os.environ.setdefault("QT_LOGGING_RULES", "default.warning=false")  # Qt misses fonts, which are not used here
        try:  # without Qt's own tool bar and its keys
            cv2.namedWindow(title, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO | cv2.WINDOW_GUI_NORMAL)
        except cv2.error:
            raise OutputError("no window can be opened here; --serve shows the demo on a page instead") from None

    def show(self, view: View, drawn: Rgb) -> None:
        """Show a picture, (H, W, 3) uint8 RGB, and do what was typed since the last one."""
        if self._drawn is None:
            height, width = drawn.shape[:2]
            scale = min(1.0, _WIDEST / width, _HIGHEST / height)
            cv2.resizeWindow(self._title, round(scale * width), round(scale * height))
        self._drawn = drawn
        self._update(self._controls.status().trouble)

    def wait(self, status: str | None) -> None:
        """Do what was typed while no picture comes, and tell why none does."""
        self._update(status)

    def close(self) -> None:
        """Close the window."""
        cv2.destroyAllWindows()

    def _update(self, trouble: str | None) -> None:
        if self._drawn is not None:
            line = trouble or (self._line if time.monotonic() < self._until else "")
            recording = self._controls.status().recording
            cv2.imshow(self._title, cv2.cvtColor(_told(self._drawn, line, recording), cv2.COLOR_RGB2BGR))
        code = cv2.waitKey(1)
        key = chr(code & 0xFF).lower() if code >= 0 else ""
        if key in _END or (self._drawn is not None and not self._open()):
            self._stop()
        elif (action := KEYS.get(key)) in self._controls.names:
            assert action is not None
            self._line, self._until = self._controls.do(action)[1], time.monotonic() + _TOLD_FOR

    def _open(self) -> bool:
        """Whether the window is still there."""
        try:
            return bool(cv2.getWindowProperty(self._title, cv2.WND_PROP_VISIBLE) >= 1)
        except cv2.error:  # with its last window closed, OpenCV's Qt knows of none
            return False


def _told(drawn: Rgb, line: str, recording: bool) -> Rgb:
    """The picture with a line along its top and a red disc while it is recorded; neither is in what is recorded."""
    if not line and not recording:
        return drawn
    shown = drawn.copy()
    width = shown.shape[1]
    if recording:
        cv2.circle(shown, (width - 16, 16), 7, (214, 56, 63), -1, cv2.LINE_AA)
    if line:
        (across, _), _ = cv2.getTextSize(line, cv2.FONT_HERSHEY_SIMPLEX, 0.45, 1)
        left = max(0, (width - across) // 2)
        plate = shown[4:26, max(0, left - 8) : left + across + 8]
        plate[:] = plate // 4
        cv2.putText(shown, line, (left, 20), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (255, 255, 255), 1, cv2.LINE_AA)
    return np.asarray(shown, np.uint8)
