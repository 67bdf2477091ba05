"""InterHand2.6M: an excerpt of the real files, and whole sets written in its layout from free hands."""

import json

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from humanpt.body.model import load_body_model
from humanpt.data.labelled import open_labelled
from humanpt.data.labelled.interhand import InterHand
from humanpt.errors import InputError
from tests.data.labelled.written_sets import drawn_hands, write_interhand


@pytest.fixture
def excerpt(samples):
    folder = samples / "interhand26m"
    if not folder.is_dir():
        pytest.skip(f"no {folder}")
    return open_labelled(str(folder), subject="hand")


def test_an_excerpt_of_the_real_files_has_six_hands(excerpt):
    assert excerpt.layout.split == "test"
    assert [excerpt.name(k).rpartition("-")[2] for k in range(6)] == ["right", "left"] * 2 + ["left", "right"]
    assert len({excerpt.name(k) for k in range(6)}) == len(excerpt) == 6


def test_real_hands_are_hands_in_metres_before_their_camera(excerpt):
    for index in range(6):
        label = excerpt.labels(index)
        names = excerpt.layout.keypoint_names
        at = dict(zip(names, label.keypoints, strict=True))
        assert (label.keypoints[:, 2] > 0.5).all()
        for finger in ("index", "middle", "ring", "little"):
            bones = [np.linalg.norm(at[f"{finger}{a}"] - at[f"{finger}{b}"]) for a, b in (("1", "2"), ("2", "3"))]
            assert 0.07 < np.linalg.norm(at["wrist"] - at[f"{finger}1"]) < 0.12
            assert all(0.015 < bone < 0.06 for bone in bones)


def test_real_joints_fall_into_the_box_of_their_annotation(excerpt, samples):
    content = json.loads((samples / "interhand26m" / "test_interhand2.6m_data.json").read_text())
    images = {str(image["capture"]): image for image in content["images"]}
    boxes = {str(content["images"][k]["capture"]): note["bbox"] for k, note in enumerate(content["annotations"])}
    for index in range(6):
        label = excerpt.labels(index)
        capture = excerpt.name(index).partition("/")[0]
        x, y, width, height = boxes[capture]
        inside = (label.pixels > (x - 12, y - 12)) & (label.pixels < (x + width + 12, y + height + 12))
        assert inside.all()
        assert excerpt.picture(index).shape == (images[capture]["height"], images[capture]["width"], 3)


@pytest.fixture
def hands():
    return drawn_hands(6, size=(334, 512), sides=("right", "left"))


def test_labels_come_back_in_our_axes_unit_and_order(tmp_path, hands):
    data = open_labelled(f"interhand:{write_interhand(tmp_path, 3, hands=hands)}", subject="hand")
    assert len(data) == 8  # two cameras of a right hand, a left one, and both
    first = [index for index in range(8) if "/400000/" in data.name(index)]
    for index, hand in zip(first, (hands[0], hands[3], hands[4], hands[5]), strict=True):
        label = data.labels(index)
        assert label.side == hand.side
        assert_allclose(label.keypoints, hand.keypoints, atol=2e-6)
        seen = hand.keypoints @ hand.intrinsics.T
        assert_allclose(label.pixels, seen[:, :2] / seen[:, 2:], atol=1e-2)


def test_partners_are_the_same_hand_from_the_next_camera(tmp_path, hands):
    data = InterHand(write_interhand(tmp_path, 3, hands=hands, cameras=3))
    for index in range(len(data)):
        other = int(data.partners[index])
        one, two = data.labels(index), data.labels(other)
        assert other != index
        assert one.side == two.side
        shift = two.keypoints - one.keypoints
        assert_allclose(shift, np.broadcast_to(shift[0], shift.shape), atol=1e-5)
        assert np.linalg.norm(shift[0]) > 0.09
    assert (data.partners[data.partners[data.partners]] == np.arange(len(data))).all()


def test_captures_are_groups(tmp_path, hands):
    data = InterHand(write_interhand(tmp_path, 3, hands=hands))
    assert [data.labels(k).group for k in range(8)] == [f"capture {group}" for group in data.groups]
    assert set(data.groups.tolist()) == {0, 1}


def edit(root, kind, change):
    path = root / "annotations" / "train" / f"InterHand2.6M_train_{kind}.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_joints_that_are_not_valid_are_not_known_and_hands_without_a_wrist_are_left_out(tmp_path, hands):
    root = write_interhand(tmp_path, 1, hands=hands, cameras=2)

    def change(content):
        content["annotations"][0]["joint_valid"][2] = [0]  # thumb2
        content["annotations"][1]["joint_valid"][20] = [0]  # the wrist

    edit(root, "data", change)
    data = InterHand(root)
    assert (len(data), data.partners.tolist()) == (1, [-1])
    unknown = np.isnan(data.labels(0).keypoints).any(axis=1)
    assert [name for name, gone in zip(data.layout.keypoint_names, unknown, strict=True) if gone] == ["thumb2"]


def test_mano_parameters_put_humanpts_model_where_the_hand_is(tmp_path, mano):
    hands = drawn_hands(6, size=(334, 512), sides=("right", "left"), mano=True)
    mean = {"right": mano["hands_mean"], "left": mano["hands_mean"] * np.tile([1, -1, -1], 15)}
    data = InterHand(write_interhand(tmp_path, 3, hands=hands, cameras=1, mean=mean))
    assert data.layout.model == "mano"
    for index, hand in enumerate((hands[0], hands[3], hands[4], hands[5])):
        label = data.labels(index)
        model = load_body_model("mano", side=label.side)
        mesh = model(*(torch.from_numpy(values)[None] for values in (label.shape, label.pose, label.transl)))
        assert_allclose(mesh.vertices[0], hand.vertices, atol=3e-5)


@pytest.mark.parametrize(
    ("kind", "change", "message"),
    [
        ("joint_3d", lambda c: c["0"]["0"].update(world_coord=[[0.0] * 3] * 41), "are 41 x 3, must be 42 x 3"),
        ("joint_3d", lambda c: c["0"].clear(), r"frame 0: is not in InterHand2\.6M_train_joint_3d\.json"),
        (
            "joint_3d",
            lambda c: c["0"]["0"].update(world_coord=(1000 * np.array(c["0"]["0"]["world_coord"])).tolist()),
            "so its labels are in millimetres",
        ),
        ("joint_3d", lambda c: c["0"]["0"]["world_coord"].__setitem__(3, [None] * 3), "3 of 63 numbers of world_coord"),
        ("camera", lambda c: c["0"].pop("focal"), r"its camera is not in InterHand2\.6M_train_camera\.json"),
    ],
)  # fmt: skip
def test_faults_of_a_label_are_told_in_one_line(tmp_path, hands, kind, change, message):
    root = write_interhand(tmp_path, 1, hands=hands)
    edit(root, kind, change)
    with pytest.raises(InputError, match=message) as raised:
        InterHand(root).labels(0)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("name", ["images/train", "annotations/train/InterHand2.6M_train_camera.json"])
def test_a_missing_part_says_which_and_where_it_is_published(tmp_path, hands, name):
    root = write_interhand(tmp_path, 1, hands=hands)
    (root / name).rename(root / "elsewhere")
    with pytest.raises(InputError, match=rf"{name}: no such f.*InterHand2\.6M; get it from https://mks0601"):
        InterHand(root)


def test_a_file_of_another_kind_is_told(tmp_path, hands):
    root = write_interhand(tmp_path, 1, hands=hands)
    edit(root, "data", lambda content: content["images"][0].pop("capture"))
    with pytest.raises(InputError, match=r"_data\.json: lacks 'capture' somewhere, so it is no InterHand2\.6M"):
        InterHand(root)
