import errno
import json
import os

import pytest

from humanpt.errors import OutputError
from humanpt.files import whole_file, write_json, write_whole


def test_a_file_appears_when_it_is_whole(tmp_path):
    with whole_file(tmp_path / "new" / "a.txt") as temporary:
        temporary.write_text("half")
        assert not (tmp_path / "new" / "a.txt").exists()
    assert (tmp_path / "new" / "a.txt").read_text() == "half"
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.txt"]


def test_an_exception_leaves_the_older_file_and_nothing_else(tmp_path):
    write_whole(tmp_path / "a", "old")
    with pytest.raises(UnicodeEncodeError), whole_file(tmp_path / "a") as temporary:
        temporary.write_text("new \ud800")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"a": "old"}


def test_a_full_disk_is_said_in_one_line(tmp_path, monkeypatch):
    def no_room(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_room)
    with pytest.raises(OutputError, match=r"a: cannot be written \(No space left on device\).*make room"):
        write_whole(tmp_path / "a", "text")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        write_whole(tmp_path / "file" / "a", "text")


def test_json_has_null_for_what_json_does_not_know(tmp_path):
    write_json(tmp_path / "a.json", {"a": float("nan"), "b": [float("inf"), 1.5], "c": (1,)})
    assert json.loads((tmp_path / "a.json").read_text()) == {"a": None, "b": [None, 1.5], "c": [1]}
