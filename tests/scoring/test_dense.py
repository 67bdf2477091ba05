"""Scores of dense pose: known answers, person after person."""

import dataclasses

import pytest
import torch

from humanpt.metrics.dense import ONE_K, PART_K, SIZES, THRESHOLDS, average_precision, gps, gpsm, joined, match
from humanpt.scoring.dense import DensePerson, DenseScores, Likeness


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


def fit(distance, overlap=1.0):
    return Likeness(torch.full((7,), float(distance)), torch.full((7,), 1), overlap)


def company(number, distance, beside, score, picture=0):
    alone = dataclasses.replace(person(float(distance)), number=number, score=score)
    return dataclasses.replace(alone, picture=picture, beside=beside)


def test_what_is_found_of_a_neighbour_counts_for_the_neighbour():
    swapped = [company(4, float("inf"), {9: fit(0.0)}, 0.9), company(9, float("inf"), {4: fit(0.0)}, 0.8)]
    assert figures("one-k", *swapped)["gps_ap"] == 1
    assert figures("one-k", *swapped)["gps"] == 0  # which asks what was found in a person's own crop
    apart = [dataclasses.replace(one, picture=None) for one in swapped]
    assert figures("one-k", *apart)["gps_ap"] == 0


def test_of_two_detections_of_one_person_the_more_confident_counts():
    same = [company(4, 0.0, {9: fit(float("inf"))}, 0.6), company(9, float("inf"), {4: fit(ONE_K)}, 0.9)]
    found = figures("one-k", *same)
    # The more confident, a k away, takes the person up to 0.60 and is wrong above it; the other is wrong up to there.
    assert found["gps_ap50"] == pytest.approx(51 / 101)
    assert found["gps_ap75"] == pytest.approx(51 / 101 / 2)


def test_all_people_of_a_picture_are_matched_together_whatever_the_order():
    torch.manual_seed(0)
    sizes, people, matches = (1, 2, 5, 3), [], {(kind, size): [] for kind in ("gps", "gpsm") for size in SIZES}
    for picture, count in enumerate(sizes):
        metres, overlaps = torch.rand(count, count) * 0.4, torch.rand(count, count)
        scores, areas = torch.rand(count), torch.rand(count) * 150**2
        numbers = [10 * picture + place for place in range(count)]
        for row, number in enumerate(numbers):
            fits = {other: fit(metres[row, place], float(overlaps[row, place])) for place, other in enumerate(numbers)}
            own = fits.pop(number)
            people.append(
                DensePerson(
                    **own._asdict(), score=float(scores[row]), area=float(areas[row]),
                    number=number, picture=picture, beside=fits,
                )
            )  # fmt: skip
        similarity = gps(metres.double()[..., None])
        for kind, values in (("gps", similarity), ("gpsm", gpsm(similarity, overlaps.double()))):
            for size, (least, most) in SIZES.items():
                matches[kind, size].append(match(values, scores, areas, areas, (least, most)))
    mixed = [people[place] for place in torch.randperm(len(people)).tolist()]
    found = figures("one-k", *mixed)
    for kind in ("gps", "gpsm"):
        precision = {size: average_precision(joined(matches[kind, size])) for size in SIZES}
        assert found[f"{kind}_ap"] == pytest.approx(float(precision["all"].mean()))
        assert found[f"{kind}_ap75"] == pytest.approx(float(precision["all"][THRESHOLDS.index(0.75)]))
        assert found[f"{kind}_ap_m"] == pytest.approx(float(precision["m"].mean()))
        assert found[f"{kind}_ap_l"] == pytest.approx(float(precision["l"].mean()))
    assert 0 < found["gpsm_ap"] < found["gps_ap"] < 1


def test_a_neighbour_without_a_mask_takes_no_part_in_gpsm():
    nan = float("nan")
    people = [company(4, 0.0, {9: fit(0.0, nan)}, 0.9), dataclasses.replace(company(9, 0.0, {}, 0.8), overlap=nan)]
    assert figures("one-k", *people)["gpsm_ap"] == 1
