"""Where decord is known to be wrong it is refused, before a single frame is given."""

import sys

import numpy as np
import pytest

from humanpt.data.video import open_clip
from humanpt.errors import InputError
from tests.clips import blank, cut, read_number, write_clip


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("trimmed.mp4", {"trimmed": 10}),
        ("trimmed_hevc.mp4", {"trimmed": 10, "codec": "libx265"}),
        ("late.mp4", {"times": np.arange(30) / 25 - 0.5, "gop": 30}),
    ],
)
def test_a_trimmed_start_is_refused_as_decord_shows_the_wrong_frames(tmp_path, name, options):
    path = write_clip(tmp_path / name, range(30), **options)
    with pytest.raises(InputError, match=rf"{name}: decord misreads which frames are shown .*; use --decoder pyav"):
        open_clip(path, "decord")


def test_decord_would_indeed_show_the_wrong_frames(tmp_path):
    import decord

    reader = decord.VideoReader(str(write_clip(tmp_path / "trimmed.mp4", range(30), trimmed=10)), num_threads=1)
    assert len(reader) == 30
    assert read_number(reader.next().asnumpy()) == 10


@pytest.mark.parametrize("degrees", [90, 180])
def test_a_turned_matroska_clip_is_refused_as_decord_does_not_turn_it(tmp_path, degrees):
    path = write_clip(tmp_path / "phone.mkv", range(5), rotation=degrees)
    with pytest.raises(
        InputError, match="decord does not begin with the frame that is shown first; use --decoder pyav"
    ):
        open_clip(path, "decord")


def test_a_transport_stream_is_refused_as_decord_hangs_on_it(tmp_path):
    path = write_clip(tmp_path / "clip.ts", range(10)).rename(tmp_path / "clip.mp4")
    with pytest.raises(InputError, match="decord is not safe with mpegts files; use --decoder pyav"):
        open_clip(path, "decord")


def test_a_file_without_times_is_refused(tmp_path):
    path = write_clip(tmp_path / "clip.avi", range(10), codec="mpeg4", b_frames=2)
    with pytest.raises(InputError, match="lacks times that decord could be checked against; use --decoder pyav"):
        open_clip(path, "decord")


def test_a_file_cut_short_is_refused(tmp_path):
    path = cut(write_clip(tmp_path / "clip.mp4", range(50)), 0.6)
    with pytest.raises(InputError, match="decord cannot open the file; use --decoder pyav"):
        open_clip(path, "decord")


def test_an_error_within_the_clip_is_one_line(tmp_path):
    path = blank(write_clip(tmp_path / "clip.mp4", range(40), codec="libvpx-vp9"), {20})
    with pytest.raises(InputError, match="decord fails on this file; use --decoder pyav"):
        list(open_clip(path, "decord").frames())


def test_without_decord_the_user_hears_what_to_do(tmp_path, monkeypatch):
    path = write_clip(tmp_path / "clip.mp4", range(3))
    monkeypatch.setitem(sys.modules, "decord", None)
    with pytest.raises(InputError, match="decord is not installed here; use --decoder pyav"):
        open_clip(path, "decord")
    assert open_clip(path).reader == "pyav"
