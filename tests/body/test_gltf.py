"""animation files: a .glb shows the model's own vertices, and other people's software agrees that it is one."""

import json
import shutil
import subprocess

import numpy as np
import pytest
import torch

from humanpt.body.gltf import Eye, Mover, normals, ordered_shares, quaternions, write_glb
from humanpt.body.rigged import rigged
from humanpt.geometry.rotations import rotvec_to_rotmat, unitquat_to_rotmat
from tests.body.glb import Glb
from tests.body.random_people import random_people

Y_UP = np.array([1, -1, -1])
KEYS = 5
VALIDATOR = """
const validator = require("gltf-validator");
const bytes = new Uint8Array(require("fs").readFileSync(process.argv[1]));
validator.validateBytes(bytes).then((report) => console.log(JSON.stringify(report)));
"""


def mover(model, name="somebody", *, seed=0, shown=(0.0,), times=None):
    """Somebody of one random shape in random poses, and what the model says of them."""
    shape, pose, transl = random_people(model, KEYS, seed=seed)
    mesh = rigged(model, shape[0].numpy())
    moving = Mover(
        name=name,
        mesh=mesh,
        mesh_key=f"{model.layout.rig} {model.layout.topology}",
        times=np.arange(KEYS) / 25 if times is None else np.asarray(times),
        pose=pose.numpy(),
        transl=transl.numpy(),
        shown=np.asarray(shown),
    )
    with torch.no_grad():
        return moving, model(shape[:1], pose, transl).vertices.numpy()


def written(path, *movers, **told):
    write_glb(path, movers, copyright="CC0", extras={"model": "a model"}, **told)
    return Glb(path)


def sizes(glb, name):
    """When somebody changes size, and to what; nothing if they never do."""
    part = glb.animation(name)
    for channel, sampler in zip(part["channels"], part["samplers"], strict=True):
        if channel["target"]["path"] == "scale":
            return np.column_stack((glb.array(sampler["input"]), glb.array(sampler["output"])[:, 0]))
    return None


@pytest.mark.parametrize("which", ["hand", "left_hand", "small", pytest.param("body", marks=pytest.mark.slow)])
def test_the_file_shows_the_vertices_of_the_model(tmp_path, request, which):
    moving, vertices = mover(request.getfixturevalue(which))
    glb = written(tmp_path / "a.glb", moving)
    for key in (0, KEYS - 1):
        np.testing.assert_allclose(glb.posed("somebody", key), vertices[key] * Y_UP, atol=2e-6)  # of metres


def test_the_rigged_mesh_is_the_model_bone_by_bone(left_hand):
    moving, vertices = mover(left_hand)
    for key in range(KEYS):
        posed = moving.mesh.posed(moving.pose[key].astype(float), moving.transl[key].astype(float))
        np.testing.assert_allclose(posed, vertices[key], atol=2e-6)


def test_triangles_face_outwards_as_in_the_model(tmp_path, hand, left_hand):
    for model in (hand, left_hand):
        moving, _ = mover(model)
        glb = written(tmp_path / "a.glb", moving)
        np.testing.assert_array_equal(glb.faces("somebody"), model.faces.numpy())
        points, faces = glb.posed("somebody", 0), glb.faces("somebody")
        assert np.linalg.det(points[faces] - points.mean(0)).sum() > 0  # volume, positive by the right-hand rule


def test_two_of_a_kind_share_triangles_and_shares_of_bones(tmp_path, hand):
    first, _ = mover(hand, "first")
    second, vertices = mover(hand, "second", seed=1)
    glb = written(tmp_path / "a.glb", first, second)
    assert glb.attributes("first")["WEIGHTS_0"] == glb.attributes("second")["WEIGHTS_0"]
    assert glb.attributes("first")["POSITION"] != glb.attributes("second")["POSITION"]
    np.testing.assert_allclose(glb.posed("second", 2), vertices[2] * Y_UP, atol=2e-6)


def test_whoever_is_away_is_shrunk_to_a_point_until_they_come_back(tmp_path, hand):
    moving, vertices = mover(hand, shown=(0.04, 0.08, 0.16))
    glb = written(tmp_path / "a.glb", moving)
    for key, there in enumerate((False, True, False, False, True)):
        points = glb.posed("somebody", key)
        if there:
            np.testing.assert_allclose(points, vertices[key] * Y_UP, atol=2e-6)
        else:
            np.testing.assert_allclose(np.ptp(points, axis=0), 0, atol=1e-6)


def test_one_animation_moves_everybody_at_times_of_their_own(tmp_path, hand, left_hand):
    """Blender plays one animation of a file: whoever had their own would stand still, and be seen while away."""
    movers = [
        mover(model, name, seed=seed, shown=shown, times=times)
        for seed, (model, name, shown, times) in enumerate(
            (
                (hand, "stays", (0.0,), np.arange(KEYS) / 25),
                (left_hand, "comes", (0.5,), 0.5 + np.arange(KEYS) / 30),
                (hand, "goes", (0.0, 0.2), np.arange(KEYS) / 20),
            )
        )
    ]
    glb = written(tmp_path / "a.glb", *(moving for moving, _ in movers))
    (animation,) = glb.json["animations"]
    assert animation["name"] == "recording"
    driven = [(channel["target"]["node"], channel["target"]["path"]) for channel in animation["channels"]]
    assert len(set(driven)) == len(driven) == sum(len(glb.animation(moving.name)["channels"]) for moving, _ in movers)
    for moving, vertices in movers:
        part = glb.animation(moving.name)
        skin = glb.json["skins"][glb.node(moving.name)["skin"]]
        turned = {one["target"]["node"] for one in part["channels"] if one["target"]["path"] == "rotation"}
        assert turned == set(skin["joints"])
        for channel, sampler in zip(part["channels"], part["samplers"], strict=True):
            if channel["target"]["path"] != "scale":
                np.testing.assert_allclose(glb.array(sampler["input"]), moving.times, atol=1e-6)
        np.testing.assert_allclose(glb.posed(moving.name, 2), vertices[2] * Y_UP, atol=2e-6)
    assert sizes(glb, "stays") is None
    np.testing.assert_allclose(sizes(glb, "comes"), [(0, 0), (0.5, 1)])
    np.testing.assert_allclose(sizes(glb, "goes"), [(0, 1), (0.2, 0)])


def test_the_camera_sees_what_the_pictures_camera_saw(tmp_path, hand):
    intrinsics = np.array([[500, 0, 319.5], [0, 520, 239.5], [0, 0, 1]], np.float32)
    moving, _ = mover(hand)
    glb = written(tmp_path / "a.glb", moving, eye=Eye(intrinsics=intrinsics, width=640, height=480))
    lens = glb.json["cameras"][0]["perspective"]
    assert np.tan(lens["yfov"] / 2) * 520 == pytest.approx(240)
    assert np.tan(lens["yfov"] / 2) * lens["aspectRatio"] * 500 == pytest.approx(320)
    assert "camera" in glb.json["nodes"][glb.json["scenes"][0]["nodes"][-1]]


def test_the_largest_shares_come_first_and_none_is_lost():
    weights = np.random.default_rng(0).dirichlet(np.full(9, 0.3), 50)
    weights[weights < 0.05] = 0
    weights /= weights.sum(1, keepdims=True)
    joints, shares = ordered_shares(weights)
    assert joints.shape == shares.shape == (50, 2, 4)
    flat = shares.reshape(50, -1)
    assert (np.diff(flat, axis=1) <= 0).all()
    back = np.zeros_like(weights)
    np.add.at(back, (np.arange(50)[:, None], joints.reshape(50, -1)), flat)
    np.testing.assert_allclose(back, weights, atol=1e-7)


def test_fewer_bones_than_places_are_padded_with_nothing():
    joints, shares = ordered_shares(np.array([[0.25, 0.75]]))
    assert joints.tolist() == [[[1, 0, 0, 0]]]
    assert shares.tolist() == [[[0.75, 0.25, 0, 0]]]


def test_quaternions_stay_on_one_side_through_whole_turns():
    angles = torch.linspace(0, 60 * torch.pi, 1200, dtype=torch.float64)  # more keys than are turned at once
    axis = torch.tensor([0.6, 0.0, 0.8], dtype=torch.float64)
    pose = rotvec_to_rotmat(angles[:, None] * axis)[:, None]
    quats = quaternions(pose.numpy())
    assert ((quats[1:] * quats[:-1]).sum(-1) > 0.9).all()
    flip = np.diag(Y_UP)
    np.testing.assert_allclose(unitquat_to_rotmat(torch.from_numpy(quats)), flip @ pose.numpy() @ flip, atol=1e-6)


def test_normals_point_outwards_and_have_length_one(hand):
    points, faces = hand.canonical.numpy().astype(float), hand.faces.numpy()
    found = normals(points, faces)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-12)
    corners = points[faces]
    across = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    agree = (found[faces].mean(1) * across).sum(1) > 0
    assert agree.mean() > 0.99


@pytest.mark.slow
def test_trimesh_imports_every_mesh(tmp_path, hand, small):
    trimesh = pytest.importorskip("trimesh")
    one, _ = mover(hand, "hand_right_1")
    other, _ = mover(small, "body_2")
    written(tmp_path / "a.glb", one, other, eye=Eye(intrinsics=np.eye(3) * 500, width=640, height=480))
    scene = trimesh.load(tmp_path / "a.glb")
    for name, moving in (("hand_right_1", one), ("body_2", other)):
        found = scene.geometry[name]
        assert found.faces.shape == moving.mesh.faces.shape
        np.testing.assert_allclose(found.extents, np.ptp(moving.mesh.rest, axis=0), atol=1e-5)
    assert 1.0 < scene.geometry["body_2"].extents.max() < 2.5  # metres
    assert scene.has_camera


def test_the_validator_of_khronos_finds_nothing(tmp_path, hand, left_hand, small):
    """Needs node and `npm install gltf-validator` in a folder of NODE_PATH."""
    node = shutil.which("node")
    if node is None or subprocess.run([node, "-e", 'require("gltf-validator")'], capture_output=True).returncode:
        pytest.skip("no node, or no gltf-validator in a folder of NODE_PATH")
    movers = [
        mover(model, f"mover {number}", seed=number, shown=shown)[0]
        for number, (model, shown) in enumerate(((hand, (0.0,)), (left_hand, (0.04, 0.08)), (small, (0.0, 0.1))))
    ]
    written(tmp_path / "a.glb", *movers, eye=Eye(intrinsics=np.eye(3) * 500, width=640, height=480))
    ran = subprocess.run([node, "-e", VALIDATOR, str(tmp_path / "a.glb")], capture_output=True, text=True, check=True)
    report = json.loads(ran.stdout)
    assert report["issues"]["messages"] == []
    assert report["info"]["animationCount"] == 1
    assert report["info"]["totalTriangleCount"] == sum(len(one.mesh.faces) for one in movers)
