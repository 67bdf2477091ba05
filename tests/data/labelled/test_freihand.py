"""FreiHAND, written in its layout from free hands."""

import json
import pickle
import shutil

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from humanpt.body.model import load_body_model
from humanpt.data.image import read_image
from humanpt.data.labelled import open_labelled
from humanpt.data.labelled.freihand import SIZE, VERSIONS, FreiHand
from humanpt.errors import InputError
from tests.data.labelled.written_sets import drawn_hands, write_freihand


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    return write_freihand(tmp_path_factory.mktemp("written") / "FreiHAND", 3)


@pytest.fixture
def root(tmp_path, written):
    return shutil.copytree(written, tmp_path / "FreiHAND")


def test_labels_come_back_as_they_were_written(tmp_path):
    hands = drawn_hands(3)
    data = FreiHand(write_freihand(tmp_path, hands=hands))
    for index in range(len(data)):
        hand, label = hands[index % 3], data.labels(index)
        assert_allclose(label.keypoints, hand.keypoints, atol=1e-6)
        assert_allclose(label.vertices, hand.vertices, atol=1e-6)
        seen = hand.keypoints @ hand.intrinsics.T
        assert_allclose(label.pixels, seen[:, :2] / seen[:, 2:], atol=1e-3)
        assert (label.side, label.focal_from, label.pose) == ("right", "calibration", None)


def test_each_photograph_comes_in_four_versions_that_no_split_parts(root):
    data = open_labelled(f"freihand:{root}", subject="hand")
    assert len(data) == 12
    assert [data.name(index) for index in (0, 3, 11)] == [f"training/{n:08d}" for n in (0, 3, 11)]
    assert data.groups.tolist() == [0, 1, 2] * 4
    assert (data.partners == -1).all()
    first = [data.picture(index).astype(int) for index in range(0, 12, 3)]
    assert all(picture.shape == (224, 224, 3) for picture in first)
    assert all(np.abs(first[0] - other).mean() > 5 for other in first[1:])


@pytest.mark.parametrize(("split", "numbers"), [("gs", [0, 1, 2]), ("sample", [6, 7, 8]), ("auto", [9, 10, 11])])
def test_a_version_by_itself(root, split, numbers):
    data = open_labelled(str(root), split, subject="hand")
    assert [data.name(k) for k in range(len(data))] == [f"training/{number:08d}" for number in numbers]
    np.testing.assert_array_equal(data.picture(1), FreiHand(root).picture(numbers[1]))
    assert_allclose(data.labels(1).keypoints, FreiHand(root).labels(1).keypoints)


def test_the_evaluation_split_has_labels_of_its_own(root):
    write_freihand(root, 2, part="evaluation")
    data = open_labelled(str(root), "evaluation", subject="hand")
    assert (len(data), data.name(1), data.layout.split) == (2, "evaluation/00000001", "evaluation")
    assert np.abs(data.labels(0).keypoints - FreiHand(root).labels(0).keypoints).max() > 1e-3


def test_mano_parameters_put_humanpts_model_where_the_vertices_are(tmp_path, mano):
    hands = drawn_hands(3, mano=True)
    hands[2].rotvecs[0] += (0.1, -0.2, 0.1)  # turned as a whole, which the vertices know better
    data = FreiHand(write_freihand(tmp_path, hands=hands, mean=mano["hands_mean"]))
    model = load_body_model("mano")
    for index in range(3):
        label = data.labels(index)
        tensors = [torch.from_numpy(values)[None] for values in (label.shape, label.pose, label.transl)]
        mesh = model(*tensors)
        assert_allclose(mesh.vertices[0], hands[index].vertices, atol=2e-5)
        assert_allclose(mesh.keypoints[0], label.keypoints, atol=2e-5)


def test_a_set_may_be_pickled_and_its_tables_are_read_once(root, monkeypatch):
    data = FreiHand(root)
    label = data.labels(1)
    content = pickle.dumps(data)
    assert len(content) < 20_000
    again = pickle.loads(content)
    assert_allclose(again.labels(1).vertices, label.vertices)
    monkeypatch.setattr("humanpt.data.labelled.number_tables.read_numbers", lambda path: 1 / 0)
    FreiHand(root)


def test_a_changed_file_is_read_again(root):
    FreiHand(root)
    path = root / "training_xyz.json"
    table = np.array(json.loads(path.read_text())) + 0.125
    path.write_text(json.dumps(table.tolist()) + " ")
    assert_allclose(FreiHand(root).labels(0).keypoints, table[0], atol=1e-6)


@pytest.mark.parametrize("name", ["training_verts.json", "training_mano.json", "training/rgb"])
def test_a_missing_part_says_which_and_where_it_is_published(root, name):
    (root / name).rename(root / "elsewhere")
    with pytest.raises(InputError, match=rf"{name}: no such f.*FreiHAND.*get it from https://lmb\.informatik"):
        FreiHand(root)


def test_missing_pictures_are_counted(root):
    for number in (4, 7):
        (root / "training" / "rgb" / f"{number:08d}.jpg").unlink()
    with pytest.raises(InputError, match=r"00000004\.jpg and 1 more: missing from FreiHAND"):
        FreiHand(root)
    assert len(FreiHand(root, "gs")) == 3


def rewrite(root, name, change):
    path = root / f"training_{name}.json"
    table = json.loads(path.read_text())
    path.write_text(json.dumps(change(table)))


FAULTS = {
    "wrong count of key points": ("xyz", lambda t: [sample[:20] for sample in t], r"_xyz\.json: key points must be"),
    "one sample short of a point": ("xyz", lambda t: [t[0][:20], *t[1:]], r"_xyz\.json: key points must be 21 x 3"),
    "other counts in the same numbers": (
        "xyz",
        lambda t: np.reshape(t, (7, 9, 3)).tolist(),
        r"training_xyz\.json: key points must be 21 x 3",
    ),
    "other mesh": ("verts", lambda t: [sample[:700] for sample in t], r"vertices must be 778 x 3 for each sample"),
    "fewer samples": ("verts", lambda t: t[:2], r"training_verts\.json: has 2 samples, training_K\.json 3"),
    "no numbers": ("K", lambda t: {"K": t}, r"training_K\.json: has more than numbers in lists"),
    "none": ("K", lambda t: [], r"training_K\.json: camera matrices must be 3 x 3"),
}  # fmt: skip


@pytest.mark.parametrize(("name", "change", "message"), FAULTS.values(), ids=FAULTS.keys())
def test_faults_of_a_table_are_told_in_one_line(root, name, change, message):
    rewrite(root, name, change)
    with pytest.raises(InputError, match=message) as raised:
        FreiHand(root)
    assert "\n" not in str(raised.value)


def test_a_table_that_is_cut_short_is_told(root):
    path = root / "training_xyz.json"
    path.write_text(path.read_text()[:-1])
    with pytest.raises(InputError, match=r"training_xyz\.json: is cut short, 1 of its lists do not end"):
        FreiHand(root)


def test_millimetres_are_recognised(root):
    rewrite(root, "xyz", lambda table: (1000 * np.array(table)).tolist())
    with pytest.raises(InputError, match=r"sample 1: the hand is .* so its labels are in millimetres, not in metres"):
        FreiHand(root).labels(1)


def test_labels_that_are_not_known_are_told(root):
    rewrite(root, "verts", lambda table: [[[float("nan")] * 3, *sample[1:]] for sample in table])
    with pytest.raises(InputError, match=r"sample 2: 3 of 2334 numbers of the vertices are NaN"):
        FreiHand(root).labels(2)


def test_a_split_that_it_does_not_have_is_told(root):
    with pytest.raises(InputError, match=r"no split 'test'; take one of training, gs, hom, sample, auto, evaluation"):
        FreiHand(root, "test")


def test_real_pictures_have_its_size_and_recur_in_its_versions(samples):
    folder = samples / "freihand"
    content = json.loads((folder / "test_freihand.json").read_text())
    points = {note["image_id"]: np.array(note["keypoints"]) for note in content["annotations"]}
    photographs = {number % 32560 for number in points}
    assert len(photographs) * len(VERSIONS) == len(points) == 8
    for photograph in photographs:
        numbers = [photograph + 32560 * version for version in range(len(VERSIONS))]
        pictures = [read_image(folder / f"{number:08d}.jpg").astype(int) for number in numbers]
        assert all(picture.shape == (SIZE, SIZE, 3) for picture in pictures)
        assert all(np.array_equal(points[number], points[numbers[0]]) for number in numbers)
        assert all(np.abs(pictures[0] - other).mean() > 10 for other in pictures[1:])
