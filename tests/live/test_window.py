"""The window, with OpenCV's part of it played by the test: there may be no display here."""

import cv2
import numpy as np
import pytest

from humanpt.errors import OutputError
from humanpt.live.controls import Controls, Status
from humanpt.live.window import Window, available
from tests.live.views import view


class Desktop:
    """Stands in for OpenCV's windows: keeps what is shown, types keys."""

    def __init__(self, monkeypatch):
        self.shown, self.keys, self.open = [], [], False
        for name in ("namedWindow", "resizeWindow", "imshow", "waitKey", "getWindowProperty", "destroyAllWindows"):
            monkeypatch.setattr(cv2, name, getattr(self, name))

    def namedWindow(self, title, flags):
        self.open = True

    def resizeWindow(self, title, width, height):
        self.size = width, height

    def imshow(self, title, bgr):
        self.shown.append(bgr)

    def waitKey(self, milliseconds):
        return ord(self.keys.pop(0)) if self.keys else -1

    def getWindowProperty(self, title, which):
        return float(self.open)

    def destroyAllWindows(self):
        self.open = False


@pytest.fixture
def desktop(monkeypatch):
    return Desktop(monkeypatch)


class Program:
    def __init__(self):
        self.done, self.stops, self.recording, self.trouble = [], 0, False, None
        actions = {name: lambda name=name: self.do(name) for name in ("record", "snapshot")}
        self.controls = Controls(actions, self.status)
        self.window = Window(title="hands", controls=self.controls, stop=self.stop)

    def do(self, name):
        self.done.append(name)
        if name == "snapshot":
            raise OutputError("out: the disk is full; make room")
        return "recording to out"

    def status(self):
        return Status(source="made", recording=self.recording, trouble=self.trouble)

    def stop(self):
        self.stops += 1


@pytest.fixture
def program(desktop):
    return Program()


GREY = np.full((48, 200, 3), 90, np.uint8)


def test_the_picture_is_shown_as_it_was_drawn(desktop, program):
    drawn = GREY.copy()
    drawn[..., 0] = 200  # red
    program.window.show(view(), drawn)
    np.testing.assert_array_equal(desktop.shown[0], drawn[..., ::-1])
    assert desktop.size == (200, 48)


def test_keys_do_what_there_is_to_do_and_other_keys_nothing(desktop, program):
    desktop.keys = ["r", "R", "m", "x", "s"]  # there is no mirror here
    for _ in range(5):
        program.window.show(view(), GREY)
    assert program.done == ["record", "record", "snapshot"]
    assert program.stops == 0


def test_a_large_picture_opens_a_window_that_fits_a_screen(desktop, program):
    program.window.show(view(), np.zeros((1920, 1080, 3), np.uint8))
    assert desktop.size == (450, 800)


@pytest.mark.parametrize("key", ["q", "Q", "\x1b"])
def test_q_and_escape_end_the_demo(desktop, program, key):
    desktop.keys = [key]
    program.window.show(view(), GREY)
    assert program.stops == 1


def test_closing_the_window_ends_the_demo(desktop, program):
    program.window.show(view(), GREY)
    assert program.stops == 0
    desktop.open = False
    program.window.show(view(), GREY)
    assert program.stops == 1


def test_closing_the_window_ends_the_demo_where_opencv_then_knows_of_no_window(desktop, program, monkeypatch):
    def forgotten(title, which):
        raise cv2.error("NULL guiReceiver (please create a window)")  # Qt

    program.window.show(view(), GREY)
    monkeypatch.setattr(cv2, "getWindowProperty", forgotten)
    program.window.show(view(), GREY)
    assert program.stops == 1


def test_keys_are_heard_and_trouble_is_told_while_no_picture_comes(desktop, program):
    desktop.keys = ["r"]
    program.window.wait(None)
    assert program.done == ["record"]
    assert not desktop.shown
    program.window.show(view(), GREY)
    program.window.wait("camera lost, trying again")
    assert (desktop.shown[-1] != desktop.shown[-2]).any()


def test_answers_and_the_recording_light_are_on_the_window_but_not_in_the_picture(desktop, program):
    drawn = GREY.copy()
    program.recording = True
    program.window.show(view(), drawn)
    assert (desktop.shown[-1] == (63, 56, 214)).all(-1).sum() > 50  # BGR
    desktop.keys = ["s"]
    program.window.show(view(), drawn)
    program.window.show(view(), drawn)
    assert (desktop.shown[-1] != desktop.shown[-2]).any()
    np.testing.assert_array_equal(drawn, GREY)


def test_the_window_closes(desktop, program):
    program.window.close()
    assert not desktop.open


def test_without_a_display_no_window_is_available(monkeypatch):
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    assert not available()


@pytest.mark.slow
def test_a_display_that_is_not_there_ends_the_probe_and_not_the_program(monkeypatch):
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("DISPLAY", ":987")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    assert not available()


def test_an_opencv_without_windows_is_told_in_one_line(monkeypatch):
    def refuse(*_):
        raise cv2.error("The function is not implemented")

    monkeypatch.setattr(cv2, "namedWindow", refuse)
    with pytest.raises(OutputError, match=r"^no window can be opened here; --serve"):
        Program()
