"""What is wrong with a capture is found and named; a sound one has no problems."""

import dataclasses
import json
import shutil

import numpy as np
import pytest

from humanpt.config import override
from humanpt.data.captures.check import check_capture
from humanpt.data.captures.find import find_captures
from humanpt.data.captures.rules import CaptureConfig
from humanpt.pages.camera_layout import write_camera_layout
from tests import rigs, stage

CONFIG = override(CaptureConfig(rate=12.5), ["capture.sync=none", "pairs.min_size=40"])


@pytest.fixture(scope="module")
def filmed(tmp_path_factory):
    """Four cameras in different heights on one figure, and the boxes."""
    folder = tmp_path_factory.mktemp("captures") / "scene"
    cameras = [
        rigs.camera(f"cam0{i + 1}", angle, height=height, lens=rigs.LENS)
        for i, (angle, height) in enumerate(((0, -1.2), (40, -0.6), (85, -1.6), (150, -0.9)))
    ]
    return folder, cameras, stage.shoot(folder, cameras, seconds=1.2)


@pytest.fixture
def scene(filmed, tmp_path):
    """A copy to spoil, without a calibration yet."""
    folder, cameras, boxes = filmed
    shutil.copytree(folder, tmp_path / "scene")
    shutil.copy(boxes, tmp_path / "boxes.csv")
    return tmp_path / "scene", list(cameras)


def check(folder, *changes):
    config = override(CONFIG, [f"detector=boxes:{folder.parent / 'boxes.csv'}", *changes])
    (capture,) = find_captures([folder], config.capture)
    return check_capture(capture, config, lambda frames: None)


def test_a_sound_capture_has_no_problems_and_its_boxes_meet(scene):
    folder, cameras = scene
    rigs.write_pose2sim(folder, cameras)
    found = check(folder)
    assert found.problems == []
    assert all(camera.seen == 1 and camera.error < 0.03 for camera in found.cameras)
    assert {pair.cameras: round(pair.angle) for pair in found.pairs}["cam01", "cam02"] in range(35, 46)
    np.testing.assert_allclose(found.cameras[2].centre, cameras[2].centre, atol=1e-5)
    moments = np.arange(len(found.subject)) * 0.08
    np.testing.assert_allclose(found.subject, [stage.walk(moment) for moment in moments], atol=0.05)
    json.dumps(dataclasses.asdict(found))


def test_a_mirrored_clip_is_told(scene):
    folder, cameras = scene
    rigs.write_pose2sim(folder, cameras)
    rows = (folder.parent / "boxes.csv").read_text().splitlines()
    width = cameras[1].size[0]
    for i, row in enumerate(rows):
        cells = row.split(",")
        if cells[0] == "cam02.mp4":
            x1, x2 = (width - 1 - float(cells[k]) for k in (4, 2))
            rows[i] = ",".join([*cells[:2], f"{x1:.2f}", cells[3], f"{x2:.2f}", cells[5]])
    (folder.parent / "boxes.csv").write_text("\n".join(rows))
    assert check(folder).problems == [
        "camera cam02: its picture seems mirrored; flip the clip, or film without mirroring"
    ]


def test_swapped_clips_are_told(scene):
    folder, cameras = scene
    rigs.write_pose2sim(folder, [dataclasses.replace(c, name=n) for c, n in zip(cameras, NAMES_SWAPPED, strict=True)])
    assert check(folder).problems == ["cameras cam02 and cam04: their clips seem swapped; rename them"]


NAMES_SWAPPED = ("cam01", "cam04", "cam03", "cam02")


def test_a_camera_that_was_moved_after_calibration_is_told(scene):
    folder, cameras = scene
    cameras[2] = rigs.camera("cam03", 85, height=-3.4, lens=rigs.LENS)
    object.__setattr__(cameras[2], "cam_from_world", rigs.look_at((3.5, -0.2, -1.0), (0.0, -1.6, 0.5)))
    rigs.write_pose2sim(folder, cameras)
    found = check(folder)
    assert len(found.problems) == 1
    assert found.problems[0].startswith("camera cam03: its boxes miss the point that the others agree on")


def test_a_camera_that_sees_nobody_is_told(scene):
    folder, cameras = scene
    rigs.write_pose2sim(folder, cameras)
    rows = (folder.parent / "boxes.csv").read_text().splitlines()
    (folder.parent / "boxes.csv").write_text("\n".join(row for row in rows if not row.startswith("cam04.mp4,1")))
    assert check(folder).problems == []
    (folder.parent / "boxes.csv").write_text("\n".join(row for row in rows if not row.startswith("cam04")))
    assert check(folder).problems == [
        "camera cam04: sees somebody in 0% of its frames; it looks elsewhere, or its clip is not of this scene"
    ]


def test_copies_are_told(scene):
    folder, cameras = scene
    shutil.copy(folder / "cam01.mp4", folder / "cam02.mp4")
    found = check(folder)
    assert "cameras cam01 and cam02: have the same clip; one of them is a copy" in found.problems
    rigs.write_pose2sim(folder, [*cameras[:3], dataclasses.replace(cameras[0], name="cam04")])
    assert any("cam01 and cam04: stand at the same place" in problem for problem in check(folder).problems)


def test_cameras_of_which_none_can_be_paired_are_told(scene):
    folder, cameras = scene
    rigs.write_pose2sim(folder, cameras)
    (problem,) = check(folder, "capture.min_angle=1", "capture.max_angle=5").problems
    assert problem.startswith("no two cameras are 1 to 5 degrees apart (they are ")


def test_without_calibration_there_are_no_misses(scene):
    found = check(scene[0])
    assert found.problems == []
    assert all(np.isnan(camera.error) and camera.centre is None for camera in found.cameras)
    with pytest.raises(ValueError, match="a plan needs two"):
        write_camera_layout(scene[0] / "plan.svg", found)


def test_the_plan_shows_every_camera(scene, tmp_path):
    folder, cameras = scene
    rigs.write_pose2sim(folder, cameras)
    write_camera_layout(tmp_path / "plan.svg", check(folder))
    assert (tmp_path / "plan.svg").read_text().count("<svg") == 1


@pytest.mark.slow
def test_the_boxes_of_the_shipped_capture_meet(tmp_path):
    (capture,) = find_captures([rigs.EXAMPLES / "pose2sim_single"])
    found = check_capture(capture, CaptureConfig(detector="motion"), lambda frames: None)
    assert found.problems == []
    assert all(camera.error < 0.1 for camera in found.cameras)
