import pytest

from humanpt.body import skeletons


@pytest.mark.parametrize(
    ("joint", "limb", "side"),
    [
        ("upperleg02.L", "thigh", "left"),
        ("right_knee", "calf", "right"),
        ("toe3-2.R", "foot", "right"),
        ("shoulder01.L", "torso", "left"),
        ("left_shoulder", "upper_arm", "left"),
        ("lowerarm02.R", "forearm", "right"),
        ("left_ring2", "hand", "left"),
        ("spine03", "torso", ""),
        ("head", "head", ""),
    ],
)
def test_joints_tell_their_limb_and_side(joint, limb, side):
    assert (skeletons.limb_of(joint), skeletons.side_of(joint)) == (limb, side)


@pytest.mark.parametrize(
    ("joint", "part"),
    [("finger1-3.R", "thumb3"), ("finger5-1.L", "little1"), ("metacarpal2.R", "palm"), ("index2", "index2")],
)
def test_bones_of_a_hand_tell_their_phalanx(joint, part):
    assert skeletons.finger_part(joint) == part


def test_maps_have_the_sizes_of_their_skeletons():
    assert len(skeletons.MANO_FROM_ANNY) == len(set(skeletons.MANO_FROM_ANNY)) == len(skeletons.MANO_16) == 16
    assert len(skeletons.HAND_21) == len(skeletons.HAND_21_BONES) + len(skeletons.HAND_TIP_VERTICES) == 21
    assert (len(skeletons.SMPL_24), len(skeletons.SMPLX_55), len(skeletons.BODY_23)) == (24, 55, 23)
    assert (len(skeletons.BODY_PARTS), len(skeletons.HAND_PARTS)) == (24, 16)
