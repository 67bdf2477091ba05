"""BVH files: what was written is read again, by our reader and another one, in every pose."""

import numpy as np
import pytest
import torch

from humanpt.body.model import load_body_model
from humanpt.data.mocap.bvh import FLIP, play_bvh
from humanpt.data.mocap.bvh_writer import write_bvh
from humanpt.geometry.rotations import rotvec_to_rotmat
from tests.body.random_people import random_people

PARENTS = (-1, 0, 1, 0, 3, 3)
NAMES = ("root", "a one", "a.two", "b", "b1", "b2")


def tree():
    offsets = np.random.default_rng(0).normal(0, 0.2, (6, 3))
    offsets[0] = 0
    return offsets


def turns(count, angle=1.0):
    return rotvec_to_rotmat(torch.from_numpy(np.random.default_rng(1).normal(0, angle, (count, 6, 3)))).numpy()


def absolute(pose):
    result = pose.copy()
    for joint, parent in enumerate(PARENTS):
        if parent >= 0:
            result[:, joint] = result[:, parent] @ pose[:, joint]
    return result


def back(path):
    """What our reader finds, in OpenCV's axes and in the order of `NAMES`."""
    played = play_bvh(path, path.read_text())
    order = [played.joint_names.index(name.replace(" ", "_")) for name in NAMES]
    return played, FLIP @ played.rotations[:, order] @ FLIP, played.offsets[order] @ FLIP, played.root @ FLIP


def test_our_reader_finds_the_rotations_the_tree_and_the_place(tmp_path):
    pose, root = turns(7), np.random.default_rng(2).normal(0, 1, (7, 3))
    write_bvh(tmp_path / "a.bvh", NAMES, PARENTS, tree(), [(pose, root)], 7, 30.0)
    played, rotations, offsets, places = back(tmp_path / "a.bvh")
    np.testing.assert_allclose(rotations, absolute(pose), atol=1e-7)
    np.testing.assert_allclose(offsets, tree(), atol=1e-6)
    np.testing.assert_allclose(places, root, atol=1e-6)
    assert played.rate == pytest.approx(30)
    assert [played.joint_names[max(parent, 0)] for parent in played.parents] == [
        "root",
        "root",
        "a_one",
        "root",
        "b",
        "b",
    ]


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("quarters", [1, -1, 2])
def test_quarter_turns_about_every_axis_survive(tmp_path, axis, quarters):
    """At a quarter about x the other two angles turn about one axis, and a writer must choose."""
    turn = np.zeros((3, 6, 3))
    turn[:, :, axis] = quarters * np.pi / 2 * np.array([0.999, 1.0, 1.001])[:, None]
    pose = rotvec_to_rotmat(torch.from_numpy(turn)).numpy() @ turns(1, 0.0)
    write_bvh(tmp_path / "a.bvh", NAMES, PARENTS, tree(), [(pose, np.zeros((3, 3)))], 3, 30.0)
    np.testing.assert_allclose(back(tmp_path / "a.bvh")[1], absolute(pose), atol=1e-6)


def test_angles_go_on_past_half_a_turn(tmp_path):
    turn = np.zeros((80, 6, 3))
    turn[:, 0, 1] = np.linspace(0, 4 * np.pi, 80)
    pose = rotvec_to_rotmat(torch.from_numpy(turn)).numpy()
    pieces = [(pose[start : start + 27], np.zeros((27, 3))[: len(pose) - start]) for start in range(0, 80, 27)]
    write_bvh(tmp_path / "a.bvh", NAMES, PARENTS, tree(), pieces, 80, 30.0)
    lines = (tmp_path / "a.bvh").read_text().splitlines()
    table = np.array([[float(word) for word in line.split()] for line in lines[lines.index("MOTION") + 3 :]])
    assert np.abs(np.diff(table, axis=0)).max() < 15
    assert np.ptp(table[:, 5]) == pytest.approx(720, abs=0.01)


def test_no_frame_is_the_callers_mistake(tmp_path):
    with pytest.raises(ValueError, match="0 frames of 6 joints"):
        write_bvh(tmp_path / "a.bvh", NAMES, PARENTS, tree(), [], 0, 30.0)


def test_a_file_is_whole_or_not_there(tmp_path):
    with pytest.raises(ValueError, match="7 frames where 8 were told"):
        write_bvh(tmp_path / "a.bvh", NAMES, PARENTS, tree(), [(turns(7), np.zeros((7, 3)))], 8, 30.0)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "side"), [("anny-hand", "right"), ("anny-hand", "left"), ("anny-body-small", "right")]
)
def test_another_reader_puts_every_joint_where_the_model_has_it(tmp_path, name, side):
    bvhio = pytest.importorskip("bvhio")
    model = load_body_model(name, side=side)
    shape, pose, transl = random_people(model, 3, angle=0.8)
    with torch.no_grad():
        joints = model(shape[:1], pose, transl).joints.numpy()
        still = model(shape[:1], model.identity_pose(), torch.zeros(1, 3)).joints[0].numpy()
    parents = model.layout.parents
    offsets = still - still[[max(parent, 0) for parent in parents]]
    write_bvh(tmp_path / "a.bvh", model.layout.joint_names, parents, offsets, [(pose.numpy(), transl.numpy())], 3, 25.0)
    root = bvhio.readAsHierarchy(str(tmp_path / "a.bvh"))
    for frame in range(3):
        root.loadPose(frame)
        found = {joint.Name: np.array(joint.PositionWorld) for joint, _, _ in root.layout()}
        ours = joints[frame] @ FLIP
        np.testing.assert_allclose(np.stack([found[one] for one in model.layout.joint_names]), ours, atol=1e-5)
