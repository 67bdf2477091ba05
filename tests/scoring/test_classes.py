"""Scores of classes: known answers, however the stream is cut."""

import pytest
import torch

from humanpt.scoring.classes import ClassScores


def test_90_right_and_10_wrong_in_two_batches():
    true = torch.arange(100).ge(90).long()
    scores = ClassScores(["fist", "palm"])
    for rows in (slice(0, 37), slice(37, 100)):
        scores.add(torch.zeros(100, dtype=torch.long)[rows], true[rows], torch.full((100,), 0.85)[rows])
    result = scores.result()
    assert result.figures["top1"] == pytest.approx(0.9)
    assert result.figures["mean_per_class"] == pytest.approx(0.5)
    assert result.figures["calibration_error"] == pytest.approx(0.05)
    assert result.confusion.tolist() == [[90, 0], [10, 0]]
    assert result.calibration == [(pytest.approx(0.85), pytest.approx(0.9), 100)]


def test_a_confidence_of_1_belongs_to_the_last_range():
    scores = ClassScores(["a", "b"])
    scores.add(torch.tensor([0, 1]), torch.tensor([0, 0]), torch.tensor([1.0, 0.05]))
    assert [(mean, share) for mean, share, _ in scores.result().calibration] == [
        (pytest.approx(0.05), 0.0),
        (pytest.approx(1.0), 1.0),
    ]
