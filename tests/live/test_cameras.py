"""Cameras of this machine as sources: missing, unplugged in mid-run, with broken pictures. The device is a made one."""

import itertools
import re
import sys
import threading
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from humanpt.errors import InputError
from humanpt.live.capture import open_webcam
from humanpt.live.loop import Loop
from humanpt.live.source import SourceLost
from tests.clips import paint, read_number
from tests.live.made import Kept, nobody

BROKEN, RAISING, GREY = "broken", "raising", "grey"
UNPLUGGED = None


class MadeCamera:
    """What `cv2.VideoCapture` gives: plays a script, connection by connection.

    A connection is a list of numbers to be painted, BROKEN, RAISING and GREY pictures, after which the camera gives
    nothing; UNPLUGGED is one that cannot be opened.
    """

    def __init__(self, *connections):
        self.connections = list(connections)
        self.opened, self.held = [], 0

    def __call__(self, device, backend):
        self.opened.append(device)
        return MadeConnection(self, self.connections.pop(0) if self.connections else UNPLUGGED)


class MadeConnection:
    def __init__(self, camera, script):
        self.camera, self.works = camera, script is not None
        self.script = [*(script or [])]
        self.position = -2  # the first picture is taken when it is opened
        camera.held += self.works

    def isOpened(self):
        return self.works

    def set(self, name, value):
        return True

    def get(self, name):
        return 30.0 if name == cv2.CAP_PROP_FPS else 0.0

    def grab(self):
        self.position += 1
        return self.works and bool(self.script) and self.position < len(self.script)

    def retrieve(self):
        what = self.script[self.position]
        if what == BROKEN:
            return False, None
        if what == RAISING:
            raise cv2.error("a picture cut short")
        if what == GREY:
            return True, np.full((96, 128), 90, np.uint8)
        return True, np.ascontiguousarray(paint(what)[..., ::-1])

    def release(self):
        self.camera.held -= self.works
        self.works = False


@pytest.fixture
def plug_in(monkeypatch):
    """Plug in a made camera."""

    def plug(*connections):
        camera = MadeCamera(*connections)
        monkeypatch.setattr(cv2, "VideoCapture", camera)
        return camera

    return plug


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch):
    monkeypatch.setattr("humanpt.live.camera_source.FIRST_PAUSE", 1e-3)
    monkeypatch.setattr("humanpt.live.camera_source.LONGEST_PAUSE", 1e-3)


def take(source, count):
    """So many pictures, after which the source is closed."""
    shots = source.shots()
    found = [next(shots) for _ in range(count)]
    shots.close()
    return found


def test_a_camera_gives_pictures_in_rgb_with_growing_times(plug_in):
    camera = plug_in(range(10))
    source = open_webcam("2", focal=500)
    assert (source.name, source.rate, source.live, source.count) == ("camera 2", 30, True, None)
    shots = take(source, 5)
    assert camera.opened == [2]
    assert [read_number(shot.picture) for shot in shots] == list(range(5))
    assert np.array_equal(shots[3].picture, paint(3))
    assert [shot.number for shot in shots] == list(range(5))
    times = [shot.timestamp for shot in shots]
    assert times[0] == 0
    assert all(earlier < later for earlier, later in itertools.pairwise(times))
    assert {(shot.camera.focal, shot.camera.focal_from) for shot in shots} == {(500, "given")}
    assert camera.held == 0, "closing the iterator releases the device"


def test_broken_pictures_are_left_out_and_counted(plug_in):
    plug_in([0, BROKEN, 2, RAISING, 4, GREY])
    source = open_webcam("0")
    shots = take(source, 4)
    assert [shot.number for shot in shots] == [0, 2, 4, 5]
    assert shots[3].picture.shape == (96, 128, 3)
    assert source.damage == ["2 broken pictures left out"]


def test_a_camera_that_was_unplugged_and_comes_back_goes_on(plug_in):
    camera = plug_in([0, 1, 2], UNPLUGGED, UNPLUGGED, [3, 4], [5])
    source = open_webcam("0")
    shots = take(source, 6)
    assert [read_number(shot.picture) for shot in shots] == [0, 1, 2, 3, 4, 5]
    assert [shot.number for shot in shots] == [0, 1, 2, 3, 4, 5]
    assert len(camera.opened) == 5
    assert camera.held == 0
    assert source.damage
    assert all(line.startswith("no picture for") for line in source.damage)
    assert source.status is None


def test_the_state_of_a_lost_camera_is_told_while_it_is_tried(plug_in, monkeypatch):
    plug_in([0], UNPLUGGED, [1])
    source = open_webcam("0")
    told = []
    really_wait = source._closed.wait
    monkeypatch.setattr(source._closed, "wait", lambda seconds: told.append(source.status) or really_wait(seconds))
    take(source, 2)
    assert told == [f"camera 0: no picture ({why}); trying again" for why in ("it stopped", "it cannot be opened")]
    assert source.status is None


def test_a_camera_that_gives_only_broken_pictures_is_opened_again(plug_in):
    camera = plug_in([0, *[BROKEN] * 200], [1])
    assert [read_number(shot.picture) for shot in take(open_webcam("0"), 2)] == [0, 1]
    assert len(camera.opened) == 2


def test_a_camera_that_stays_away_is_lost_with_one_line(plug_in):
    camera = plug_in([0, 1])
    source = open_webcam("0", patience=0.02)
    shots = source.shots()
    assert [next(shots).number, next(shots).number] == [0, 1]
    with pytest.raises(SourceLost, match=r"^camera 0: no picture for .* s \(it cannot be opened\); plug it in") as lost:
        next(shots)
    assert "\n" not in str(lost.value)
    assert isinstance(lost.value, InputError)
    assert source.status is None  # the error tells it, once
    assert camera.held == 0


def test_a_loop_whose_camera_is_lost_shows_what_came_and_closes_its_sinks(plug_in):
    plug_in([0, 1, BROKEN, 3], UNPLUGGED, [4])
    kept = Kept()
    loop = Loop(open_webcam("0", patience=0.02), nobody, None, [kept], drop=False)
    with pytest.raises(SourceLost):
        loop.run()
    assert kept.numbers[:2] == [0, 1]
    assert kept.closed == 1
    assert loop.summary().stopped_by == "error"


def test_closing_ends_the_tries(plug_in):
    plug_in([0])
    source = open_webcam("0", patience=3600)
    tried, end = threading.Event(), []

    def watch():
        for _ in source.shots():
            tried.set()
        end.append("of itself")

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    assert tried.wait(30)
    source.close()
    watcher.join(30)
    assert end == ["of itself"]


def test_notes_stay_few_however_often_a_camera_fails(plug_in, monkeypatch):
    clock = itertools.count()  # a second later whenever somebody looks
    monkeypatch.setattr("humanpt.live.camera_source.time", SimpleNamespace(perf_counter=lambda: next(clock)))
    plug_in(*[[number] for number in range(100)])
    source = open_webcam("0", patience=3600)
    take(source, 100)
    assert len(source.damage) == 50
    assert source.damage[-1] == "and more like these"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells which cameras there are")
def test_a_missing_camera_is_one_line_that_names_those_there_are(plug_in, tmp_path, monkeypatch):
    monkeypatch.setattr("humanpt.live.device_source.DEVICES", tmp_path)
    monkeypatch.setattr("humanpt.live.device_source.DEVICE_NAMES", tmp_path / "names")
    plug_in()
    with pytest.raises(InputError, match="there is no such camera; this machine has none"):
        open_webcam("0")
    for number in (0, 2, 10):
        (tmp_path / f"video{number}").touch()
    (tmp_path / "names" / "video2").mkdir(parents=True)
    (tmp_path / "names" / "video2" / "name").write_text("HD Webcam: front\n")
    with pytest.raises(InputError, match=r"^camera 7: .*choose one of 0, 2 \(HD Webcam: front\), 10$"):
        open_webcam("7")
    with pytest.raises(InputError, match=r"^camera /dev/video99: there is no such camera"):
        open_webcam("/dev/video99")
    with pytest.raises(InputError, match=r"^camera 0: it cannot be opened; end the program that is using it"):
        open_webcam("0")
    monkeypatch.setattr("os.access", lambda *_: False)
    with pytest.raises(InputError, match=r"^camera 2: .* join the group 'video'"):
        open_webcam("2")


def test_a_camera_that_opens_but_gives_nothing_is_one_line(plug_in):
    camera = plug_in([])
    with pytest.raises(InputError, match="camera 0: "):
        open_webcam("0")
    assert camera.held == 0


def test_a_file_is_no_camera(tmp_path):
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(b"...")
    with pytest.raises(InputError, match="give it to --video"):
        open_webcam(str(clip))


@pytest.mark.parametrize("name", ["", "."])
def test_a_folder_and_no_name_are_no_cameras(name):
    with pytest.raises(InputError, match=f"^'{re.escape(name)}': no camera's name; "):
        open_webcam(name)


def test_opencv_says_nothing_of_its_own(capfd):
    with pytest.raises(InputError):
        open_webcam("93")
    assert capfd.readouterr() == ("", "")
