"""Both readers of video files against numbers painted into the frames, and against each other on real clips."""

import tracemalloc
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from humanpt.data.video import ArrayFrame, Frame, open_clip, small_size
from humanpt.errors import InputError
from tests.clips import TICKS, paint, read_number, without_first_group, write_clip, write_sound

READERS = ("pyav", "decord")
KINDS = {
    "h264.mp4": {},
    "open_groups.mp4": {"open_gop": True, "gop": 10, "b_frames": 3},
    "ten_bit.mp4": {"pixels": "yuv420p10le"},
    "all_colours.mkv": {"pixels": "yuv444p", "size": (321, 243)},
    "hevc.mov": {"codec": "libx265", "open_gop": True, "b_frames": 4},
    "vp9.mp4": {"codec": "libvpx-vp9"},
    "odd.webm": {"codec": "libvpx-vp9", "size": (321, 243)},
    "odd.mp4": {"codec": "mpeg4", "size": (321, 243)},
    "plain.avi": {"codec": "mpeg4", "b_frames": 0},
    "jpegs.avi": {"codec": "mjpeg", "pixels": "yuvj422p"},
}
REAL = (
    "videos/hand/human_hand_video.mp4",
    "videos/sam2/02_cups.mp4",
    "videos/sam2/bedroom.mp4",
    "videos/codecs/h265_video.mp4",
    "multiview/pose2sim_single/videos/cam02.mp4",
    "multiview/pose2sim_single/videos/cam03.mp4",
    "synthetic/walk2cam/cam0.mp4",
)


def numbers(frames: Iterator[Frame]) -> list[int]:
    return [read_number(frame.rgb()) for frame in frames]


def open_files() -> set[Path]:
    descriptors = Path("/proc/self/fd")
    if not descriptors.is_dir():
        pytest.skip("this system does not list open files in /proc")
    return {link.resolve() for link in descriptors.iterdir()}


def difference(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return np.abs(one.astype(int) - other)


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_frame_comes_once_and_in_order(tmp_path, kind, reader):
    path = write_clip(tmp_path / kind, range(30), **KINDS[kind])
    clip = open_clip(path, reader)
    frames = [(frame.number, read_number(frame.rgb()), frame.timestamp) for frame in clip.frames()]
    assert [frame[:2] for frame in frames] == [(number, number) for number in range(30)]
    assert_allclose([frame[2] for frame in frames], np.arange(30) / 25, atol=1e-9)
    assert clip.damage == []


def test_a_clip_tells_its_size_rate_length_and_codec_before_it_is_read(tmp_path):
    clip = open_clip(write_clip(tmp_path / "clip.mp4", range(20)))
    assert (clip.width, clip.height, clip.rate, clip.frame_count, clip.codec) == (128, 96, 25, 20, "h264")
    assert clip.duration == pytest.approx(0.8)


@pytest.mark.parametrize("reader", READERS)
def test_times_of_a_variable_rate_are_those_in_the_file(tmp_path, reader):
    times = np.cumsum([0, 40, 10, 130, 35, 5, 200, 40, 40, 90]) / 1000
    clip = open_clip(write_clip(tmp_path / "clip.mp4", range(10), times=times), reader)
    assert_allclose([frame.timestamp for frame in clip.frames()], times, atol=0.6 / TICKS)


@pytest.mark.parametrize("degrees", [90, 180, -90])
@pytest.mark.parametrize(
    ("ending", "reader"), [("mp4", "pyav"), ("mp4", "decord"), ("mov", "pyav"), ("mov", "decord"), ("mkv", "pyav")]
)
def test_pictures_and_sizes_are_turned_upright(tmp_path, degrees, ending, reader):
    clip = open_clip(write_clip(tmp_path / f"phone.{ending}", range(5), rotation=degrees), reader)
    frames = list(clip.frames())
    assert (clip.width, clip.height) == ((128, 96) if degrees == 180 else (96, 128))
    assert {frame.rgb().shape for frame in frames} == {(clip.height, clip.width, 3)}
    assert {(frame.width, frame.height) for frame in frames} == {(clip.width, clip.height)}
    assert numbers(iter(frames)) == list(range(5))
    assert read_number(frames[3].small(64)) == 3


@pytest.mark.parametrize("reader", READERS)
def test_a_clip_of_one_frame_is_read(tmp_path, reader):
    clip = open_clip(write_clip(tmp_path / "one.mp4", [7]), reader)
    assert [(frame.number, frame.timestamp, read_number(frame.rgb())) for frame in clip.frames()] == [(0, 0, 7)]


@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_what_an_edit_list_trims_is_not_shown_and_time_starts_behind_it(tmp_path, codec):
    path = write_clip(tmp_path / "trimmed.mp4", range(40), codec=codec, trimmed=10)
    clip = open_clip(path)
    frames = list(clip.frames())
    assert numbers(iter(frames)) == list(range(10, 40))
    assert [frame.number for frame in frames] == list(range(30))
    assert frames[0].timestamp == 0
    assert (clip.frame_count, clip.damage) == (30, [])


@pytest.mark.parametrize("ending", ["mp4", "mkv"])
@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_a_start_amid_open_groups_begins_with_the_first_frame_that_can_be_shown(tmp_path, codec, ending):
    whole = write_clip(tmp_path / "whole.mp4", range(30), codec=codec, open_gop=True, gop=10, b_frames=4)
    path = without_first_group(whole, tmp_path / f"late.{ending}")
    clip = open_clip(path)
    frames = list(clip.frames())
    assert numbers(iter(frames)) == list(range(10, 30))
    assert (frames[0].number, frames[0].timestamp, clip.damage) == (0, 0, [])
    with pytest.raises(InputError, match=r"decord misreads .* use --decoder pyav"):
        open_clip(path, "decord")


@pytest.mark.parametrize("codec", ["mpeg4", "libx264"])
def test_avi_with_b_frames_has_even_times_though_the_file_has_none(tmp_path, codec):
    clip = open_clip(write_clip(tmp_path / "clip.avi", range(20), codec=codec))
    frames = list(clip.frames())
    assert numbers(iter(frames)) == list(range(20))
    assert_allclose([frame.timestamp for frame in frames], np.arange(20) / 25, atol=1e-9)


def test_transport_streams_are_read_with_pyav(tmp_path):
    assert numbers(open_clip(write_clip(tmp_path / "clip.ts", range(20))).frames()) == list(range(20))


def test_threads_change_nothing(tmp_path):
    path = write_clip(tmp_path / "clip.mp4", range(30), options={"preset": "medium"})
    for one, two in zip(open_clip(path).frames(), open_clip(path, threads=2).frames(), strict=True):
        assert (one.number, one.timestamp) == (two.number, two.timestamp)
        assert_array_equal(one.rgb(), two.rgb())


@pytest.mark.parametrize("name", REAL)
def test_the_readers_agree_to_the_bit_on_real_clips(samples, name):
    pyav, decord = (islice(open_clip(samples / name, reader).frames(), 12) for reader in READERS)
    for one, two in zip(pyav, decord, strict=True):
        assert (one.number, one.timestamp) == (two.number, two.timestamp)
        assert_array_equal(one.rgb(), two.rgb())


def test_on_ten_bit_video_the_readers_differ_in_the_edges_of_colours_alone(samples):
    path = samples / "videos/codecs/h264_10bits.mp4"
    pyav, decord = (list(islice(open_clip(path, reader).frames(), 12)) for reader in READERS)
    for number, frame in enumerate(pyav):
        means = [difference(frame.rgb(), other.rgb()).mean() for other in decord]
        assert means[number] == min(means)
        assert means[number] < 4
        assert np.median(difference(frame.rgb(), decord[number].rgb())) <= 1


@pytest.mark.parametrize("reader", READERS)
def test_a_small_copy_shows_the_same_frame(samples, reader):
    for frame in islice(open_clip(samples / REAL[0], reader).frames(), 5):
        small = frame.small(256)
        assert small.shape == (144, 256, 3)
        twin = ArrayFrame(0, 0, frame.rgb()).small(256)
        assert difference(small, twin).mean() < 3


def test_a_small_copy_is_never_larger_than_the_frame(tmp_path):
    frame = next(open_clip(write_clip(tmp_path / "clip.mp4", range(2))).frames())
    assert_array_equal(frame.small(1000), frame.rgb())
    assert frame.small(32).shape == (24, 32, 3)
    assert small_size(1000, 1, 10) == (10, 1)
    with pytest.raises(ValueError, match="longest is 0"):
        frame.small(0)


def test_colours_follow_the_matrix_that_the_file_names(tmp_path):
    red = np.zeros((96, 128, 3), np.uint8) + np.array([200, 30, 40], np.uint8)
    seen = {}
    for matrix in ("bt709", "smpte170m"):
        path = tmp_path / f"{matrix}.mp4"
        write_clip(path, [0], options={"x264-params": f"colormatrix={matrix}"}, pictures=[red])
        frames = [next(open_clip(path, reader).frames()).rgb() for reader in READERS]
        assert_array_equal(frames[0], frames[1])
        seen[matrix] = difference(frames[0], red).max()
    assert seen["smpte170m"] <= 4 < seen["bt709"]  # the picture was encoded with the older matrix both times


def test_rgb_is_converted_once(tmp_path):
    frame = next(open_clip(write_clip(tmp_path / "clip.mp4", range(2))).frames())
    assert frame.rgb() is frame.rgb()


def test_frames_can_be_read_again(tmp_path):
    for reader in READERS:
        clip = open_clip(write_clip(tmp_path / "clip.mp4", range(8)), reader)
        assert numbers(clip.frames()) == numbers(clip.frames()) == list(range(8))


def test_leaving_early_closes_the_file(tmp_path):
    path = write_clip(tmp_path / "clip.mp4", range(30))
    clip = open_clip(path)
    frames = clip.frames()
    assert read_number(next(frames).rgb()) == 0
    assert path in open_files()
    frames.close()
    assert path not in open_files()
    assert clip.damage == []


def test_memory_does_not_grow_with_the_clip(tmp_path):
    path = write_clip(tmp_path / "clip.mp4", range(120), size=(256, 192))
    tracemalloc.start()
    for frame in open_clip(path).frames():
        frame.rgb()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 12 * 256 * 192 * 3  # RGB pictures; all would be 120


def test_a_colon_or_percent_sign_in_a_name_means_nothing(tmp_path):
    path = write_clip(tmp_path / "take.mp4", range(3)).rename(tmp_path / "take 1: wide 100%03d.mp4")
    for reader in READERS:
        assert numbers(open_clip(path, reader).frames()) == [0, 1, 2]


def test_a_painted_number_is_read_back_upright_alone():
    assert read_number(paint(2741, 321, 243)) == 2741
    assert read_number(paint(2741)[::3, ::3]) == 2741
    with pytest.raises(ValueError, match="upright"):
        read_number(np.rot90(paint(2741)))


REFUSALS = {
    "missing.mp4": (None, "no such file or folder; check the path"),
    "empty.mp4": (b"", "the file is empty; copy it again"),
    "text.mp4": (b"this is no video\n" * 100, "not a video that can be read .*; convert or remove it"),
    "bytes.mkv": (bytes(range(256)) * 40, "not a video that can be read .*; convert or remove it"),
}


@pytest.mark.parametrize("reader", ["auto", *READERS])
@pytest.mark.parametrize("name", REFUSALS)
def test_what_is_no_video_is_refused_by_name_in_one_line(tmp_path, name, reader):
    content, line = REFUSALS[name]
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=line) as caught:
        open_clip(tmp_path / name, reader)
    assert str(tmp_path / name) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_sound_alone_is_refused(tmp_path):
    path = write_sound(tmp_path / "sound.mp4")
    with pytest.raises(InputError, match=r"sound\.mp4: no video in this file, only sound or data"):
        open_clip(path)


def test_a_video_whose_frames_are_all_broken_is_refused(tmp_path):
    path = write_clip(tmp_path / "clip.mkv", range(4), options={"x264-params": "bframes=0"})
    data = bytearray(path.read_bytes())
    start = data.index(b"\x1f\x43\xb6\x75") + 30  # the Matroska cluster: from here on frames
    data[start:-200] = bytes(len(data) - 200 - start)
    path.write_bytes(bytes(data))
    with pytest.raises(InputError, match=r"clip\.mkv: no frame can be decoded"):
        open_clip(path)


def test_a_wrong_argument_is_the_callers_mistake(tmp_path):
    for arguments in ({"decoder": "opencv"}, {"threads": 0}, {"frame_rate": 0.0}):
        with pytest.raises(ValueError, match=next(iter(arguments))):
            open_clip(tmp_path, **arguments)
