"""Clips and pictures as sources: every frame with its time and its camera, whatever is wrong with the files."""

import threading
from contextlib import closing
from itertools import islice

import numpy as np
import pytest
from PIL import Image

from humanpt.errors import ConfigError, InputError
from humanpt.live.capture import open_images, open_video
from humanpt.live.pipeline import Finder, PipelineConfig, detector_for
from tests.clips import cut, paint, read_number, write_clip, write_two_sizes


def painted(source):
    """The number, the painted number and the time of every picture that comes."""
    return [(shot.number, read_number(shot.picture), round(shot.timestamp, 6)) for shot in source.shots()]


def test_a_clip_gives_every_frame_with_its_time_and_an_assumed_camera(tmp_path):
    source = open_video(write_clip(tmp_path / "clip.mp4", range(10)))
    assert (source.name, source.rate, source.count, source.live) == ("clip.mp4", 25, 10, False)
    shots = list(source.shots())
    assert [(shot.number, read_number(shot.picture), shot.timestamp) for shot in shots] == [
        (number, number, pytest.approx(number / 25)) for number in range(10)
    ]
    camera = shots[0].camera
    assert camera.intrinsics.tolist() == [[128, 0, 63.5], [0, 128, 47.5], [0, 0, 1]]
    assert camera.focal_from == "assumed"
    assert all(shot.decoding > 0 for shot in shots)
    assert painted(source) == painted(source)  # it starts over


def test_a_given_focal_length_is_used_and_a_senseless_one_refused(tmp_path):
    clip = write_clip(tmp_path / "clip.mp4", range(2))
    camera = next(open_video(clip, focal=300).shots()).camera
    assert (camera.focal, camera.focal_from) == (300, "given")
    for focal in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ConfigError, match="focal length"):
            open_video(clip, focal=focal)


def test_a_looped_clip_goes_on_in_number_and_time(tmp_path):
    source = open_video(write_clip(tmp_path / "clip.mp4", range(5)), loop=True)
    assert source.count is None
    shots = source.shots()
    found = [next(shots) for _ in range(13)]
    shots.close()
    assert [shot.number for shot in found] == list(range(13))
    assert [read_number(shot.picture) for shot in found] == [number % 5 for number in range(13)]
    assert [shot.timestamp for shot in found] == [pytest.approx(number / 25) for number in range(13)]


def test_the_detector_knows_the_frames_of_a_looped_clip_again(tmp_path):
    boxes = tmp_path / "boxes.txt"
    boxes.write_text("2,7,10,12,20,24,1\n")
    source = open_video(write_clip(tmp_path / "clip.mp4", range(3)), loop=True)
    detector, config = detector_for(PipelineConfig(detector=f"boxes:{boxes}", clip="boxes.mp4"))
    finder = Finder(detector, config)
    found = []
    with closing(source.shots()) as shots:
        for shot in islice(shots, 9):
            finder.look(shot)
            found.append([person.box.tolist() for person in finder.follower.people])
    assert sum(map(len, found)) == 3
    assert found[:3] == found[3:6] == found[6:]


def test_a_looped_clip_that_goes_away_is_an_error_and_no_endless_loop(tmp_path):
    clip = write_clip(tmp_path / "clip.mp4", range(3))
    shots = open_video(clip, loop=True).shots()
    assert [next(shots).number for _ in range(3)] == [0, 1, 2]
    clip.unlink()
    with pytest.raises(InputError, match=r"clip\.mp4"):
        next(shots)


def test_a_variable_rate_stays_one(tmp_path):
    times = [0, 0.04, 0.5, 0.52, 2.0]
    source = open_video(write_clip(tmp_path / "clip.mp4", range(5), times=times))
    assert painted(source) == [(number, number, time) for number, time in enumerate(times)]


def test_a_truncated_clip_comes_up_to_its_break_and_tells(tmp_path):
    source = open_video(cut(write_clip(tmp_path / "clip.mkv", range(60), b_frames=0), 0.5))
    numbers = [number for number, _, _ in painted(source)]
    assert numbers == list(range(len(numbers)))
    assert 10 < len(numbers) < 50
    assert any("ends early" in line or "cannot be read beyond" in line for line in source.damage), source.damage


def test_damage_of_a_looped_clip_is_told_once(tmp_path):
    source = open_video(cut(write_clip(tmp_path / "clip.mkv", range(60), b_frames=0), 0.5), loop=True)
    shots = source.shots()
    while next(shots).number < 100:
        pass
    shots.close()
    assert len(source.damage) == len(set(source.damage)) == 1


def test_a_clip_may_change_its_size_on_the_way(tmp_path):
    shots = list(open_video(write_two_sizes(tmp_path / "clip.ts")).shots())
    assert [read_number(shot.picture) for shot in shots] == list(range(20))
    assert {(shot.picture.shape, shot.camera.focal) for shot in shots[:10]} == {((96, 128, 3), 128)}
    assert {(shot.picture.shape, shot.camera.focal) for shot in shots[10:]} == {((96, 160, 3), 160)}


@pytest.mark.parametrize(("name", "content"), [("clip.mp4", b""), ("clip.mp4", b"no video"), ("missing.mp4", None)])
def test_what_is_no_clip_is_one_line(tmp_path, name, content):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=name) as refusal:
        open_video(tmp_path / name)
    assert "\n" not in str(refusal.value)


class MadeTime:
    """A clock that moves only when somebody waits for it."""

    def __init__(self):
        self.now, self.waits = 100.0, []

    def perf_counter(self):
        return self.now

    def wait(self, seconds):
        self.waits.append(round(seconds, 6))
        self.now += seconds

    def is_set(self):
        return False


@pytest.fixture
def made_time(monkeypatch):
    made = MadeTime()
    monkeypatch.setattr("humanpt.live.clip_source.time", made)
    monkeypatch.setattr("humanpt.live.source.threading.Event", lambda: made)
    return made


def test_in_real_time_each_frame_waits_for_its_own_time(tmp_path, made_time):
    source = open_video(write_clip(tmp_path / "clip.mp4", range(4), times=[0, 0.2, 0.3, 1.0]), realtime=True)
    assert source.live
    arrived = []
    for shot in source.shots():
        arrived.append(round(shot.arrived - 100, 6))
        made_time.now += 0.05  # of work on it
    assert arrived == [0, 0.2, 0.3, 1.0]
    assert made_time.waits == [0, 0.15, 0.05, 0.65]


def test_a_late_clip_does_not_hurry_after_the_clock(tmp_path, made_time):
    source = open_video(write_clip(tmp_path / "clip.mp4", range(4), times=[0, 1, 2, 3]), realtime=True)
    arrived = []
    for shot in source.shots():
        arrived.append(round(shot.arrived - 100, 6))
        made_time.now += 60 if shot.number == 1 else 0  # asleep
    assert arrived == [0, 1, 61, 62]


def test_closing_ends_the_wait_for_a_frame_that_comes_in_an_hour(tmp_path):
    source = open_video(write_clip(tmp_path / "clip.mp4", range(2), times=[0, 3600]), realtime=True)
    seen, first = [], threading.Event()

    def watch():
        for shot in source.shots():
            seen.append(shot.number)
            first.set()

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    assert first.wait(30)
    source.close()
    watcher.join(30)
    assert not watcher.is_alive()
    assert seen == [0]


def save(path, width, height, tags=None, orientation=None):
    """Write a picture with EXIF data: `tags` are those about taking it."""
    image = Image.fromarray(paint(7, width, height))
    exif = Image.Exif()
    exif.get_ifd(0x8769).update(tags or {})
    if orientation:
        exif[0x0112] = orientation
    image.save(path, exif=exif)
    return path


FILM, LENGTH, ACROSS, UNIT, WIDTH, HEIGHT = 41989, 37386, 41486, 41488, 40962, 40963


@pytest.mark.parametrize(
    ("tags", "focal"),
    [
        ({FILM: 26}, 26 / np.hypot(36, 24) * 500),  # a picture of 400 x 300 has a diagonal of 500
        ({FILM: 26, WIDTH: 4000, HEIGHT: 3000}, 26 / np.hypot(36, 24) * 500),  # made smaller since
        ({LENGTH: 4.0, ACROSS: 2540.0, UNIT: 2}, 400),  # 2540 pixels an inch are 100 a millimetre
        ({LENGTH: 4.0, ACROSS: 2540.0}, 400),  # inches, where no unit is noted
        ({LENGTH: 4.0, ACROSS: 1000.0, UNIT: 3}, 400),  # centimetres
        ({LENGTH: 4.0, ACROSS: 1000.0, UNIT: 3, WIDTH: 800, HEIGHT: 600}, 200),  # the sensor's pixels, made half of
        ({FILM: 26, WIDTH: 300, HEIGHT: 400}, 26 / np.hypot(36, 24) * 500),  # noted before it was turned
    ],
)
def test_the_focal_length_comes_from_exif(tmp_path, tags, focal):
    save(tmp_path / "1.jpg", 400, 300, tags)
    camera = next(open_images(tmp_path).shots()).camera
    assert camera.focal == pytest.approx(focal, rel=1e-4)
    assert camera.focal_from == "EXIF"
    assert camera.intrinsics[:2, 2].tolist() == [199.5, 149.5]
    assert next(open_images(tmp_path, focal=123).shots()).camera.focal_from == "given"


@pytest.mark.parametrize(
    "tags",
    [
        {},
        {FILM: 0},  # "unknown"
        {FILM: 26, WIDTH: 400, HEIGHT: 400},  # cut out of a square one
        {LENGTH: 4.0},
        {LENGTH: 4.0, ACROSS: 1000.0, UNIT: 9},
    ],
)
def test_exif_data_that_do_not_tell_leave_the_focal_length_assumed(tmp_path, tags):
    save(tmp_path / "1.jpg", 400, 300, tags)
    camera = next(open_images(tmp_path).shots()).camera
    assert (camera.focal, camera.focal_from) == (400, "assumed")


def test_damaged_exif_data_are_none(tmp_path):
    path = save(tmp_path / "1.jpg", 400, 300, {FILM: 26})
    data = bytearray(path.read_bytes())
    start = data.index(b"Exif") + 14
    data[start : start + 8] = b"\xff" * 8
    path.write_bytes(data)
    assert next(open_images(tmp_path).shots()).camera.focal_from == "assumed"


def test_pictures_have_sizes_of_their_own_and_stand_upright(tmp_path):
    save(tmp_path / "2.jpg", 400, 300, {FILM: 26})
    save(tmp_path / "10.png", 128, 96)
    stored = Image.fromarray(np.rot90(paint(3, 96, 128)).copy())  # a quarter turn against the clock
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown a quarter turn with the clock
    stored.save(tmp_path / "11.jpg", exif=exif)
    source = open_images(tmp_path)
    shots = list(source.shots())
    assert (source.count, source.rate, source.live) == (3, None, False)
    assert [(shot.name, shot.number, shot.timestamp) for shot in shots] == [
        ("2.jpg", 0, 0.0),
        ("10.png", 1, 1.0),
        ("11.jpg", 2, 2.0),
    ]
    assert [shot.picture.shape for shot in shots] == [(300, 400, 3), (96, 128, 3), (128, 96, 3)]
    assert [read_number(shot.picture) for shot in shots] == [7, 7, 3]
    assert [shot.camera.focal_from for shot in shots] == ["EXIF", "assumed", "assumed"]


def test_a_picture_that_cannot_be_read_is_noted_and_left_out(tmp_path):
    save(tmp_path / "1.jpg", 128, 96)
    (tmp_path / "2.jpg").write_bytes(b"no picture")
    save(tmp_path / "3.jpg", 128, 96)
    source = open_images(tmp_path)
    assert [shot.number for shot in source.shots()] == [0, 2]
    assert len(source.damage) == 1
    assert source.damage[0].startswith("2.jpg: not a picture")


def test_a_single_picture_is_a_source_too(tmp_path):
    path = save(tmp_path / "1.jpg", 128, 96)
    assert [shot.name for shot in open_images(path).shots()] == ["1.jpg"]


def test_a_folder_without_readable_pictures_is_one_line(tmp_path):
    with pytest.raises(InputError, match="no such file or folder"):
        open_images(tmp_path / "missing")
    with pytest.raises(InputError, match="without pictures"):
        open_images(tmp_path)
    (tmp_path / "1.jpg").write_bytes(b"no picture")
    with pytest.raises(InputError, match="none of 1 pictures can be read"):
        list(open_images(tmp_path).shots())
