"""Scores of key points and meshes: known answers, streams, unknown labels, and a scorer that goes one by one."""

import math
from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from humanpt.body.skeletons import HAND_21
from humanpt.errors import ConfigError
from humanpt.geometry.rotations import rotvec_to_rotmat
from humanpt.scoring.freihand import freihand_protocol
from humanpt.scoring.pose import Points, PoseProtocol, PoseScores, split_name
from tests.scoring.hands import made_hands
from tests.scoring.one_by_one import score

HAND = PoseProtocol(keypoint_names=HAND_21, root=("wrist",), alignments=("raw", "root", "pa"))


@pytest.fixture(scope="module")
def truth():
    return Points(*made_hands(12))


def noisy(truth, seed=0, size=0.004):
    generator = torch.Generator().manual_seed(seed)
    shift = 0.01 * torch.randn(len(truth.keypoints), 1, 3, generator=generator, dtype=torch.float64)
    moved = (part + shift + size * torch.randn(part.shape, generator=generator, dtype=part.dtype) for part in truth)
    return Points(*moved)


def scored(protocol, predicted, truth, names=None, batch=5):
    scores = PoseScores(protocol)
    for first in range(0, len(truth.keypoints), batch):
        rows = slice(first, first + batch)
        part = [Points(points.keypoints[rows], None if points.vertices is None else points.vertices[rows])
                for points in (predicted, truth)]  # fmt: skip
        scores.add(*part, names[rows] if names else None)
    return scores.result()


def test_the_truth_itself_has_no_error(truth):
    figures = scored(replace(HAND, f_thresholds=(0.005,)), truth, truth).figures
    assert max(value for name, value in figures.items() if name.endswith("_mm")) < 1e-9
    assert figures["raw_f_at_5"] == figures["f_at_5"] == figures["pa_f_at_5"] == 1


def test_a_shift_of_3_and_4_cm_is_5_cm_and_nothing_after_any_alignment(truth):
    shift = torch.tensor([0.03, 0.04, 0.0])
    figures = scored(HAND, Points(*(part + shift for part in truth)), truth).figures
    for name in ("mpjpe_mm", "pve_mm"):
        assert figures[f"raw_{name}"] == pytest.approx(50)
        assert figures[name] == pytest.approx(0, abs=1e-6)
        assert figures[f"pa_{name}"] == pytest.approx(0, abs=1e-6)


def test_one_bone_as_long_forgives_scale_and_shift_and_no_turn(truth):
    protocol = replace(HAND, alignments=("root", "scaled"), bone="middle1")
    figures = scored(protocol, Points(*(1.7 * part + 3 for part in truth)), truth).figures
    assert figures["mpjpe_mm"] > 10
    assert figures["scaled_mpjpe_mm"] == pytest.approx(0, abs=1e-6)
    assert figures["scaled_auc"] > 0.99 > figures["auc"]
    assert "scaled_pve_mm" not in figures
    turn = rotvec_to_rotmat(torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64))
    assert scored(protocol, Points(*(part @ turn.mT for part in truth)), truth).figures["scaled_mpjpe_mm"] > 10
    nowhere = scored(protocol, Points(*(0 * part for part in truth)), truth).figures  # HO-3D's all-zero predictor
    length = (truth.keypoints - truth.keypoints[:, :1]).norm(dim=-1).mean()
    assert nowhere["scaled_mpjpe_mm"] == pytest.approx(1000 * length.item())
    with pytest.raises(ConfigError, match="bone is elbow"):
        replace(protocol, bone="elbow")


def test_rotation_scale_and_shift_are_forgiven_by_procrustes_alone(truth):
    turn = rotvec_to_rotmat(torch.tensor([0.3, -2.0, 1.0], dtype=torch.float64))
    figures = scored(HAND, Points(*(1.7 * part @ turn.mT + 3 for part in truth)), truth).figures
    assert figures["pa_mpjpe_mm"] == pytest.approx(0, abs=1e-6)
    assert figures["pa_pve_mm"] == pytest.approx(0, abs=1e-6)
    assert figures["mpjpe_mm"] > 20


def test_a_mirrored_hand_is_forgiven_by_the_official_way_alone(truth):
    mirrored = Points(*(part * torch.tensor([-1.0, 1.0, 1.0]) for part in truth))
    official, strict = (scored(freihand_protocol(mirror=mirror), mirrored, truth).figures for mirror in (True, False))
    assert official["pa_mpjpe_mm"] == pytest.approx(0, abs=1e-6)
    assert official["pa_f_at_5"] == 1
    assert strict["pa_mpjpe_mm"] > 1
    assert strict["pa_pve_mm"] > 1


def test_the_result_is_that_of_a_scorer_that_goes_one_by_one(truth):
    predicted = noisy(truth)
    mirrored = predicted.keypoints[::3] * torch.tensor([1.0, 1.0, -1.0]).double()
    predicted.keypoints[::3] = mirrored + torch.tensor([0.0, 0.0, 1.3])
    slow = score(*(part.numpy() for part in (*predicted, *truth)))
    fast = scored(freihand_protocol(), predicted, truth).figures
    assert fast.keys() == slow.keys()
    for name, value in slow.items():
        assert fast[name] == pytest.approx(value, rel=1e-9), name


def test_figures_do_not_depend_on_how_the_stream_is_cut(truth):
    predicted = noisy(truth)
    whole, cut = (scored(replace(HAND, f_thresholds=(0.005,)), predicted, truth, batch=batch) for batch in (12, 1))
    assert whole.figures == pytest.approx(cut.figures)
    assert whole.per_keypoint_mm == pytest.approx(cut.per_keypoint_mm)
    assert whole.samples == cut.samples == 12


def test_memory_does_not_grow_with_the_stream(truth):
    def numbers(scores):
        tallies = [*scores._keypoints.values(), *scores._vertices.values()]
        return sum(tally.sum.numel() + tally.count.numel() + tally._within.numel() for tally in tallies)

    scores = PoseScores(HAND)
    scores.add(truth, truth)
    before = numbers(scores)
    for _ in range(5):
        scores.add(truth, truth)
    assert numbers(scores) == before


def test_unknown_key_points_are_left_out_and_a_sample_without_a_root_has_no_root_relative_error(truth):
    predicted = noisy(truth)
    partly = truth.keypoints.clone()
    partly[0, 5:9] = torch.nan
    partly[1, 0] = torch.nan
    partly[2, 2:] = torch.nan
    found = PoseScores(HAND).add(Points(predicted.keypoints), Points(partly))
    known = torch.tensor([place for place in range(21) if not 5 <= place < 9])
    alone = PoseProtocol(keypoint_names=tuple(HAND_21[place] for place in known), root=("wrist",))
    expected = PoseScores(alone).add(Points(predicted.keypoints[:1, known]), Points(partly[:1, known]))
    assert_close(found["pa_mpjpe_mm"][0], expected["pa_mpjpe_mm"][0])
    assert_close(found["mpjpe_mm"][0], expected["mpjpe_mm"][0])
    assert math.isnan(found["mpjpe_mm"][1])
    assert found["pa_mpjpe_mm"][1] > 0
    assert math.isnan(found["pa_mpjpe_mm"][2])


def test_a_mesh_of_another_topology_moves_with_the_key_points(truth):
    turn = rotvec_to_rotmat(torch.tensor([0.2, 0.5, -0.4], dtype=torch.float64))
    dense = Points(truth.keypoints, truth.vertices[:, ::2])
    centre = dense.vertices.mean(dim=1, keepdim=True)
    turned = Points(*(((part - centre) @ turn.mT) / 1.2 + centre + 0.1 for part in dense))
    figures = scored(freihand_protocol(same_mesh=False), turned, truth).figures
    straight = scored(freihand_protocol(same_mesh=False), dense, truth).figures
    assert figures["pa_f_at_15"] == pytest.approx(straight["pa_f_at_15"], abs=0.05)
    assert figures["raw_f_at_15"] < 0.2
    assert not any(name.endswith("pve_mm") for name in figures)


def test_accelerations_count_over_frames_that_follow_each_other(truth):
    walk = truth.keypoints[:1].expand(9, -1, -1)
    moments = torch.tensor([0, 1, 2, 3, 10, 11, 12, 0, 1], dtype=torch.float64)
    fallen = walk + 0.001 * moments[:, None, None] ** 2 * torch.tensor([0.0, 1.0, 0.0])
    names = [f"a/{int(moment):05d}.jpg" for moment in moments[:7]] + ["b/00000.jpg", "b/00001.jpg"]
    protocol = PoseProtocol(keypoint_names=HAND_21, alignments=("raw",), rate=30.0)
    figures = scored(protocol, Points(fallen), Points(walk), names, batch=4).figures
    assert figures["acceleration_error_mm_per_frame2"] == pytest.approx(2.0)
    assert figures["acceleration_error_mm_per_s2"] == pytest.approx(2.0 * 900)


def test_a_name_tells_its_track_and_frame():
    assert split_name("seq_01/person0/00012.jpg") == ("seq_01/person0/.jpg", 12)
    assert split_name("downtown_bus_00/00031/1") == ("downtown_bus_00//1", 31)
    assert split_name("portrait") == ("portrait", 0)


def test_wrong_numbers_of_key_points_are_refused(truth):
    with pytest.raises(ValueError, match="20 key points"):
        PoseScores(HAND).add(Points(truth.keypoints[:, 1:]), Points(truth.keypoints[:, 1:]))


def test_a_root_that_is_not_measured_is_refused():
    with pytest.raises(ConfigError, match="root"):
        PoseProtocol(keypoint_names=("a", "b"), root=("c",))
