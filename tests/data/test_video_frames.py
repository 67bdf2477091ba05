"""Folders of pictures as clips."""

import cv2
import numpy as np
import pytest
from numpy.testing import assert_array_equal

from humanpt.data.video import open_clip
from humanpt.errors import InputError
from tests.clips import paint, read_number


def write_pictures(folder, numbers, ending="png", size=(128, 96)):
    folder.mkdir(exist_ok=True)
    for number in numbers:
        cv2.imwrite(str(folder / f"{number}.{ending}"), cv2.cvtColor(paint(number, *size), cv2.COLOR_RGB2BGR))
    return folder


def test_pictures_come_in_natural_order_at_the_assumed_rate(tmp_path):
    clip = open_clip(write_pictures(tmp_path / "clip", [1, 2, 9, 10, 11, 100]), frame_rate=10)
    frames = list(clip.frames())
    assert [read_number(frame.rgb()) for frame in frames] == [1, 2, 9, 10, 11, 100]
    assert [frame.number for frame in frames] == list(range(6))
    assert [frame.timestamp for frame in frames] == [number / 10 for number in range(6)]
    assert (clip.width, clip.height, clip.rate, clip.frame_count, clip.reader) == (128, 96, 10, 6, "frames")


def test_the_rate_is_25_unless_the_caller_knows(tmp_path):
    assert open_clip(write_pictures(tmp_path / "clip", [0])).rate == 25


@pytest.mark.parametrize("ending", ["png", "PNG", "jpg", "JPEG", "bmp", "webp", "tif"])
def test_every_kind_of_picture_is_read_in_rgb(tmp_path, ending):
    frame = next(open_clip(write_pictures(tmp_path / "clip", [5], ending)).frames())
    assert read_number(frame.rgb()) == 5
    assert np.abs(frame.rgb().astype(int) - paint(5)).mean() < 4


def test_pictures_without_colour_or_with_transparency_are_rgb(tmp_path):
    folder = write_pictures(tmp_path / "clip", [0])
    cv2.imwrite(str(folder / "1.png"), paint(1)[..., 0])
    cv2.imwrite(str(folder / "2.png"), np.dstack([paint(2), np.full((96, 128), 9, np.uint8)]))
    assert {frame.rgb().shape for frame in open_clip(folder).frames()} == {(96, 128, 3)}


def test_what_is_no_picture_is_named_and_its_number_kept(tmp_path):
    folder = write_pictures(tmp_path / "clip", [0, 2, 5])
    (folder / "1.png").write_text("no picture")
    (folder / "3.jpg").write_bytes(b"")
    whole = (folder / "0.png").read_bytes()
    (folder / "4.png").write_bytes(whole[:20])
    clip = open_clip(folder)
    assert [(frame.number, read_number(frame.rgb())) for frame in clip.frames()] == [(0, 0), (2, 2), (5, 5)]
    advice = "not a picture that can be read, left out; convert or copy it again"
    assert clip.damage == [f"{name}: {advice}" for name in ("1.png", "3.jpg", "4.png")]


def test_a_picture_of_another_size_is_refused_by_name(tmp_path):
    folder = write_pictures(tmp_path / "clip", [0, 1])
    write_pictures(folder, [2], size=(64, 48))
    clip = open_clip(folder)
    assert [frame.number for frame in clip.frames()] == [0, 1]
    assert clip.damage == ["2.png: 64 x 48 pixels instead of 128 x 96, left out"]


def test_the_decoder_that_was_asked_for_does_not_matter_to_pictures(tmp_path):
    folder = write_pictures(tmp_path / "clip", [3])
    assert_array_equal(next(open_clip(folder, "decord").frames()).rgb(), paint(3))


def test_a_folder_without_pictures_is_refused(tmp_path):
    with pytest.raises(InputError, match="a folder without pictures"):
        open_clip(tmp_path)


def test_a_folder_of_broken_pictures_is_refused(tmp_path):
    (tmp_path / "1.png").write_text("no picture")
    with pytest.raises(InputError, match="none of the 1 pictures can be read"):
        open_clip(tmp_path)


def test_real_frames_are_read(samples):
    clip = open_clip(samples / "video_frames/judo/images/judo")
    assert len(list(clip.frames())) == clip.frame_count == 16
    assert clip.damage == []
