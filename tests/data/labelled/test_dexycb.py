"""DexYCB, written in its layout from free hands."""

import shutil

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from humanpt.body.model import load_body_model
from humanpt.data.labelled import open_labelled
from humanpt.data.labelled.dexycb import SERIALS, SPLITS, DexYcb
from humanpt.errors import InputError
from tests.data.labelled.written_sets import drawn_hands, write_dexycb, write_text


@pytest.fixture(scope="module")
def hands():
    right, left = (drawn_hands(2, size=(640, 480), sides=(side,)) for side in ("right", "left"))
    return right + left


@pytest.fixture(scope="module")
def written(tmp_path_factory, hands):
    return write_dexycb(tmp_path_factory.mktemp("written") / "DexYCB", 2, cameras=SERIALS, hands=hands)


@pytest.fixture
def root(tmp_path, written):
    return shutil.copytree(written, tmp_path / "DexYCB")


def test_labels_come_back_as_they_were_written_without_frames_before_the_hand(root, hands):
    data = open_labelled(f"dexycb:{root}", "all", subject="hand")
    assert len(data) == 2 * 2 * 8
    assert data.name(0) == "20200709-subject-01/20200709_141500/836212060125/000001"
    for index, hand in zip((0, 8, 16, 24), hands, strict=True):
        label = data.labels(index)
        assert label.side == hand.side
        assert_allclose(label.keypoints, hand.keypoints, atol=1e-6)
        seen = hand.keypoints @ hand.intrinsics.T
        assert_allclose(label.pixels, seen[:, :2] / seen[:, 2:], atol=1e-2)
        assert np.abs(data.picture(index).astype(int) - hand.picture).mean() < 6


def test_partners_are_the_next_camera_at_the_same_frame(root):
    data = DexYcb(root, "all")
    for index in range(len(data)):
        here, there = (data.name(k).split("/") for k in (index, int(data.partners[index])))
        assert (here[:2], here[3]) == (there[:2], there[3])
        assert SERIALS.index(there[2]) == (SERIALS.index(here[2]) + 1) % 8


def test_subjects_are_groups(tmp_path):
    names = ("20200709-subject-01", "20200813-subject-02")
    data = DexYcb(write_dexycb(tmp_path, 1, subjects=names, sequences=1, cameras=SERIALS), "all")
    assert data.groups.tolist() == [0] * 8 + [1] * 8
    assert {data.labels(k).group for k in range(16)} == set(names)


def test_mano_parameters_put_humanpts_model_where_the_hand_is(tmp_path, mano):
    hands = [*drawn_hands(1, size=(640, 480), mano=True), *drawn_hands(1, size=(640, 480), mano=True, sides=("left",))]
    mirror = np.tile([1, -1, -1], 15)
    mean, components = mano["hands_mean"], mano["hands_components"]
    space = {"right": (mean, components), "left": (mean * mirror, components * mirror)}
    data = DexYcb(write_dexycb(tmp_path, 1, cameras=SERIALS, hands=hands, space=space), "all")
    for index in range(16):
        label = data.labels(index)
        model = load_body_model("mano", side=label.side)
        mesh = model(*(torch.from_numpy(values)[None] for values in (label.shape, label.pose, label.transl)))
        expected = hands[index // 8].vertices - np.array([0.1 * (index % 8), 0, 0])
        assert_allclose(mesh.vertices[0], expected, atol=3e-5)


@pytest.mark.parametrize("setup", ["s0", "s3"])
def test_parts_of_a_setup_share_the_hundred_sequences_of_a_subject(setup):
    parts = [SPLITS[f"{setup}-{part}"] for part in ("train", "val", "test")]
    for subject in range(10):
        takes = [sum(subject in part.subjects and part.sequence(k) for part in parts) for k in range(100)]
        assert takes == [1] * 100


def test_other_setups_share_subjects_or_cameras():
    for setup, field, whole in (("s1", "subjects", 10), ("s2", "cameras", 8)):
        taken = [number for part in ("train", "val", "test") for number in getattr(SPLITS[f"{setup}-{part}"], field)]
        assert sorted(taken) == list(range(whole))


def test_a_split_that_counts_sequences_needs_all_of_them(tmp_path, root):
    with pytest.raises(InputError, match=r"has 1 of 10 subjects, from which s1-train cannot be told"):
        DexYcb(root, "s1-train")
    for number in range(2, 11):
        (root / f"2020090{number % 10}-subject-{number:02d}").mkdir()
    with pytest.raises(InputError, match=r"has 2 of 100 sequences, from which s0-train cannot be told"):
        open_labelled(str(root), subject="hand")
    assert len(DexYcb(root, "s2-val")) == 4


def test_a_picture_without_a_hand_has_labels_that_are_not_known(root):
    path = root / "20200709-subject-01" / "20200709_141500" / SERIALS[0] / "labels_000001.npz"
    np.savez(path, joint_3d=np.full((1, 21, 3), -1, np.float32), pose_m=np.zeros((1, 51), np.float32))
    label = DexYcb(root, "all").labels(0)
    assert np.isnan(label.keypoints).all()
    assert_allclose(label.square, [79.5, -0.5, 559.5, 479.5])


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"joint_3d": np.zeros((1, 20, 3))}, r"labels_000001\.npz: joint_3d are 1 x 20 x 3, must be 1 x 21 x 3"),
        ({"joint_3d": np.full((1, 21, 3), np.nan)}, r"63 of 63 numbers of joint_3d are NaN"),
        ({"joint_3d": 100 * np.random.default_rng(0).random((1, 21, 3))}, "its labels are in millimetres"),
        ({}, r"labels_000001\.npz: has no array .*joint_3d"),
    ],
)
def test_faults_of_a_label_are_told_in_one_line(root, arrays, message):
    path = root / "20200709-subject-01" / "20200709_141500" / SERIALS[0] / "labels_000001.npz"
    np.savez(path, pose_m=np.zeros((1, 51)), **arrays)
    with pytest.raises(InputError, match=message) as raised:
        DexYcb(root, "all").labels(0)
    assert "\n" not in str(raised.value)


def test_a_label_that_is_cut_short_is_told(root):
    path = root / "20200709-subject-01" / "20200709_141500" / SERIALS[0] / "labels_000001.npz"
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(InputError, match=r"labels_000001\.npz: is no whole \.npz file"):
        DexYcb(root, "all").labels(0)


MISSING = [
    "calibration",
    "calibration/intrinsics/836212060125_640x480.yml",
    "20200709-subject-01/20200709_141501/meta.yml",
    "20200709-subject-01/20200709_141501/pose.npz",
]


@pytest.mark.parametrize("name", MISSING)
def test_a_missing_part_says_which_and_where_it_is_published(root, tmp_path, name):
    (root / name).rename(tmp_path / "elsewhere")
    with pytest.raises(InputError, match=rf"{name}: no such f.*DexYCB; get it from https://dex-ycb"):
        DexYcb(root, "all")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("mano_sides: [none]\nmano_calib: [x]", r"meta\.yml: 'none' is no side of a hand"),
        ("serials: []", r"meta\.yml: has no mano_sides"),
        ("mano_sides: [", r"meta\.yml: is no whole YAML file"),
        ("!!python/object/apply:os.mkdir [gotcha]", r"meta\.yml: is no whole YAML file"),
    ],
)
def test_a_faulty_description_is_told(root, text, message):
    write_text(root / "20200709-subject-01" / "20200709_141500" / "meta.yml", text)
    with pytest.raises(InputError, match=message):
        DexYcb(root, "all")
