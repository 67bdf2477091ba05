"""The rules that a benchmark's name stands for."""

from dataclasses import replace

import pytest

from humanpt.body.skeletons import BODY_23, HAND_21, SMPL_24
from humanpt.data.labelled import READERS
from humanpt.data.labelled.ho3d import JOINTS
from humanpt.data.labelled.open_dense import MARKS as DENSE
from humanpt.data.labelled.record import LabelLayout
from humanpt.errors import InputError
from humanpt.scoring.benchmarks import EVALUATION_SPLITS, Changes, alignment_text, gender_text, pose_protocol

HAND = LabelLayout(
    dataset="freihand",
    split="evaluation",
    subject="hand",
    keypoint_names=HAND_21,
    model="mano",
    root_names=("wrist",),
    licence="",
    site="",
)
BODY = replace(HAND, dataset="3dpw", subject="body", keypoint_names=SMPL_24, root_names=("left_hip", "right_hip"))


def test_freihand_measures_as_it_comes_and_after_procrustes_that_may_mirror():
    protocol = pose_protocol("freihand", HAND, HAND_21, True, Changes())
    assert protocol.alignments == ("raw", "pa")
    assert protocol.mirror
    assert protocol.f_thresholds == (0.005, 0.015)
    assert not pose_protocol("freihand", HAND, HAND_21, True, Changes(reflections=False)).mirror


def test_other_hands_are_measured_from_the_wrist_and_never_mirrored():
    protocol = pose_protocol("interhand", HAND, HAND_21, True, Changes(pck_mm=(20, 50)))
    assert protocol.root == ("wrist",)
    assert not protocol.mirror
    assert protocol.pck == (0.02, 0.05, 100)


def test_ho3d_is_also_measured_with_the_bone_to_the_middle_finger_as_long():
    protocol = pose_protocol("ho3d-v3", HAND, HAND_21, True, Changes())
    assert protocol.alignments == ("root", "scaled", "pa", "raw")
    assert protocol.bone == JOINTS[4] == "middle1"
    assert protocol.mirror
    assert "one bone" in alignment_text(protocol)


def test_bodies_are_measured_on_the_joints_that_are_predicted_and_labelled():
    predicted = (*BODY_23, "pelvis")
    protocol = pose_protocol("3dpw", BODY, predicted, False, Changes())
    assert protocol.keypoint_names == tuple(name for name in SMPL_24 if name in predicted)
    assert protocol.rate == 30
    assert protocol.f_thresholds == ()


def test_3dpw_begins_at_the_pelvis_where_that_is_predicted_and_else_between_the_hips():
    assert pose_protocol("3dpw", BODY, SMPL_24, True, Changes()).root == ("pelvis",)
    assert pose_protocol("3dpw", BODY, BODY_23, False, Changes()).root == ("left_hip", "right_hip")


def test_a_root_that_is_not_predicted_and_no_point_in_common_are_told_in_one_line():
    with pytest.raises(InputError, match="right_hip is its root"):
        pose_protocol("3dpw", BODY, BODY_23[:12], False, Changes())
    with pytest.raises(InputError, match="none of its key points is predicted"):
        pose_protocol("3dpw", BODY, HAND_21[1:], False, Changes())


def test_a_card_tells_whose_gender_the_bodies_are():
    assert gender_text(BODY, "smpl") == "neutral; labels each person's own"
    assert gender_text(replace(BODY, dataset="bedlam"), "smplx") == "neutral"
    assert gender_text(replace(BODY, dataset="generated"), "anny-body") == "that of anny-body's shape"
    assert gender_text(HAND, "mano") == ""


def test_every_set_with_a_part_for_evaluation_is_one_that_is_read():
    assert set(EVALUATION_SPLITS) <= {*READERS, *DENSE}
