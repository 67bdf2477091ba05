"""One clip to its shard: which tracks give pairs, and what is written about the clip."""

import numpy as np
import pytest

from humanpt.data.clips import FoundClip
from humanpt.data.harvest import HarvestConfig, clip_bytes, content_hash, harvest
from humanpt.data.pairs import PairConfig
from humanpt.data.shards import ShardReader
from tests.scenes import figure_box, figure_clip

EASY = PairConfig(min_size=48, min_motion=0.01, min_visible=0.0, every=0.1)


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return figure_clip(tmp_path_factory.mktemp("clip") / "walk.mp4", count=200)


def run(clip, tmp_path, frames, pairs=EASY):
    """Harvest with boxes, of one identity, in these frames alone; the result and the shard's reader."""
    rows = [f"{i},{','.join(map(str, np.round(figure_box(i), 1)))},3" for i in frames]
    boxes = tmp_path / "boxes.csv"
    boxes.write_text("\n".join(["frame,x1,y1,x2,y2,id", *rows]))
    config = HarvestConfig(detector=f"boxes:{boxes}", pairs=pairs, rate=25)
    result = harvest(FoundClip(path=clip, name="walk.mp4"), config, tmp_path / "part.h5", lambda frames: None)
    return result, ShardReader(tmp_path / "part.h5")


def test_a_track_that_is_just_long_enough_keeps_all_its_pairs(clip, tmp_path):
    result, shard = run(clip, tmp_path, range(14))
    assert result.kept_tracks == 1
    assert result.pairs == len(shard) > 0


def test_a_track_that_is_too_short_gives_nothing_and_is_counted(clip, tmp_path):
    result, shard = run(clip, tmp_path, range(10))
    assert (result.kept_tracks, result.pairs, len(shard)) == (0, 0, 0)
    assert result.rejected["short track"] == 1


def test_who_comes_back_late_is_the_same_subject_but_no_pair_spans_the_absence(clip, tmp_path):
    result, shard = run(clip, tmp_path, [*range(30), *range(130, 170)])
    assert result.tracks == result.kept_tracks == 1
    records = [shard.record(row) for row in range(len(shard))]
    assert {record.subject for record in records} == {"walk.mp4#0"}
    assert {record.image1.frame < 100 for record in records} == {True, False}
    assert all((record.image1.frame < 100) == (record.image2.frame < 100) for record in records)


def test_frames_are_passed_over_at_the_rate_asked_for(clip, tmp_path):
    for rate, looked in ((25, 200), (12.5, 100), (5, 40)):
        config = HarvestConfig(detector="full", rate=rate)
        result = harvest(FoundClip(path=clip, name="w"), config, tmp_path / "part.h5", lambda frames: None)
        assert (result.frames, result.looked) == (200, looked)


def test_progress_adds_up_to_the_frames(clip, tmp_path):
    told = []
    harvest(FoundClip(path=clip, name="w"), HarvestConfig(), tmp_path / "part.h5", told.append)
    assert sum(told) == 200


def test_the_ledger_knows_what_was_read(clip, tmp_path):
    _, shard = run(clip, tmp_path, range(20))
    source = shard.sources[0]
    assert (source.frames, source.reader, source.width, source.height) == (200, "pyav", 256, 192)
    assert source.sha256 == content_hash(clip)
    assert source.duration == pytest.approx(199 / 25)


def test_a_folders_hash_tells_names_and_contents(tmp_path):
    folder = tmp_path / "frames"
    folder.mkdir()
    (folder / "0.jpg").write_bytes(b"a")
    first = content_hash(folder)
    (folder / "0.jpg").rename(folder / "1.jpg")
    second = content_hash(folder)
    (folder / "1.jpg").write_bytes(b"b")
    assert len({first, second, content_hash(folder)}) == 3
    assert clip_bytes(folder) == 1
