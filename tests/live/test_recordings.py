"""Recording and snapshots on demand, while frames go on coming."""

import errno
import threading

import numpy as np
import pytest

from humanpt.errors import InputError, OutputError
from humanpt.live import recorder as recorder_file
from humanpt.live.people_spool import read_people
from humanpt.live.recorder import Recorder
from humanpt.live.recordings import Recordings
from tests.live.moving import about_hands, two_hands, view
from tests.live.test_recorder import film


def show(recordings, views):
    for one in views:
        recordings.show(one, one.shot.picture)


def test_only_what_comes_between_two_presses_is_recorded(tmp_path):
    recordings = Recordings(tmp_path / "demo", about_hands())
    views = two_hands(9)
    show(recordings, views[:2])
    assert not (tmp_path / "demo").exists()
    assert "recording into" in recordings.record()
    assert recordings.recording
    show(recordings, views[2:5])
    assert "3 pictures" in recordings.record()
    assert not recordings.recording
    show(recordings, views[5:7])
    recordings.record()
    show(recordings, views[7:])
    recordings.close()  # ends the second one too
    numbers = [read_people(tmp_path / f"demo/recording-{number}/people.npz").frame_number for number in (1, 2)]
    assert [found.tolist() for found in numbers] == [[2, 3, 4], [7, 8]]


def test_finishing_one_recording_holds_nobody_up(tmp_path, monkeypatch):
    go_on, finish = threading.Event(), recorder_file.finish_recording
    monkeypatch.setattr(recorder_file, "finish_recording", lambda *of: (go_on.wait(20), finish(*of))[1])
    recordings = Recordings(tmp_path, about_hands())
    recordings.record()
    show(recordings, two_hands(2))
    recordings.record()  # its files wait
    recordings.record()
    show(recordings, two_hands(3))
    recordings.record()
    go_on.set()
    recordings.close()
    assert len(read_people(tmp_path / "recording-1/people.npz").frame_number) == 2
    assert len(read_people(tmp_path / "recording-2/people.npz").frame_number) == 3


def test_the_film_of_a_mirror_is_drawn_anew(tmp_path):
    recordings = Recordings(tmp_path, about_hands(), film=lambda one, drawn: drawn[:, ::-1])
    recordings.record()
    seen = np.zeros((120, 160, 3), np.uint8)
    seen[:, 80:] = 200  # what the screen shows
    recordings.show(view(0, []), seen)
    recordings.close()
    assert film(tmp_path / "recording-1/overlay.mp4", at=(60, 40))[2][0] > 150


def test_a_full_disk_is_said_once_and_ends_the_recording_alone(tmp_path, monkeypatch):
    lines = []
    recordings = Recordings(tmp_path, about_hands(), note=lines.append)
    recordings.record()
    views = two_hands(4)
    show(recordings, views[:2])

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(recorder_file.PeopleSpool, "add", full)
        show(recordings, views[2:])
    assert not recordings.recording
    assert "recording stopped" in recordings.trouble
    assert "recording-2" in recordings.record()
    assert recordings.trouble is None
    recordings.close()
    (line,) = lines
    assert "recording stopped after 2 pictures (No space left on device)" in line
    assert len(read_people(tmp_path / "recording-1/people.npz").frame_number) == 2


def test_a_recording_begun_elsewhere_is_ended_by_the_same_button(tmp_path):
    recordings, broken = Recordings(tmp_path / "demo", about_hands()), []
    recorder = Recorder(tmp_path / "mine", about_hands())
    recordings.begin(recorder, lambda: broken.append(True))
    assert recordings.recording
    show(recordings, two_hands(3))
    assert "3 pictures recorded into" in recordings.record()
    assert not recordings.recording
    recordings.close()
    assert recorder.files.keys() >= {"people.npz", "overlay.mp4"}
    assert not (tmp_path / "demo").exists()
    assert broken == []


def test_after_the_end_nothing_begins(tmp_path):
    recordings = Recordings(tmp_path, about_hands())
    recordings.close()
    with pytest.raises(InputError, match="the demo is ending"):
        recordings.record()
    assert not list(tmp_path.iterdir())


def test_a_snapshot_keeps_the_newest_picture(tmp_path):
    recordings = Recordings(tmp_path, about_hands())
    with pytest.raises(InputError, match="no picture to keep yet"):
        recordings.snapshot()
    show(recordings, two_hands(3))
    assert "snapshot-000002.png" in recordings.snapshot()
    assert read_people(tmp_path / "snapshot-000002.npz").frame_number.tolist() == [2]
    kept = (tmp_path / "snapshot-000002.npz").read_bytes()
    assert "snapshot-000002-2.png" in recordings.snapshot()
    assert (tmp_path / "snapshot-000002.npz").read_bytes() == kept
    recordings.close()


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    recordings = Recordings(tmp_path / "file", about_hands())
    with pytest.raises(OutputError, match="cannot be written"):
        recordings.record()
    assert not recordings.recording
    recordings.close()
