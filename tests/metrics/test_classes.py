"""Known answers of classification."""

import math

import pytest
import torch

from humanpt.metrics.classes import confusion, mean_per_class, per_class, top1


def test_90_right_of_one_class_and_10_wrong_of_another():
    counts = confusion(torch.zeros(100, dtype=torch.long), torch.arange(100).ge(90).long(), 2)
    assert counts.tolist() == [[90, 0], [10, 0]]
    assert top1(counts) == pytest.approx(0.9)
    assert mean_per_class(counts) == pytest.approx(0.5)


def test_a_class_without_pictures_has_no_share_in_the_mean():
    counts = confusion(torch.tensor([0, 1]), torch.tensor([0, 0]), 3)
    assert math.isnan(per_class(counts)[2])
    assert mean_per_class(counts) == 0.5


def test_a_class_out_of_range_is_refused():
    with pytest.raises(ValueError, match="there are 2"):
        confusion(torch.tensor([2]), torch.tensor([0]), 2)
