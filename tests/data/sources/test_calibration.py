"""Calibration files of every layout: known cameras come back, real ones give known answers, faults are told plainly."""

import json

import cv2
import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.io import loadmat

from humanpt.data.sources.calibration import read_calibration
from humanpt.errors import InputError
from tests import rigs

POSE2SIM_ANSWERS = {  # what Pose2Sim's own converter wrote for the same file (its Calib_qualisys.toml)
    "cam01": ((1.68827548, 1.04832205, -0.41955852), (0.32110489, 0.95633206, 2.89071305)),
    "cam02": ((1.34975875, 1.59638091, -1.19832858), (-0.11152829, 0.77661848, 3.06755196)),
    "cam03": ((0.81096549, -2.19721293, 1.37602778), (-0.79348039, 0.32283594, 4.35351487)),
    "cam04": ((1.40455717, -1.38874127, 0.42535743), (0.50302172, 0.04894934, 4.40656446)),
}


def project(camera, points):
    """(N, 2) straight pixels of world points, and their depths."""
    seen = np.column_stack([points, np.ones(len(points))]) @ camera.projection.T
    return seen[:, :2] / seen[:, 2:], seen[:, 2]


@pytest.mark.parametrize("form", rigs.WRITERS)
def test_cameras_written_in_each_layout_come_back(tmp_path, form):
    cameras = rigs.rig(lens=() if form == "InterHand2.6M" else rigs.LENS)
    calibration = read_calibration(rigs.WRITERS[form](tmp_path, cameras))
    assert calibration.form in form
    assert len(calibration.cameras) == len(cameras)
    for camera, read in zip(cameras, calibration.cameras.values(), strict=True):
        assert_allclose(read.intrinsics, camera.intrinsics, atol=1e-4)
        assert_allclose(read.cam_from_world, camera.cam_from_world, atol=1e-6)
        lens = camera.distortion
        assert_allclose(np.pad(read.distortion, (0, 14))[: len(lens)], lens, atol=1e-9)
        assert not np.pad(read.distortion, (0, 14))[len(lens) :].any()
        assert read.size in (camera.size, None)
        assert (read.size is None) == (form in ("InterHand2.6M", "Shelf or Campus", "EasyMocap"))


def test_a_stereo_pair_has_its_first_camera_as_the_world(tmp_path):
    first, second = rigs.rig((0, 30))
    relative = second.cam_from_world @ np.linalg.inv(first.cam_from_world)
    for name, entries in (
        (
            "intrinsics",
            {"M1": first.intrinsics, "D1": first.distortion, "M2": second.intrinsics, "D2": first.distortion},
        ),
        ("extrinsics", {"R": relative[:3, :3], "T": relative[:3, 3:]}),
    ):
        storage = cv2.FileStorage(str(tmp_path / f"{name}.yml"), cv2.FILE_STORAGE_WRITE)
        for key, value in entries.items():
            storage.write(key, value)
        storage.release()
    cameras = read_calibration(tmp_path).cameras
    assert_allclose(cameras["1"].cam_from_world, np.eye(4))
    assert_allclose(cameras["2"].cam_from_world, relative, atol=1e-9)


def test_fisheye_cameras_of_colmap_are_told_apart(tmp_path):
    rigs.write_colmap(tmp_path, rigs.rig())
    lens = "OPENCV_FISHEYE 320 240 300 303 157.5 122.5 0.01 0.002 -0.003 0.001"
    (tmp_path / "cameras.txt").write_text("\n".join(f"{i} {lens}" for i in (1, 2, 3)))
    camera = read_calibration(tmp_path).cameras["cam01"]
    assert camera.fisheye
    assert_allclose(camera.distortion, (0.01, 0.002, -0.003, 0.001))
    inside = np.array([[20.0, 30.0], [300.0, 200.0]])
    assert_allclose(camera.undistort(camera.distort(inside)), inside, atol=1e-3)


def test_pose2sims_converter_and_ours_agree_on_a_real_qualisys_file():
    folder = rigs.EXAMPLES / "pose2sim_single"
    cameras = read_calibration(folder).cameras
    for name, (rotation, translation) in POSE2SIM_ANSWERS.items():
        assert_allclose(rigs.turn(cameras[name]), rotation, atol=1e-6)
        assert_allclose(cameras[name].cam_from_world[:3, 3], translation, atol=1e-6)
    assert cameras["cam01"].size == (1088, 1920)
    assert_allclose(cameras["cam01"].intrinsics[0], (1681.244873, 0, 532.973694), atol=1e-5)


def test_real_panoptic_skeletons_stand_in_the_middle_of_the_dome(samples):
    folder = samples / "panoptic" / "160906_band1"
    cameras = read_calibration(folder).cameras
    assert len(cameras) == 520
    frame = json.loads((folder / "hdPose3d_stage1_coco19" / "body3DScene_00000168.json").read_text())
    joints = np.array([np.reshape(body["joints19"], (19, 4)) for body in frame["bodies"]])
    points = joints[joints[..., 3] > 0.3][:, :3] / 100  # centimetres
    seen = 0
    for name, camera in cameras.items():
        if name.startswith("00_"):
            pixels, depth = project(camera, points)
            assert ((depth > 0.5) & (depth < 6)).all()
            seen += ((pixels > 0) & (pixels < camera.size)).all(axis=1).sum()
    assert seen > 0.7 * 31 * len(points)  # each of 31 HD cameras sees most of the band


def test_real_interhand_joints_fall_into_their_boxes(samples):
    folder = samples / "interhand26m"
    data = json.loads((folder / "test_interhand2.6m_data.json").read_text())
    joints = json.loads((folder / "test_interhand2.6m_joint_3d.json").read_text())
    for image, annotation in zip(data["images"], data["annotations"], strict=True):
        capture = str(image["capture"])
        calibration = read_calibration(folder / "test_interhand2.6m_camera.json", capture=capture)
        camera = calibration.cameras[image["camera"]]
        entry = joints[capture][str(image["frame_idx"])]
        valid = np.array(entry["joint_valid"]).ravel() > 0
        pixels, depth = project(camera, np.array(entry["world_coord"])[valid] / 1000)  # millimetres
        x, y, w, h = annotation["bbox"]
        assert (depth > 0).all()
        assert (pixels > (x - 0.1 * w, y - 0.1 * h)).all()
        assert (pixels < (x + 1.1 * w, y + 1.1 * h)).all()


def test_shelfs_truth_in_space_is_where_its_truth_in_the_pictures_is(samples):
    truth = loadmat(samples / "shelf" / "actorsGT.mat")
    cameras = list(read_calibration(samples / "shelf" / "calibration_shelf.json").cameras.values())
    errors = []
    for actor in range(4):
        for frame in range(3):
            points = truth["actor3D"][0, actor][frame, 0]
            if points.shape != (14, 3):
                continue  # not there
            for number, camera in enumerate(cameras):
                told = truth["actor2D"][0, actor][frame, 0][0, number]
                if told.shape == (14, 2):
                    errors += np.linalg.norm(project(camera, points)[0] - told, axis=1).tolist()
    assert len(errors) > 200
    assert np.median(errors) < 1


def test_generated_key_points_fall_into_their_boxes(samples):
    folder = samples / "synthetic" / "walk2cam"
    truth = json.loads((folder / "gt.json").read_text())
    cameras = list(read_calibration(folder).cameras.values())
    key = next(name for name in truth if "key" in name and np.ndim(truth[name]) == 3)
    for i, camera in enumerate(cameras):
        for frame in range(0, truth["frames"], 12):
            pixels, _ = project(camera, np.array(truth[key][frame]))
            x0, y0, x1, y1 = truth["boxes"][i][frame]
            assert (pixels >= (x0 - 2, y0 - 2)).all()
            assert (pixels <= (x1 + 2, y1 + 2)).all()


@pytest.mark.parametrize("form", ["OpenCV YAML", "Pose2Sim", "COLMAP"])
def test_millimetres_where_metres_are_meant_are_refused_and_mended_by_the_unit(tmp_path, form):
    cameras = rigs.rig(distance=4000.0, height=-1200.0)
    path = rigs.WRITERS[form](tmp_path, cameras)
    with pytest.raises(InputError, match=r"metres apart.*--set capture\.unit=mm"):
        read_calibration(path)
    read = read_calibration(path, "mm").cameras["1" if form == "caliscope" else "cam01"]
    assert_allclose(read.centre, cameras[0].centre / 1000, atol=1e-6)


def test_a_unit_that_the_user_names_overrules_the_formats_own(tmp_path):
    path = rigs.write_panoptic(tmp_path, rigs.rig())  # centimetres by its documentation
    assert_allclose(
        read_calibration(path, "mm").cameras["cam01"].centre, read_calibration(path).cameras["cam01"].centre / 10
    )


def edited(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    return path


def singular(folder):
    camera = rigs.camera("cam01", 0)
    camera.intrinsics[0, 0] = 0
    return rigs.write_pose2sim(folder, [camera, rigs.camera("cam02", 30)])


def mirrored(folder):
    camera = rigs.camera("cam01", 0)
    camera.cam_from_world[0, :3] *= -1
    return rigs.write_panoptic(folder, [camera])


def sheared(folder):
    camera = rigs.camera("cam01", 0)
    camera.cam_from_world[0, :3] *= 1.2
    return rigs.write_panoptic(folder, [camera])


def without(key):
    def write(folder):
        path = rigs.write_panoptic(folder, rigs.rig())
        document = json.loads(path.read_text())
        del document["cameras"][1][key]
        path.write_text(json.dumps(document))
        return path

    return write


def made(name, text):
    def write(folder):
        (folder / name).write_text(text)
        return folder / name

    return write


FAULTS = {
    "singular matrix": (singular, r"\[cam01\]: the camera matrix is singular"),
    "mirror": (mirrored, "camera cam01: the matrix R is no rotation .it mirrors"),
    "no rotation": (sheared, "camera cam01: the matrix R is no rotation .rows off"),
    "half a camera": (without("distCoef"), "camera cam02: has no distCoef"),
    "no such file": (lambda folder: folder / "calib.toml", "no such calibration"),
    "another kind": (made("calib.csv", "1,2"), "calibrations are read from"),
    "damaged TOML": (made("calib.toml", "[cam_1\n"), "is not TOML"),
    "empty TOML": (made("calib.toml", "[metadata]\nerror = 0\n"), "no camera in it"),
    "damaged JSON": (made("calib.json", '{"cameras": ['), "is not JSON"),
    "JSON of something else": (made("calib.json", '{"boxes": [1, 2]}'), "has no camera_matrix"),
    "damaged YAML": (made("calib.yml", "%YAML:1.0\nK: [1, 2\n  : :"), "OpenCV cannot read it|has no camera_matrix"),
    "YAML of something else": (made("calib.yml", "%YAML:1.0\n---\nspeed: 3\n"), "has no camera_matrix"),
    "damaged XML": (made("Calib.qca.txt", "<calibration><camera"), "no Qualisys calibration"),
    "not finite": (
        lambda folder: edited(rigs.write_pose2sim(folder, rigs.rig()), "distortions = [-0.12", "distortions = [nan"),
        "must be finite numbers",
    ),
    "an unknown model": (
        lambda folder: edited(rigs.write_colmap(folder, rigs.rig()) / "cameras.txt", "FULL_OPENCV", "FOV").parent,
        "cameras.txt, line 2: the camera model FOV is not read",
    ),
    "a file of the pair missing": (
        lambda folder: (rigs.write_colmap(folder, rigs.rig()) / "images.txt").rename(folder / "x").parent,
        "images.txt: is missing",
    ),
    "a quaternion of no length": (
        lambda folder: edited(rigs.write_colmap(folder, rigs.rig()) / "images.txt", "\n1 ", "\n1 3").parent,
        "the quaternion has length",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_wrong_with_a_calibration_is_told_in_one_line(tmp_path, fault):
    write, message = FAULTS[fault]
    path = write(tmp_path)
    with pytest.raises(InputError, match=message) as error:
        read_calibration(path)
    assert "\n" not in str(error.value)
    assert str(tmp_path) in str(error.value)


def test_a_capture_that_the_file_does_not_have_is_named(tmp_path):
    path = rigs.write_interhand(tmp_path, rigs.rig(lens=()))
    with pytest.raises(InputError, match="has the captures 0, not 7"):
        read_calibration(path, capture="7")


def test_frames_of_another_size_scale_the_matrix_or_are_refused():
    camera = rigs.camera("cam01", 0)
    half, note = camera.fitted(160, 120)
    assert "matrix scaled" in note
    points = np.random.default_rng(0).uniform(-0.5, 0.5, (20, 3))
    assert_allclose(project(half, points)[0], (project(camera, points)[0] + 0.5) / 2 - 0.5)
    cut, note = camera.fitted(312, 240)
    assert "cut" in note
    assert_allclose(cut.intrinsics, camera.intrinsics)
    with pytest.raises(InputError, match=r"calibrated at 320 x 240, filmed at 240 x 320 \(turned by a quarter\?\)"):
        camera.fitted(240, 320)


def test_a_lens_is_taken_out_and_put_back():
    camera = rigs.camera("cam01", 0, lens=rigs.LENS)
    pixels = np.random.default_rng(0).uniform((0, 0), rigs.SIZE, (50, 2))
    assert_allclose(camera.distort(camera.undistort(pixels)), pixels, atol=1e-5)
    assert np.abs(camera.undistort(pixels) - pixels).max() > 1


def test_beyond_where_the_lens_model_folds_back_nothing_is_seen():
    camera = rigs.camera("cam01", 0, lens=(-0.4, 0.0, 0.0, 0.0))
    near, far = camera.distort([[160.0, 120.0], [2000.0, 120.0]])
    assert np.isfinite(near).all()
    assert np.isnan(far).all()
