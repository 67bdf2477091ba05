"""One capture to its shard: what pairs show, what is written about cameras and clocks, what is refused."""

import dataclasses
import json

import numpy as np
import pytest

from humanpt.config import override
from humanpt.data.captures.cross_view import harvest_capture
from humanpt.data.captures.find import find_captures
from humanpt.data.captures.rules import CaptureConfig, CaptureRules
from humanpt.data.image import decode_jpeg
from humanpt.data.pairs import PairConfig
from humanpt.data.shards import Kind, ShardReader
from humanpt.errors import InputError
from tests import rigs, stage

# The figures do not bend, so that in their boxes they hardly change.
RULES = CaptureRules(sync="none", min_change=0.0)
EASY = CaptureConfig(pairs=PairConfig(min_size=40, every=0.2), rate=12.5, capture=RULES)


def run(folder, boxes, part, config=EASY, told=None):
    """Harvest the one capture of a folder; the result and its records."""
    config = dataclasses.replace(config, detector=f"boxes:{boxes}" if boxes else "motion")
    (capture,) = find_captures([folder], config.capture)
    result = harvest_capture(capture, config, part, told.append if told is not None else lambda frames: None)
    shard = ShardReader(part)
    return result, [shard.record(row) for row in range(len(shard))], shard


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """Three calibrated cameras with lenses; the third begins 0.4 s late."""
    folder = tmp_path_factory.mktemp("captures") / "scene"
    cameras = stage.rig()
    boxes = stage.shoot(folder, cameras, seconds=2.4, starts=(0.0, 0.0, 0.4))
    rigs.write_pose2sim(folder, cameras)
    return folder, cameras, boxes


@pytest.fixture(scope="module")
def harvested(scene, tmp_path_factory):
    told = []
    config = override(EASY, ["capture.sync=motion", "capture.min_confidence=0.15"])
    part = tmp_path_factory.mktemp("part") / "part.h5"
    return *run(scene[0], scene[2], part, config, told), told


def places(record):
    """Where the figure is at each picture's moment, by the picture's own clock and camera."""
    starts = {0: 0.0, 1: 0.0, 2: 0.4}
    return [stage.walk(starts[picture.source] + picture.timestamp) for picture in (record.image1, record.image2)]


def test_both_pictures_show_the_same_instant_from_different_cameras(harvested):
    result, records, _, _ = harvested
    assert result.pairs == len(records) > 10
    for record in records:
        assert record.kind == Kind.CROSS_VIEW
        assert record.image1.source != record.image2.source
        first, second = places(record)
        np.testing.assert_allclose(first, second, atol=0.06)  # at most a frame apart


def test_pairs_keep_the_rule_of_the_angle(harvested):
    _, records, _, _ = harvested
    assert {tuple(sorted((r.image1.source, r.image2.source))) for r in records} == {(0, 1), (1, 2)}


def test_the_camera_in_a_record_projects_the_subject_into_its_box(harvested):
    _, records, _, _ = harvested
    points = stage.figure()[0]
    for record in records:
        for picture, place in zip((record.image1, record.image2), places(record), strict=True):
            world = np.column_stack([points + place, np.ones(len(points))])
            seen = world @ (picture.intrinsics @ picture.cam_from_world[:3]).T
            pixels = seen[:, :2] / seen[:, 2:]
            np.testing.assert_allclose([*pixels.min(axis=0), *pixels.max(axis=0)], picture.box, atol=1.5)


def test_crops_show_the_figure_where_its_mask_says(harvested):
    _, records, _, _ = harvested
    for record in records[:4]:
        for picture in (record.image1, record.image2):
            crop = decode_jpeg(picture.jpeg)
            assert crop.shape == (256, 256, 3)
            assert picture.mask.any()
            assert picture.mask_kind == "box"


def test_clock_offsets_are_found_reported_and_used(harvested):
    result, _, shard, _ = harvested
    third = result.cameras[2]
    assert third.offset == pytest.approx(0.4, abs=0.04)
    assert third.confidence > 0.15
    assert [camera.offset for camera in result.cameras[:2]] == [0.0, 0.0]
    assert any(note.startswith("clock offsets, with their confidence: cam03 +0.") for note in result.notes)
    assert "clock offset +0." in shard.sources[2].notes


def test_the_ledger_knows_every_camera(harvested, scene):
    result, _, shard, told = harvested
    assert [source.camera for source in shard.sources] == ["cam01", "cam02", "cam03"]
    assert {source.sequence for source in shard.sources} == {"scene"}
    assert [source.frames for source in shard.sources] == [60, 60, 50]
    assert all("pixels without lens distortion" in source.notes for source in shard.sources)
    assert sum(told) == result.frames == 170
    assert sum(camera.pairs for camera in result.cameras) == 2 * result.pairs
    json.dumps(dataclasses.asdict(result))


def test_the_same_capture_gives_the_same_bytes(scene, tmp_path):
    folder, _, boxes = scene
    for name in ("a", "b"):
        run(folder, boxes, tmp_path / f"{name}.h5")
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


def test_without_calibration_pairs_come_by_time_alone_and_that_is_said(tmp_path):
    cameras = stage.rig()
    boxes = stage.shoot(tmp_path / "bare", cameras[:2], seconds=1.0)
    result, records, _ = run(tmp_path / "bare", boxes, tmp_path / "part.h5")
    assert records
    assert records[0].image1.cam_from_world is None
    assert records[0].image1.intrinsics is None
    assert any(note.startswith("no calibration with camera poses: pairs by time alone") for note in result.notes)


def test_without_calibration_several_people_give_nothing(tmp_path):
    boxes = stage.shoot(tmp_path / "bare", stage.rig()[:2], seconds=0.6, figures=(0.0, 2.0))
    result, records, _ = run(tmp_path / "bare", boxes, tmp_path / "part.h5")
    assert records == []
    assert result.rejected["crowded"] > 0


def test_two_people_before_calibrated_cameras_stay_two_subjects(tmp_path):
    cameras = rigs.rig((0, 40, 75), lens=())
    boxes = stage.shoot(tmp_path / "two", cameras, seconds=1.0, figures=(0.0, 2.8))
    rigs.write_opencv(tmp_path / "two", cameras)
    result, records, _ = run(tmp_path / "two", boxes, tmp_path / "part.h5")
    assert result.kept_tracks == 2
    for record in records:
        who = []
        for picture in (record.image1, record.image2):
            centre = (picture.box[:2] + picture.box[2:]) / 2
            away = []
            for phase in (0.0, 2.8):
                seen = cameras[picture.source].projection @ np.append(stage.walk(picture.timestamp, phase), 1)
                away.append(np.linalg.norm(seen[:2] / seen[2] - centre))
            who.append(int(np.argmin(away)))
        assert who[0] == who[1]


def test_clips_of_other_rates_and_lengths_are_handled_and_noted(tmp_path):
    cameras = rigs.rig((0, 40), lens=())
    boxes = stage.shoot(tmp_path / "mixed", cameras, seconds=1.0, rates=(25, 50))
    long = stage.shoot(tmp_path / "long", cameras[:1], seconds=2.0)
    (tmp_path / "long" / "cam01.mp4").rename(tmp_path / "mixed" / "cam01.mp4")
    rows = [row for row in boxes.read_text().splitlines() if not row.startswith("cam01")]
    boxes.write_text("\n".join(rows + long.read_text().splitlines()[1:]))
    rigs.write_pose2sim(tmp_path / "mixed", cameras)
    result, records, _ = run(tmp_path / "mixed", boxes, tmp_path / "part.h5")
    assert records
    for record in records:
        assert abs(record.image1.timestamp - record.image2.timestamp) <= 0.021
    assert "frames per second differ: 25, 50; nearest frames are paired" in result.notes
    assert "clips last 1.0 to 2.0 s; instants that two cameras share are used" in result.notes


def test_frames_of_another_shape_than_calibrated_are_refused_or_left_out(tmp_path):
    cameras = rigs.rig((0, 40, 70), lens=())
    boxes = stage.shoot(tmp_path / "scene", cameras, seconds=0.6)
    other = [*cameras[:2], rigs.camera("cam03", 70, size=(240, 320))]
    rigs.write_pose2sim(tmp_path / "scene", other)
    with pytest.raises(InputError, match=r"cam03.mp4: camera cam03: calibrated at 240 x 320, filmed at 320 x 240"):
        run(tmp_path / "scene", boxes, tmp_path / "part.h5")
    config = override(EASY, ["capture.strays=skip"])
    result, records, shard = run(tmp_path / "scene", boxes, tmp_path / "part.h5", config)
    assert len(shard.sources) == 2
    assert records
    assert any(note.startswith("left out: camera cam03") for note in result.notes)


def test_a_clip_that_cannot_be_read_is_named(scene, tmp_path):
    cameras = rigs.rig((0, 40), lens=())
    boxes = stage.shoot(tmp_path / "scene", cameras, seconds=0.4)
    rigs.write_pose2sim(tmp_path / "scene", cameras)
    (tmp_path / "scene" / "cam02.mp4").write_bytes(b"")
    with pytest.raises(InputError, match=r"cam02\.mp4: the file is empty"):
        run(tmp_path / "scene", boxes, tmp_path / "part.h5")
    assert not (tmp_path / "part.h5").exists()


def test_the_motion_detector_works_on_captures_too(scene, tmp_path):
    folder, _, _ = scene
    config = override(EASY, ["capture.max_mismatch=0.4"])
    _, records, _ = run(folder, None, tmp_path / "part.h5", config)
    assert records
    assert {record.image1.mask_kind for record in records} == {"motion"}


@pytest.mark.slow
def test_the_shipped_capture_gives_pairs_of_neighbouring_cameras(tmp_path):
    result, records, shard = run(
        rigs.EXAMPLES / "pose2sim_single", None, tmp_path / "part.h5", CaptureConfig(detector="motion")
    )
    names = {
        tuple(sorted(shard.sources[picture.source].camera for picture in (record.image1, record.image2)))
        for record in records
    }
    assert len(records) >= 8
    assert names == {("cam01", "cam02"), ("cam03", "cam04")}
    assert "cam01: calibrated at 1088 x 1920, filmed at 1080 x 1920" in " ".join(result.notes)
