"""HO3D, versions 2 and 3, written in its layout from free hands."""

import os
import pickle

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from humanpt.body.model import load_body_model
from humanpt.data.labelled import open_labelled
from humanpt.data.labelled.ho3d import JOINTS, Ho3d
from humanpt.errors import InputError
from tests.data.labelled.written_sets import drawn_hands, write_ho3d


@pytest.fixture
def hands():
    return drawn_hands(9, size=(320, 240))


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("protocol", [2, 4])
def test_labels_come_back_in_our_axes_and_order(tmp_path, hands, version, protocol):
    root = write_ho3d(tmp_path, 3, version=version, hands=hands, protocol=protocol)
    data = open_labelled(str(root), subject="hand")
    assert (len(data), data.layout.dataset, data.layout.model) == (6, f"ho3d-v{version}", None)
    for index in range(6):
        label = data.labels(index)
        assert_allclose(label.keypoints, hands[index].keypoints, atol=1e-6)
        seen = hands[index].keypoints @ hands[index].intrinsics.T
        assert_allclose(label.pixels, seen[:, :2] / seen[:, 2:], atol=1e-3)
        assert np.abs(data.picture(index).astype(int) - hands[index].picture).mean() < 6


def test_its_joints_are_manos_and_then_the_tips():
    assert JOINTS[:5] == ("wrist", "index1", "index2", "index3", "middle1")
    assert JOINTS[13:18] == ("thumb1", "thumb2", "thumb3", "thumb_tip", "index_tip")


def test_the_crop_holds_all_key_points(tmp_path, hands):
    data = Ho3d(write_ho3d(tmp_path, 3, hands=hands))
    for index in range(6):
        label = data.labels(index)
        assert (label.pixels > label.square[:2]).all()
        assert (label.pixels < label.square[2:]).all()


def test_cameras_of_one_recording_are_partners_and_its_people_are_groups(tmp_path):
    data = Ho3d(write_ho3d(tmp_path, 2, sequences=("ABF10", "ABF11", "ABF13", "MC1", "MC2")))
    assert data.partners.tolist() == [2, 3, 4, 5, 0, 1, -1, -1, -1, -1]
    assert data.groups.tolist() == [0] * 6 + [1] * 4


def test_evaluation_has_crops_alone_until_the_labels_are_there(tmp_path, hands):
    root = write_ho3d(tmp_path, 3, hands=hands, with_truth=False)
    label = Ho3d(root, "evaluation").labels(1)
    assert np.isnan(label.keypoints).all()
    write_ho3d(tmp_path, 3, hands=hands)
    data = Ho3d(root, "evaluation")
    known = data.labels(1)
    assert_allclose(known.keypoints, hands[7].keypoints, atol=1e-6)
    assert_allclose(known.vertices, hands[7].vertices, atol=1e-6)
    assert_allclose(known.square, label.square)
    assert data.layout.model == "mano"


def test_mano_parameters_put_humanpts_model_where_the_hand_is(tmp_path, mano):
    hands = drawn_hands(6, size=(320, 240), mano=True)
    data = Ho3d(write_ho3d(tmp_path, 2, hands=hands))
    model = load_body_model("mano")
    assert data.layout.model == "mano"
    for index in range(4):
        label = data.labels(index)
        mesh = model(*(torch.from_numpy(values)[None] for values in (label.shape, label.pose, label.transl)))
        assert_allclose(mesh.vertices[0], hands[index].vertices, atol=2e-5)


def test_a_pickle_that_would_run_something_is_not_opened(tmp_path, hands):
    class Runs:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "ran"),)

    root = write_ho3d(tmp_path, 3, hands=hands)
    (root / "train" / "ABF10" / "meta" / "0001.pkl").write_bytes(pickle.dumps({"camMat": Runs()}))
    with pytest.raises(InputError, match=r"0001\.pkl: names posix\.mkdir"):
        Ho3d(root).labels(1)
    assert not (tmp_path / "ran").exists()


def changed(root, **values):
    path = root / "train" / "ABF10" / "meta" / "0000.pkl"
    meta = pickle.loads(path.read_bytes())
    path.write_bytes(pickle.dumps({key: value for key, value in (meta | values).items() if value is not ...}, 2))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"handJoints3D": np.zeros((20, 3))}, r"0000\.pkl: handJoints3D are 20 x 3, must be 21 x 3"),
        ({"handJoints3D": np.full((21, 3), np.nan)}, r"0000\.pkl: 63 of 63 numbers of handJoints3D are NaN"),
        ({"handJoints3D": 100 * np.random.default_rng(0).random((21, 3))}, "in millimetres, not in metres; multiply"),
        ({"handJoints3D": 10 * np.random.default_rng(0).random((21, 3))}, "in centimetres, not in metres; multiply"),
        ({"camMat": ...}, r"0000\.pkl: has no camMat and handJoints3D"),
    ],
)
def test_faults_of_a_label_are_told_in_one_line(tmp_path, hands, values, message):
    root = write_ho3d(tmp_path, 3, hands=hands)
    changed(root, **values)
    with pytest.raises(InputError, match=message) as raised:
        Ho3d(root).labels(0)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("name", ["train.txt", "train/ABF11/rgb", "train/ABF11/meta"])
def test_a_missing_part_says_which_and_where_it_is_published(tmp_path, hands, name):
    root = write_ho3d(tmp_path, 3, hands=hands)
    (root / name).rename(root / "elsewhere")
    with pytest.raises(InputError, match=rf"{name}: no such f.*HO3D; get it from https://github\.com/shreyas"):
        Ho3d(root)


def test_a_missing_picture_is_told(tmp_path, hands):
    root = write_ho3d(tmp_path, 3, hands=hands)
    (root / "train" / "ABF10" / "rgb" / "0002.jpg").unlink()
    with pytest.raises(InputError, match=r"0002\.jpg: no such file"):
        Ho3d(root).picture(2)


def test_labels_of_another_version_are_told(tmp_path, hands):
    root = write_ho3d(tmp_path, 3, hands=hands)
    (root / "evaluation.txt").write_text("SM1/0000\n")
    with pytest.raises(InputError, match=r"evaluation_xyz\.json: has 3 samples, evaluation\.txt 1"):
        Ho3d(root, "evaluation")
