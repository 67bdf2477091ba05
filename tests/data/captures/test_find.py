"""Finding captures: which clips belong together, which camera each is, and what is refused."""

import json

import numpy as np
import pytest

from humanpt.data.captures.find import find_captures
from humanpt.data.captures.rules import CaptureRules
from humanpt.data.captures.views import match_names
from humanpt.errors import ConfigError, InputError
from tests import rigs

SKIP = CaptureRules(strays="skip")


def clips(folder, names):
    """Empty files that are named like clips; nobody opens them while captures are looked for."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def names(capture):
    return [view.name for view in capture.views]


@pytest.mark.parametrize(
    ("of_clips", "of_cameras", "answer"),
    [
        (["cam01", "cam02"], ["cam01", "cam02"], ["cam01", "cam02"]),
        (["Cam_1", "cam2"], ["cam02", "cam01"], ["cam01", "cam02"]),
        (["cam01", "cam02"], ["int_cam02_img", "int_cam01_img"], ["int_cam01_img", "int_cam02_img"]),
        (["hd_00_03", "hd_00_10"], ["00_03", "00_10", "01_03"], ["00_03", "00_10"]),
        (["gBR_sBM_c02_d04_mBR0_ch01"], ["c01", "c02", "c04"], ["c02"]),
        (["port_0", "port_1"], ["0", "1"], ["0", "1"]),
        (["video 3", "video 1"], ["view1", "view3"], ["view3", "view1"]),
    ],
)
def test_clips_find_their_cameras_by_name(of_clips, of_cameras, answer):
    assert [match_names(of_clips, of_cameras).get(clip) for clip in of_clips] == answer


def test_a_name_that_could_be_two_cameras_is_none():
    assert match_names(["take 1 cam 2", "cam 3"], ["1", "2", "3"]) == {"take 1 cam 2": "2", "cam 3": "3"}
    assert match_names(["front", "back"], ["left", "right"]) == {}


def test_the_shipped_capture_is_found_with_its_cameras():
    (capture,) = find_captures([rigs.EXAMPLES / "pose2sim_single"])
    assert capture.name == "pose2sim_single"
    assert names(capture) == ["cam01", "cam02", "cam03", "cam04"]
    assert capture.calibrated
    assert capture.calibration == "Qualisys (Calib.qca.txt)"
    assert capture.views[0].clip.name == "videos/cam01.mp4"


def test_without_a_calibration_the_clips_of_one_folder_are_a_capture(tmp_path):
    clips(tmp_path, ["a/left.mp4", "a/right.mp4", "b/videos/1.mp4", "b/videos/2.mp4", "b/videos/10.mp4"])
    first, second = find_captures([tmp_path])
    assert (first.name, names(first), first.calibrated) == ("a", ["left", "right"], False)
    assert (second.name, names(second)) == ("b/videos", ["1", "2", "10"])


def test_recordings_may_share_a_calibration_and_boards_are_passed_over(tmp_path):
    places = ["walk/cam_1.mp4", "walk/cam_2.mp4", "jump/cam_1.mp4", "jump/cam_2.mp4"]
    clips(tmp_path, [*(f"recordings/{place}" for place in places), "calibration/extrinsic/cam_1.mp4"])
    (tmp_path / "calibration/extrinsic/capture_volume").mkdir()
    rigs.write_caliscope(tmp_path / "calibration/extrinsic/capture_volume", rigs.rig((0, 40)))
    captures = find_captures([tmp_path])
    assert [capture.name for capture in captures] == ["recordings/jump", "recordings/walk"]
    assert all(names(capture) == ["1", "2"] and capture.calibrated for capture in captures)


def test_cameras_may_have_a_folder_each(tmp_path):
    clips(tmp_path, ["cam01/video.mp4", "cam02/video.mp4"])
    rigs.write_pose2sim(tmp_path, rigs.rig((0, 40)))
    (capture,) = find_captures([tmp_path])
    assert names(capture) == ["cam01", "cam02"]


def test_a_clip_without_a_camera_is_refused_or_left_out(tmp_path):
    clips(tmp_path, ["cam01.mp4", "cam02.mp4", "cam07.mp4"])
    rigs.write_pose2sim(tmp_path, rigs.rig((0, 40)))
    with pytest.raises(InputError, match=r"clip cam07 has no camera in Calib_scene.toml \(cam01, cam02\).*strays=skip"):
        find_captures([tmp_path])
    (capture,) = find_captures([tmp_path], SKIP)
    assert names(capture) == ["cam01", "cam02"]
    assert capture.notes == ("left out, no camera in Calib_scene.toml: cam07",)


def test_a_camera_without_a_clip_is_refused_or_noted_but_nobody_misses_a_studios(tmp_path):
    clips(tmp_path, ["cam01.mp4", "cam02.mp4"])
    path = rigs.write_pose2sim(tmp_path, rigs.rig((0, 40, 80)))
    with pytest.raises(InputError, match=r"camera cam03 has no video in .*strays=skip"):
        find_captures([tmp_path])
    (capture,) = find_captures([tmp_path], SKIP)
    assert capture.notes == ("calibrated, but without video: cam03",)
    path.unlink()
    rigs.write_panoptic(tmp_path, rigs.rig((0, 40, 80)))
    assert find_captures([tmp_path])[0].notes == ()


def test_clips_and_cameras_that_share_no_names_are_refused(tmp_path):
    clips(tmp_path, ["left.mp4", "right.mp4"])
    rigs.write_pose2sim(tmp_path, rigs.rig((0, 40)))
    with pytest.raises(
        InputError, match=r"cameras \(cam01, cam02\) and the clips \(left, right\) share fewer than two"
    ):
        find_captures([tmp_path])


def test_fewer_than_two_views_are_no_capture(tmp_path):
    clips(tmp_path, ["cam01.mp4"])
    with pytest.raises(InputError, match="1 clip and no two in one folder"):
        find_captures([tmp_path])
    rigs.write_pose2sim(tmp_path, rigs.rig((0, 40)))
    with pytest.raises(InputError, match="has one clip"):
        find_captures([tmp_path])
    with pytest.raises(InputError, match="is a file; a capture is a folder"):
        find_captures([tmp_path / "cam01.mp4"])
    with pytest.raises(InputError, match="no such folder"):
        find_captures([tmp_path / "nowhere"])


def test_a_calibration_may_lie_elsewhere(tmp_path):
    clips(tmp_path, ["scene/cam01.mp4", "scene/cam02.mp4"])
    path = rigs.write_pose2sim(tmp_path, rigs.rig((0, 40)))
    (capture,) = find_captures([tmp_path / "scene"], CaptureRules(calibration=str(path)))
    assert capture.calibrated


def test_of_too_many_cameras_those_far_apart_are_taken(tmp_path):
    clips(tmp_path, [f"cam{i:02d}.mp4" for i in range(1, 9)])
    rules = CaptureRules(max_cameras=3)
    assert names(find_captures([tmp_path], rules)[0]) == ["cam01", "cam05", "cam08"]
    degrees = (0, 1, 2, 90, 91, 180, 181, 182)
    rigs.write_pose2sim(tmp_path, rigs.rig(degrees))
    (capture,) = find_captures([tmp_path], rules)
    assert names(capture)[0] == "cam01"
    assert names(capture)[1] in ("cam04", "cam05")
    assert names(capture)[2] in ("cam06", "cam07", "cam08")
    assert capture.notes == ("3 of 8 cameras taken, far apart; capture.max_cameras takes more",)


def aist(root, mapping="gBR_sBM_cAll_d04_mBR0_ch01 setting2\n"):
    clips(root, [f"videos/gBR_sBM_c0{i}_d04_mBR0_ch01.mp4" for i in (1, 2, 9)])
    clips(root, ["videos/gBR_sBM_c01_d04_mBR0_ch02.mp4"])  # a sequence of one camera
    (root / "cameras").mkdir()
    cameras = [rigs.camera(f"c0{i}", 20 * i) for i in range(1, 10)]
    rigs.write_aist(root / "cameras", cameras, "setting2")
    if mapping:
        (root / "cameras" / "mapping.txt").write_text(mapping)


def test_aist_sequences_take_the_setting_that_the_mapping_names(tmp_path):
    aist(tmp_path)
    (capture,) = find_captures([tmp_path])
    assert capture.name == "gBR_sBM_cAll_d04_mBR0_ch01"
    assert names(capture) == ["c01", "c02", "c09"]
    np.testing.assert_allclose(capture.views[1].camera.centre, rigs.camera("c02", 40).centre, atol=1e-6)


def test_a_missing_part_of_aist_is_named_with_where_it_comes_from(tmp_path):
    aist(tmp_path / "a", mapping=None)
    with pytest.raises(InputError, match=r"cameras/mapping.txt: is missing; .*aistplusplus_dataset"):
        find_captures([tmp_path / "a"])
    aist(tmp_path / "b", mapping="gBR_sBM_cAll_d04_mBR0_ch01 setting7\n")
    with pytest.raises(InputError, match=r"cameras/setting7.json: is missing"):
        find_captures([tmp_path / "b"])


def interhand(root, split="train"):
    for camera in ("cam400002", "cam400004"):
        places = [f"images/{split}/Capture3/ROM01/{camera}/image{n}.jpg" for n in (1200, 1206, 1212)]
        clips(root, places if camera.endswith("2") else places[1:])


def test_interhand_sequences_take_their_captures_cameras_and_match_frames_by_number(tmp_path):
    interhand(tmp_path)
    with pytest.raises(InputError, match=r"annotations/train/InterHand2.6M_train_camera.json: is missing"):
        find_captures([tmp_path])
    (tmp_path / "annotations" / "train").mkdir(parents=True)
    cameras = [rigs.camera("400002", 0), rigs.camera("400004", 30), rigs.camera("400009", 60)]
    rigs.write_interhand(tmp_path / "annotations" / "train", cameras, capture="3")
    (capture,) = find_captures([tmp_path])
    assert (capture.name, names(capture)) == ("Capture3/ROM01", ["400002", "400004"])
    first, second = (view.times for view in capture.views)
    np.testing.assert_allclose(first * 25, [0, 6, 12])
    np.testing.assert_allclose(second * 25, [6, 12])


def test_what_hands_are_evaluated_on_is_refused(tmp_path):
    interhand(tmp_path, "test")
    with pytest.raises(InputError, match=r"is what InterHand2\.6M is evaluated on"):
        find_captures([tmp_path])


def test_a_panoptic_root_without_its_calibration_says_where_to_get_it(tmp_path):
    clips(tmp_path / "scene1", ["hdVideos/hd_00_00.mp4", "hdVideos/hd_00_01.mp4"])
    with pytest.raises(InputError, match=r"calibration_scene1.json: is missing; .*getData.sh"):
        find_captures([tmp_path / "scene1"])


def test_times_of_frames_may_come_with_the_clips(tmp_path):
    clips(tmp_path, ["cam_0.mp4", "cam_1.mp4"])
    stamps = tmp_path / "timestamps.csv"
    stamps.write_text("cam_id,frame_time\n0,100.5\n1,100.25\n0,100.6\n1,100.35\n1,100.45\n")
    (capture,) = find_captures([tmp_path])
    assert capture.timed
    np.testing.assert_allclose(capture.views[0].times, [0.25, 0.35])
    np.testing.assert_allclose(capture.views[1].times, [0, 0.1, 0.2])
    stamps.write_text("cam_id,frame_time\n0,100.5\n")
    with pytest.raises(InputError, match=r"timestamps.csv: has nothing about cam_1 \(its cameras are 0\)"):
        find_captures([tmp_path])
    stamps.write_text("cam_id,frame_time\n0,soon\n")
    with pytest.raises(InputError, match=r"timestamps.csv, line 2: is not a camera and a time"):
        find_captures([tmp_path])
    stamps.write_text("time\n3\n")
    with pytest.raises(InputError, match="its columns must be cam_id and frame_time"):
        find_captures([tmp_path])


def test_pictures_without_numbers_have_no_times(tmp_path):
    clips(tmp_path, ["left/a.jpg", "left/b.jpg", "right/a.jpg", "right/b.jpg"])
    assert not find_captures([tmp_path])[0].timed


@pytest.mark.parametrize(
    "wrong",
    [
        {"min_angle": 80.0},
        {"max_skew": 0.0},
        {"per_instant": 0},
        {"max_cameras": 1},
        {"min_confidence": 2.0},
        {"min_offset": -1.0},
    ],
)
def test_rules_that_cannot_be_are_refused(wrong):
    with pytest.raises(ConfigError, match="capture"):
        CaptureRules(**wrong)


def test_a_capture_travels_to_a_worker(tmp_path):
    import pickle

    (capture,) = find_captures([rigs.EXAMPLES / "pose2sim_single"])
    assert names(pickle.loads(pickle.dumps(capture))) == names(capture)
    assert json.dumps(capture.notes) == "[]"
