"""Which clips the paths given by a user stand for."""

import pytest

from humanpt.data.clips import find_clips, natural_key
from humanpt.errors import InputError


def touch(*paths):
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def names(*inputs):
    return [clip.name for clip in find_clips(inputs)]


def test_folders_are_searched_to_any_depth_and_sorted_naturally(tmp_path):
    touch(*(tmp_path / name for name in ("b/10.mp4", "b/2.mp4", "a.MOV", "c/d/e.webm", "notes.md", "z.Mkv", "y.avi")))
    assert names(tmp_path) == ["a.MOV", "b/2.mp4", "b/10.mp4", "c/d/e.webm", "y.avi", "z.Mkv"]


def test_a_folder_that_holds_pictures_is_one_clip(tmp_path):
    touch(*(tmp_path / name for name in ("frames/1.jpg", "frames/2.JPG", "clip.mp4", "more/deep/1.tif")))
    assert names(tmp_path) == ["clip.mp4", "frames", "more/deep"]
    assert names(tmp_path / "frames") == ["frames"]
    assert find_clips([tmp_path])[1].path == tmp_path / "frames"


def test_videos_beside_and_below_pictures_are_clips_too(tmp_path):
    touch(*(tmp_path / "set" / name for name in ("1.png", "beside.mp4", "below/clip.mp4")))
    assert names(tmp_path) == ["set", "set/below/clip.mp4", "set/beside.mp4"]


def test_hidden_files_and_folders_are_passed_over(tmp_path):
    touch(*(tmp_path / name for name in ("clip.mp4", "._clip.mp4", ".cache/clip.mp4", "sub/._1.jpg")))
    assert names(tmp_path) == ["clip.mp4"]


def test_names_stay_unique_and_nothing_is_listed_twice(tmp_path):
    touch(tmp_path / "one/cam.mp4", tmp_path / "two/cam.mp4")
    assert names(tmp_path / "one", tmp_path / "two") == ["cam.mp4", "cam.mp4 (2)"]
    assert names(tmp_path / "one/cam.mp4", tmp_path) == ["cam.mp4", "two/cam.mp4"]


def test_links_in_a_circle_end(tmp_path):
    touch(tmp_path / "a/clip.mp4")
    (tmp_path / "a/up").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "self").symlink_to(tmp_path / "self")
    assert names(tmp_path) == ["a/clip.mp4"]


def test_linked_folders_are_searched(tmp_path):
    touch(tmp_path / "store/clip.mp4")
    (tmp_path / "input").mkdir()
    (tmp_path / "input/link").symlink_to(tmp_path / "store", target_is_directory=True)
    assert names(tmp_path / "input") == ["link/clip.mp4"]


def test_a_list_names_files_and_folders_relative_to_itself(tmp_path):
    touch(tmp_path / "set/a.mp4", tmp_path / "set/b/1.png", tmp_path / "c #1.mp4", tmp_path / "far.mp4")
    lines = ["# my clips", "set", "", "  c #1.mp4  ", str(tmp_path / "far.mp4")]
    (tmp_path / "clips.txt").write_text("\r\n".join(lines), encoding="utf-8-sig")
    assert names(tmp_path / "clips.txt") == ["set/a.mp4", "set/b", "c #1.mp4", "far.mp4"]


def test_a_file_named_on_purpose_may_have_any_ending(tmp_path):
    touch(tmp_path / "camera.MTS")
    assert names(tmp_path / "camera.MTS") == ["camera.MTS"]


REFUSALS = [
    ("gone.mp4", None, r"gone\.mp4: no such file or folder; check the path"),
    ("photo.jpg", "x", r"photo\.jpg: a single picture is no clip; give the folder that holds the frames"),
    ("list.txt", "# a\n\ngone.mp4\n", r"list\.txt:3: no such file or folder as gone\.mp4; correct or remove the line"),
    ("list.txt", "# nothing\n", r"list\.txt: the list names no clip; write one path per line"),
    ("list.txt", "list.txt\n", r"list\.txt:1: list\.txt is a list within a list; name its clips here"),
]


@pytest.mark.parametrize(("name", "content", "line"), REFUSALS)
def test_what_cannot_be_a_clip_is_refused_by_name(tmp_path, name, content, line):
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=line):
        find_clips([tmp_path / name])


def test_a_folder_without_any_clip_is_refused(tmp_path):
    touch(tmp_path / "sub/readme.md")
    with pytest.raises(InputError, match=r"no video .* and no folder of pictures in it; check the path"):
        find_clips([tmp_path])


def test_a_list_that_is_no_text_is_refused(tmp_path):
    (tmp_path / "list.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="not a text file in UTF-8"):
        find_clips([tmp_path / "list.txt"])


def test_natural_order_puts_2_before_10_and_ignores_capitals(tmp_path):
    paths = [tmp_path / name for name in ("B1", "a10", "a2", "b", "2", "10", "A2")]
    assert [path.name for path in sorted(paths, key=natural_key)] == ["2", "10", "A2", "a2", "a10", "b", "B1"]
