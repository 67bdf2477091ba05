"""Known answers of geodesic point similarity and of average precision, and slow twins of the latter and of matching."""

import math

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from humanpt.body.skeletons import BODY_PARTS
from humanpt.metrics.dense import (
    COARSE_OF_PART,
    ONE_K,
    PART_K,
    SIZES,
    THRESHOLDS,
    average_precision,
    gps,
    gpsm,
    joined,
    match,
    widths,
)


def test_gps_of_no_distance_of_k_and_of_30_cm():
    assert gps(torch.zeros(5)) == 1
    assert gps(torch.full((5,), ONE_K)).item() == pytest.approx(0.6065, abs=5e-5)
    assert gps(torch.tensor([0.3])).item() == pytest.approx(0.5006, abs=5e-5)
    assert gps(torch.tensor([math.inf])) == 0


def test_gpsm_of_a_quarter_overlap_is_a_half():
    assert gpsm(torch.tensor(1.0), torch.tensor(0.25)) == 0.5


def test_each_part_takes_the_k_of_its_coarse_part():
    k = widths(torch.arange(1, 25), "k-per-part")
    limbs = ("torso", "hand", "foot", "thigh", "calf", "upper_arm", "forearm", "head")
    for name, coarse, value in zip(BODY_PARTS, COARSE_OF_PART, k.tolist(), strict=True):
        assert limbs[coarse] in name
        assert value == PART_K[coarse]
    assert set(widths(torch.arange(1, 25), "one-k").tolist()) == {ONE_K}


def test_a_part_label_of_0_is_refused():
    with pytest.raises(ValueError, match="1 to 24"):
        widths(torch.tensor([0, 3]), "one-k")


def matched(similarity, scores, areas=None, size="all"):
    similarity = torch.tensor(similarity).reshape(len(scores), -1)
    areas = torch.tensor([50.0**2] * similarity.shape[1] if areas is None else areas)
    return match(similarity, torch.tensor(scores), areas, torch.full((len(scores),), 50.0**2), SIZES[size])


def test_all_found_is_1_up_to_the_threshold_of_their_similarity():
    found = average_precision(matched([[0.72, 0.0], [0.0, 0.72]], [0.9, 0.8]))
    assert_close(found, torch.tensor([float(limit <= 0.72) for limit in THRESHOLDS]).double())


def test_a_person_is_found_once():
    found = matched([[0.9], [0.95]], [0.9, 0.8])
    assert found.hits[0].tolist() == [True, False]
    assert average_precision(found)[0] == 1


def test_a_wrong_box_before_the_right_one_halves_the_precision():
    assert average_precision(matched([[0.1], [0.9]], [0.9, 0.8]))[0] == 0.5


def test_persons_of_another_size_are_neither_right_nor_wrong():
    found = matched([[0.9, 0.0], [0.0, 0.9]], [0.9, 0.8], areas=[20.0**2, 50.0**2], size="m")
    assert found.persons == 1
    assert found.ignored[0].tolist() == [True, False]
    assert average_precision(found)[0] == 1


def test_nobody_to_find_has_no_precision():
    assert average_precision(matched([], [0.5], areas=[])).isnan().all()


def test_average_precision_is_what_the_definition_gives():
    rng = np.random.default_rng(0)
    pictures = []
    for _ in range(30):
        people, detections = rng.integers(1, 4), rng.integers(1, 6)
        pictures.append(matched(rng.random((detections, people)).tolist(), rng.random(detections).tolist()))
    every = joined(pictures)
    order = np.argsort(-every.scores.numpy(), kind="stable")
    for row, found in enumerate(average_precision(every).tolist()):
        hits = every.hits[row].numpy()[order]
        points = [(hits[:n].sum() / every.persons, hits[:n].mean()) for n in range(1, len(hits) + 1)]
        slow = [max((p for r, p in points if r >= level), default=0.0) for level in np.linspace(0, 1, 101)]
        assert found == pytest.approx(np.mean(slow))


def one_by_one(similarity, scores, counts, limit):
    """Who finds whom at a similarity, detection after detection: numbers of people that count, "out", or None."""
    free, found = set(range(len(counts))), {}
    for detection in sorted(range(len(scores)), key=lambda place: -scores[place])[:20]:
        likely = {person: similarity[detection][person] for person in free if similarity[detection][person] >= limit}
        wanted = {person: value for person, value in likely.items() if counts[person]} or likely
        taken = max(wanted, key=wanted.__getitem__, default=None)
        free.discard(taken)
        found[detection] = None if taken is None else taken if counts[taken] else "out"
    return list(found.values())


@pytest.mark.parametrize("size", SIZES)
def test_people_of_a_picture_are_given_away_as_one_by_one(size):
    rng = np.random.default_rng(1)
    least, most = SIZES[size]
    for _ in range(40):
        people, detections = rng.integers(1, 6), rng.integers(1, 25)
        similarity, scores = rng.uniform(0.3, 1, (detections, people)), rng.random(detections)
        areas, found_areas = rng.random(people) * 150**2, rng.random(detections) * 150**2
        counts = (areas >= least) & (areas <= most)
        strange = ((found_areas < least) | (found_areas > most))[np.argsort(-scores)][:20]
        found = match(*(torch.from_numpy(x) for x in (similarity, scores, areas, found_areas)), SIZES[size])
        assert found.persons == counts.sum()
        for row, limit in enumerate(THRESHOLDS):
            slow = one_by_one(similarity.tolist(), scores.tolist(), counts.tolist(), limit)
            assert found.hits[row].tolist() == [one not in (None, "out") for one in slow]
            left_out = [one == "out" or (one is None and odd) for one, odd in zip(slow, strange.tolist(), strict=True)]
            assert found.ignored[row].tolist() == left_out
