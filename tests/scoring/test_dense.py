"""Scores of dense pose: known answers, person after person."""

import pytest
import torch

from humanpt.metrics.dense import ONE_K, PART_K
from humanpt.scoring.dense import DensePerson, DenseScores


def person(distance, overlap=1.0, area=50.0**2, part=1):
    return DensePerson(
        distances=torch.full((7,), distance), parts=torch.full((7,), part), overlap=overlap, score=0.9, area=area
    )


def figures(variant, *people):
    scores = DenseScores(variant, 24)
    for one in people:
        scores.add(one)
    return scores.result().figures


def test_exact_points_are_1_in_all_figures():
    found = figures("one-k", person(0.0), person(0.0, area=200.0**2))
    assert set(found.values()) == {1.0}
    assert {"gps", "gps_ap", "gps_ap50", "gps_ap75", "gps_ap_m", "gps_ap_l", "gpsm_ap", "mask_iou"} <= set(found)


def test_points_a_k_away_are_found_up_to_the_threshold_of_060():
    found = figures("one-k", person(ONE_K))
    assert found["gps"] == pytest.approx(0.6065, abs=5e-5)
    assert found["gps_ap50"] == 1
    assert found["gps_ap75"] == 0
    assert found["gps_ap"] == pytest.approx(3 / 10)  # 0.50, 0.55 and 0.60


def test_the_two_variants_differ_by_the_k_of_the_part():
    hand = person(PART_K[1], part=3)
    assert figures("k-per-part", hand)["gps"] == pytest.approx(0.6065, abs=5e-5)
    assert figures("one-k", hand)["gps"] == pytest.approx(0.9157, abs=5e-5)


def test_a_quarter_of_overlap_halves_gpsm():
    found = figures("one-k", person(0.0, overlap=0.25))
    assert found["gps_ap"] == 1
    assert found["gpsm_ap50"] == 1
    assert found["gpsm_ap"] == pytest.approx(1 / 10)  # 0.50 alone


def test_points_where_no_body_was_found_count_as_infinitely_far():
    assert figures("one-k", person(float("inf")))["gps"] == 0


def test_overlap_of_parts_is_over_all_people_together():
    scores = DenseScores("one-k", 24)
    scores.add_pixels(torch.tensor([1, 1, 2, 0]), torch.tensor([1, 1, 1, 0]), torch.full((4,), 0.75))
    scores.add_pixels(torch.tensor([2, 2]), torch.tensor([2, 2]), torch.full((2,), 0.75))
    result = scores.result()
    assert result.per_part == {1: pytest.approx(2 / 3), 2: pytest.approx(2 / 3)}
    assert result.figures["part_accuracy"] == pytest.approx(4 / 5)
    assert result.calibration == [(pytest.approx(0.75), pytest.approx(4 / 5), 5)]
