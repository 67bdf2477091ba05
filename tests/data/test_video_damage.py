"""Damaged clips: what can be read is read, keeps its numbers and times, and the rest is reported."""

from itertools import islice

import av
import pytest

from humanpt.data.video import open_clip
from tests.clips import blank, cut, read_number, spoil, write_clip, write_two_sizes


def shown(clip):
    """The number, the painted number and the time of every frame that comes."""
    return [(frame.number, read_number(frame.rgb()), frame.timestamp) for frame in clip.frames()]


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv", "clip.webm", "clip.avi"])
def test_a_file_cut_short_is_read_up_to_the_break(tmp_path, name):
    codec = {"clip.webm": "libvpx-vp9", "clip.avi": "mpeg4"}.get(name, "libx264")
    path = write_clip(tmp_path / name, range(60), size=(256, 192), codec=codec, b_frames=0)
    clip = open_clip(cut(path, 0.6))
    frames = shown(clip)
    assert 20 < len(frames) < 40
    assert all(number == painted for number, painted, _ in frames)
    assert any(line.startswith(f"ends early, after frame {frames[-1][0]} ") for line in clip.damage)
    assert any(line.endswith("of 2.4 s)") for line in clip.damage)


def test_a_whole_clip_in_a_longer_file_does_not_end_early(samples):
    clip = open_clip(samples / "multiview/pose2sim_single/videos/cam02.mp4")  # the file claims 0.07 s more than it has
    assert sum(1 for _ in clip.frames()) == 100
    assert clip.damage == []


@pytest.mark.parametrize("threads", [1, 2])
def test_damaged_frames_and_those_predicted_from_them_are_left_out(tmp_path, threads):
    path = write_clip(tmp_path / "clip.mp4", range(48), gop=12, b_frames=3, options={"preset": "medium"})
    clip = open_clip(spoil(path, {16}), threads=threads)
    frames = shown(clip)
    gone = sorted(set(range(48)) - {number for number, _, _ in frames})
    assert gone == list(range(gone[0], 24))  # up to the next key frame
    assert 12 < gone[0] <= 16
    assert all(number == painted and time == pytest.approx(painted / 25) for number, painted, time in frames)
    assert clip.damage == [f"{len(gone)} frames damaged and left out, the first at {gone[0] / 25:.1f} s"]


@pytest.mark.parametrize("codec", ["libx264", "libx265", "libvpx-vp9"])
@pytest.mark.parametrize("packet", [0, 16, 24])
def test_a_packet_without_a_picture_leaves_a_gap_in_numbers_and_times(tmp_path, codec, packet):
    clip = open_clip(blank(write_clip(tmp_path / "clip.mp4", range(48), codec=codec, gop=12), {packet}))
    frames = shown(clip)
    assert 30 < len(frames) < 48
    assert all(number == painted and time == pytest.approx(painted / 25) for number, painted, time in frames)
    assert len(clip.damage) == 1
    assert "damaged and left out, the first at" in clip.damage[0]


def test_mpeg4_frames_keep_their_times_behind_a_break(tmp_path):
    clip = open_clip(blank(write_clip(tmp_path / "clip.mp4", range(48), codec="mpeg4", gop=12), {16}))
    frames = shown(clip)
    assert len(frames) < 48
    assert all(time == pytest.approx(painted / 25) for _, painted, time in frames)


def test_a_broken_packet_in_avi_is_skipped_in_the_count(tmp_path):
    path = write_clip(tmp_path / "clip.avi", range(12), codec="mjpeg", pixels="yuvj422p")
    clip = open_clip(blank(path, {5}))
    assert [(number, painted) for number, painted, _ in shown(clip)] == [(n, n) for n in range(12) if n != 5]
    assert clip.damage[0].startswith("1 frame damaged and left out")


def test_frames_of_another_size_are_left_out(tmp_path):
    path = write_two_sizes(tmp_path / "clip.ts")
    clip = open_clip(path)
    assert [painted for _, painted, _ in shown(clip)] == list(range(10))
    assert clip.damage == ["10 frames left out, not of 128 x 96 pixels"]
    clip = open_clip(path, one_size=False)
    assert [painted for _, painted, _ in shown(clip)] == list(range(20))
    assert clip.damage == []


class FailingDisk:
    """An open container whose file cannot be read after some packets."""

    def __init__(self, container, packets):
        self.container, self.packets = container, packets

    def __getattr__(self, name):
        return getattr(self.container, name)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.container.close()

    def demux(self, stream):
        yield from islice(self.container.demux(stream), self.packets)
        raise av.FFmpegError(5, "Input/output error")


def test_a_file_that_cannot_be_read_to_its_end_is_reported(tmp_path, monkeypatch):
    path = write_clip(tmp_path / "clip.mp4", range(30), b_frames=0)
    really_open = av.open
    monkeypatch.setattr(av, "open", lambda *args, **options: FailingDisk(really_open(*args, **options), 20))
    clip = open_clip(path)
    assert [painted for _, painted, _ in shown(clip)] == list(range(20))
    assert clip.damage == ["cannot be read beyond frame 19 (Input/output error)"]


def test_a_second_reading_reports_the_damage_once(tmp_path):
    clip = open_clip(cut(write_clip(tmp_path / "clip.mp4", range(60)), 0.5))
    first = (shown(clip), clip.damage)
    assert (shown(clip), clip.damage) == first


def test_leaving_early_reports_no_damage_that_was_not_met(tmp_path):
    clip = open_clip(cut(write_clip(tmp_path / "clip.mp4", range(60)), 0.5))
    frames = clip.frames()
    next(frames)
    frames.close()
    assert clip.damage == []
