"""`humanpt mkpairs CAPTURE --multiview`: what it writes, and that bad captures are one line and exit code 2."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
from typer.testing import CliRunner

from humanpt.cli.app import app
from humanpt.data.shards import Kind, PairSet
from tests import rigs, stage
from tests.commands.results import one_line_error

RULES = ("pairs.min_size=40", "capture.min_change=0", "capture.sync=none")
QUICK = ["--multiview", "--workers", "1", *(word for rule in RULES for word in ("--set", rule))]


def mkpairs(*words):
    return CliRunner().invoke(app, ["mkpairs", *QUICK, *map(str, words)])


@pytest.fixture(scope="module")
def filmed(tmp_path_factory):
    """Two cameras on one figure, without a calibration; and its boxes."""
    folder = tmp_path_factory.mktemp("captures") / "scene"
    cameras = rigs.rig((0, 40))
    return folder, cameras, stage.shoot(folder, cameras, seconds=0.8)


@pytest.fixture
def scene(filmed, tmp_path):
    """A copy to spoil."""
    folder, cameras, boxes = filmed
    shutil.copytree(folder, tmp_path / "scene")
    return tmp_path / "scene", list(cameras), boxes


def test_a_capture_becomes_a_shard_a_summary_and_a_page(scene, tmp_path):
    folder, cameras, boxes = scene
    rigs.write_qualisys(folder, cameras)
    result = mkpairs(folder, "--out", tmp_path / "pairs", "--detector", f"boxes:{boxes}")
    assert result.exit_code == 0, result.output
    summary = json.loads((tmp_path / "pairs" / "summary.json").read_text())
    pairs = PairSet.open([tmp_path / "pairs"])
    assert summary["pairs"] == len(pairs) > 0
    assert (pairs.kind == Kind.CROSS_VIEW).all()
    assert [camera["name"] for camera in summary["per_part"][0]["cameras"]] == ["cam01", "cam02"]
    np.testing.assert_allclose(np.nan_to_num(pairs.record(0).image1.cam_from_world[3]), [0, 0, 0, 1])
    assert (tmp_path / "pairs" / "preview.html").is_file()


def test_millimetres_are_mended_by_naming_the_unit(scene, tmp_path):
    folder, cameras, boxes = scene
    far = []
    for camera in cameras:
        pose = camera.cam_from_world.copy()
        pose[:3, 3] *= 1000
        far.append(dataclasses.replace(camera, cam_from_world=pose))
    rigs.write_opencv(folder, far)
    words = [folder, "--out", tmp_path / "pairs", "--detector", f"boxes:{boxes}"]
    refused = mkpairs(*words)
    assert refused.exit_code == 2
    assert "--set capture.unit=mm" in refused.stderr
    assert mkpairs(*words, "--set", "capture.unit=mm").exit_code == 0


def calibrated(folder, cameras):
    rigs.write_pose2sim(folder, cameras)


def singular(folder, cameras):
    cameras[1].intrinsics[0, 0] = 0
    rigs.write_pose2sim(folder, cameras)
    cameras[1].intrinsics[0, 0] = 300.0


def mirrored(folder, cameras):
    pose = cameras[1].cam_from_world.copy()
    pose[0, :3] *= -1
    rigs.write_panoptic(folder, [cameras[0], dataclasses.replace(cameras[1], cam_from_world=pose)])


def one_clip(folder, cameras):
    (folder / "cam02.mp4").unlink()


def clip_too_many(folder, cameras):
    calibrated(folder, cameras)
    shutil.copy(folder / "cam01.mp4", folder / "cam09.mp4")


def camera_too_many(folder, cameras):
    calibrated(folder, [*cameras, rigs.camera("cam03", 80, lens=rigs.LENS)])


def of_another_shape(folder, cameras):
    calibrated(folder, [dataclasses.replace(camera, size=(240, 320)) for camera in cameras])


def aist_without_mapping(folder, cameras):
    for i in (1, 2):
        (folder / f"cam0{i}.mp4").rename(folder / f"gBR_sBM_c0{i}_d04_mBR0_ch01.mp4")


def empty_clip(folder, cameras):
    calibrated(folder, cameras)
    for name in ("cam01.mp4", "cam02.mp4"):
        (folder / name).write_bytes(b"")


FAULTS = {
    "singular": (singular, "the camera matrix is singular"),
    "mirrored": (mirrored, "the matrix R is no rotation"),
    "one clip": (one_clip, "a capture has at least two"),
    "clip too many": (clip_too_many, "clip cam09 has no camera in Calib_scene.toml"),
    "camera too many": (camera_too_many, "camera cam03 has no video in"),
    "of another shape": (of_another_shape, "calibrated at 240 x 320, filmed at 320 x 240"),
    "AIST without its cameras": (aist_without_mapping, "mapping.txt: is missing; it comes with"),
    "empty clip": (empty_clip, "the file is empty"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_bad_capture_is_one_line_and_exit_code_2(scene, tmp_path, fault):
    folder, cameras, _ = scene
    spoil, message = FAULTS[fault]
    spoil(folder, cameras)
    result = mkpairs(folder, "--out", tmp_path / "pairs", "--detector", "full")
    one_line_error(result, message)


def test_where_nothing_could_be_paired_the_reason_and_a_way_out_are_told(scene, tmp_path):
    folder, cameras, boxes = scene
    calibrated(folder, cameras)
    words = ("--detector", f"boxes:{boxes}", "--set", "capture.max_angle=15")
    result = mkpairs(folder, "--out", tmp_path / "pairs", *words)
    assert result.exit_code == 1
    assert "cameras rotated by less than min_angle or more than max_angle" in result.stderr
    assert "--set capture.max_angle=120" in result.stderr


def test_doctor_looks_over_a_capture_and_draws_its_plan(scene, tmp_path):
    folder, cameras, _ = scene
    calibrated(folder, cameras)
    result = CliRunner().invoke(app, ["doctor", str(folder), "--plan", str(tmp_path / "plan.svg"), "--json"])
    found = json.loads(result.stdout)["path"]
    assert found["kind"] == "captures"
    assert [entry["camera"] for entry in found["entries"]] == ["cam01", "cam02"]
    assert [pair["cameras"] for pair in found["captures"][0]["pairs"]] == [["cam01", "cam02"]]
    assert found["plans"] == [str(tmp_path / "plan.svg")]
    assert (tmp_path / "plan.svg").is_file()
    assert result.exit_code == (1 if json.loads(result.stdout)["problems"] else 0)


def test_doctor_tells_what_is_wrong_with_a_capture(scene):
    folder, cameras, _ = scene
    calibrated(folder, cameras)
    shutil.copy(folder / "cam01.mp4", folder / "cam02.mp4")
    result = CliRunner().invoke(app, ["doctor", str(folder)])
    assert result.exit_code == 1
    assert "cameras cam01 and cam02: have the same clip" in " ".join(result.stdout.split())


def test_doctor_refuses_a_capture_that_does_not_fit_its_calibration(scene):
    folder, cameras, _ = scene
    clip_too_many(folder, cameras)
    result = CliRunner().invoke(app, ["doctor", str(folder)])
    assert result.exit_code == 2
    assert "clip cam09 has no camera" in " ".join(result.stderr.split())
