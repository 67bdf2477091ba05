"""FreiHAND's rules on predictions that are all zero, as its owners publish them."""

import json
import os
from pathlib import Path

import pytest
import torch

from humanpt.scoring.freihand import EVALUATION_SAMPLES, freihand_protocol
from humanpt.scoring.pose import Points, PoseScores
from tests.scoring.hands import made_hands

PUBLISHED = {
    "raw_mpjpe_mm": (707.9, 0.05),
    "pa_mpjpe_mm": (47.3, 0.05),
    "raw_pve_mm": (708.4, 0.05),
    "pa_pve_mm": (50.7, 0.05),
    "raw_f_at_5": (0.0, 5e-4),
    "raw_f_at_15": (0.0, 5e-4),
    "pa_f_at_5": (0.001, 5e-4),
    "pa_f_at_15": (0.031, 5e-4),
}
"""The figures of an all-zero predictor in millimetres and shares, and half of their last digit."""


def zeros(truth):
    return Points(*(torch.zeros_like(part) for part in truth))


def test_zeros_are_as_far_as_the_points_and_after_alignment_as_the_points_from_their_middle():
    truth = Points(*made_hands(8))
    scores = PoseScores(freihand_protocol())
    scores.add(zeros(truth), truth)
    figures = scores.result().figures
    for part, name in zip(truth, ("mpjpe", "pve"), strict=True):
        assert figures[f"raw_{name}_mm"] == pytest.approx(1000 * part.norm(dim=-1).mean().item())
        middle = part.mean(dim=1, keepdim=True)
        assert figures[f"pa_{name}_mm"] == pytest.approx(1000 * (part - middle).norm(dim=-1).mean().item())
    middle = truth.vertices.mean(dim=1, keepdim=True)
    for limit in (5, 15):
        assert figures[f"raw_f_at_{limit}"] == 0
        recall = ((truth.vertices - middle).norm(dim=-1) < limit / 1000).double().mean(dim=1)
        precision = (recall > 0).double()  # all predicted vertices lie at the middle
        expected = torch.where(recall > 0, 2 * recall * precision / (recall + precision), 0).mean().item()
        assert figures[f"pa_f_at_{limit}"] == pytest.approx(expected)


def test_zeros_score_on_the_real_labels_what_the_owners_publish():
    root = Path(os.environ.get("HUMANPT_FREIHAND", "FreiHAND"))
    files = [root / f"evaluation_{name}.json" for name in ("xyz", "verts")]
    if not all(file.is_file() for file in files):
        pytest.skip("FreiHAND's labels are for its users alone; set HUMANPT_FREIHAND to a folder of version 2")
    truth = Points(*(torch.tensor(json.loads(file.read_text()), dtype=torch.float64) for file in files))
    assert len(truth.keypoints) == EVALUATION_SAMPLES
    scores = PoseScores(freihand_protocol())
    scores.add(zeros(truth), truth)
    figures = scores.result().figures
    for name, (value, half_a_digit) in PUBLISHED.items():
        assert figures[name] == pytest.approx(value, abs=half_a_digit), name
