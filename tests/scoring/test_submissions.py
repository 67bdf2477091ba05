"""Files for the benchmarks' servers: what is in them, in whose axes and order, and what is never handed in."""

import json
import pickle
import zipfile

import numpy as np
import pytest

from humanpt.body.skeletons import BODY_23, HAND_21, SMPL_24
from humanpt.errors import InputError
from humanpt.scoring.predictions import PredictionBatch, PredictionLayout, Predictions, write_predictions
from humanpt.scoring.submissions import sequence_frames, write_submission

HAND = PredictionLayout(subject="hand", keypoint_names=HAND_21[::-1], model="mano")
BODY_NAMES = (*BODY_23, *(name for name in SMPL_24 if name not in BODY_23))
BODY = PredictionLayout(subject="body", keypoint_names=BODY_NAMES, model="smpl")


def written(path, layout, names, size=0.1, vertices=None, **parts):
    rng = np.random.default_rng(0)
    place = np.array([0.0, 0.0, 3.0], np.float32)
    count = len(names)
    batch = PredictionBatch(
        names=tuple(names),
        keypoints=(size * rng.random((count, len(layout.keypoint_names), 3)) + place).astype(np.float32),
        vertices=None if vertices is None else (size * rng.random((count, vertices, 3)) + place).astype(np.float32),
        **parts,
    )
    with write_predictions(path, layout) as writer:
        writer.add(batch)
    return Predictions(path), batch


def hand_file(tmp_path, benchmark, **options):
    predictions, batch = written(tmp_path / "p.h5", HAND, ("a", "b", "c"), **({"vertices": 778} | options))
    write_submission(benchmark, predictions, tmp_path / "pred.zip")
    keypoints, vertices = json.loads(zipfile.ZipFile(tmp_path / "pred.zip").read("pred.json"))
    return np.array(keypoints), np.array(vertices), batch


def test_freihand_takes_the_wrist_and_fingers_from_base_to_tip_as_they_are(tmp_path):
    keypoints, vertices, batch = hand_file(tmp_path, "freihand")
    np.testing.assert_allclose(keypoints, batch.keypoints[:, ::-1], atol=1e-6)
    np.testing.assert_allclose(vertices, batch.vertices, atol=1e-6)


def test_ho3d_takes_manos_order_then_the_tips_with_the_hand_along_negative_z(tmp_path):
    keypoints, vertices, batch = hand_file(tmp_path, "ho3d-v3")
    flipped = batch.keypoints * [1, -1, -1]
    at = {name: flipped[:, place] for place, name in enumerate(HAND.keypoint_names)}
    for place, name in ((0, "wrist"), (1, "index1"), (4, "middle1"), (7, "little1"), (10, "ring1"), (15, "thumb3")):
        np.testing.assert_allclose(keypoints[:, place], at[name], atol=1e-6)
    for place, finger in enumerate(("thumb", "index", "middle", "ring", "little")):
        np.testing.assert_allclose(keypoints[:, 16 + place], at[f"{finger}_tip"], atol=1e-6)
    assert (vertices[..., 2] < 0).all()


def test_what_the_server_would_refuse_is_not_written(tmp_path):
    for options, message in (
        ({"size": 100.0}, "not in metres"),
        ({"vertices": None}, "has no vertices, which the server wants"),
        ({"vertices": 779}, "vertices are"),
    ):
        with pytest.raises(InputError, match=message):
            hand_file(tmp_path, "freihand", **options)
        assert not (tmp_path / "pred.zip").exists()


def test_3dpw_takes_a_file_of_each_sequence_with_zeros_where_frames_do_not_count(tmp_path):
    folder = tmp_path / "set" / "sequenceFiles" / "test"
    folder.mkdir(parents=True)
    for name, people, frames in (("walk_00", 2, 6), ("sit_01", 1, 4)):
        (folder / f"{name}.pkl").write_bytes(pickle.dumps({"poses": [np.zeros((frames, 72))] * people}, protocol=2))
    frames = sequence_frames(tmp_path / "set", "test")
    assert frames == {"walk_00": 6, "sit_01": 4}
    names = ("walk_00/00002/0", "walk_00/00005/0", "walk_00/00002/1", "sit_01/00000/0")
    predictions, batch = written(tmp_path / "p.h5", BODY, names)
    write_submission("3dpw", predictions, tmp_path / "out.zip", split="test", frames=frames)
    with zipfile.ZipFile(tmp_path / "out.zip") as bundle:
        assert sorted(bundle.namelist()) == ["test/sit_01.pkl", "test/walk_00.pkl"]
        walk = pickle.loads(bundle.read("test/walk_00.pkl"))
    assert set(walk) == {"jointPositions"}
    joints = walk["jointPositions"]
    assert joints.shape == (2, 6, 24, 3)
    knee = BODY_NAMES.index("left_knee")
    np.testing.assert_array_equal(joints[0, 5, SMPL_24.index("left_knee")], batch.keypoints[1, knee])
    np.testing.assert_array_equal(joints[1, 2, SMPL_24.index("left_knee")], batch.keypoints[2, knee])
    assert not joints[0, [0, 1, 3, 4]].any()
    with pytest.raises(InputError, match="nothing is predicted of run_02"):
        write_submission("3dpw", predictions, tmp_path / "out.zip", split="test", frames=frames | {"run_02": 3})


def test_agora_takes_a_file_of_each_person_with_pixels_of_the_large_picture(tmp_path):
    pixels = np.random.default_rng(0).random((3, len(BODY_NAMES), 2), np.float32) * 700
    names = ("part/street_001.png/0", "part/street_001.png/1", "part/park_002.png/2")
    predictions, batch = written(tmp_path / "p.h5", BODY, names, vertices=6890, pixels=pixels)
    write_submission("agora", predictions, tmp_path / "out.zip")
    with zipfile.ZipFile(tmp_path / "out.zip") as bundle:
        files = {name.removeprefix("predictions/") for name in bundle.namelist()}
        assert files == {"street_001_personId_0.pkl", "street_001_personId_1.pkl", "park_002_personId_0.pkl"}
        person = pickle.loads(bundle.read("predictions/street_001_personId_1.pkl"))
    wrist = BODY_NAMES.index("left_wrist")
    np.testing.assert_allclose(person["joints"][SMPL_24.index("left_wrist")], 3 * pixels[1, wrist])
    np.testing.assert_array_equal(person["allSmplJoints3d"][SMPL_24.index("left_wrist")], batch.keypoints[1, wrist])
    np.testing.assert_array_equal(person["verts"], batch.vertices[1])


def test_a_body_without_smpls_joints_is_told_in_one_line(tmp_path):
    layout = PredictionLayout(subject="body", keypoint_names=BODY_23, model="anny-body")
    predictions, _ = written(tmp_path / "p.h5", layout, ("a/00000/0",))
    with pytest.raises(InputError, match="the server wants pelvis, which anny-body has not"):
        write_submission("3dpw", predictions, tmp_path / "out.zip", split="test", frames={"a": 1})


def test_a_benchmark_without_a_server_is_told_in_one_line(tmp_path):
    predictions, _ = written(tmp_path / "p.h5", HAND, ("a",))
    with pytest.raises(InputError, match="generated: has no server"):
        write_submission("generated", predictions, tmp_path / "out.zip")
