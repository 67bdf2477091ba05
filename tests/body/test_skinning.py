import torch
from torch.testing import assert_close

from humanpt.body.skinning import WeightedSums, pose_bones, skin, tree_levels
from humanpt.geometry.rotations import rotvec_to_rotmat


def test_levels_hold_each_joint_below_its_parent():
    assert tree_levels((-1, 0, 1, 0, 3)) == [([0], [0]), ([1, 3], [0, 0]), ([2, 4], [0, 1])]


def test_a_chain_bends_where_it_should():
    heads = torch.tensor([[[0.0, 0, 0], [1, 0, 0], [2, 0, 0]]])
    quarter = rotvec_to_rotmat(torch.tensor([0.0, 0, torch.pi / 2]))
    pose = torch.stack((torch.eye(3), quarter, quarter))[None]
    joints, turned, linear = pose_bones(tree_levels((-1, 0, 1)), pose, heads, torch.zeros(1, 3))
    assert_close(joints, torch.tensor([[[0.0, 0, 0], [1, 0, 0], [1, 1, 0]]]))
    each = WeightedSums(torch.arange(3), torch.arange(3), torch.ones(3), 3)
    rest = torch.tensor([[[0.5, 0, 0], [1.5, 0, 0], [3, 0, 0]]])
    moved = skin(rest, heads, joints, linear, each)
    assert_close(moved, torch.tensor([[[0.5, 0, 0], [1, 0.5, 0], [0, 1, 0]]]))
    assert_close(turned[:, 2], quarter[None] @ quarter)


def test_sums_equal_the_matrix_they_stand_for():
    matrix = torch.rand(7, 5) * (torch.rand(7, 5) < 0.4)
    matrix[3] = 0
    sums, rows = torch.cartesian_prod(torch.arange(7), torch.arange(5)).flip(0).unbind(1)
    values = torch.randn(2, 5, 4)
    assert_close(WeightedSums(sums, rows, matrix[sums, rows], 7)(values), matrix @ values)
