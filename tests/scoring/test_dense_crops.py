"""What is found in crops, against the labels of the person in the middle and of the others in the picture."""

import numpy as np
import pytest
import torch

from humanpt.body.skeletons import BODY_PARTS
from humanpt.data.labelled.densepose_coco import open_set
from humanpt.data.labelled.densepose_distances import DensePoseDistances
from humanpt.scoring.dense_crops import CropAnswer, in_company, likeness, person_found
from humanpt.tasks.dense_samples import DensePoseConfig, DensePoseSamples, collate
from tests.data.labelled.test_densepose_coco import annotation, write
from tests.data.labelled.written_distances import write_distances

SIZE = 120
"""Of a crop: that of the two boxes below, so that its pixels are the picture's."""


@pytest.fixture
def data(tmp_path):
    """Two people of one picture, side by side with some overlap of their crops, and one of another picture."""
    boxes = {"bbox": [5.0, 20.0, 40.0, 100.0]}, {"bbox": [50.0, 25.0, 40.0, 100.0], "area": 2000.0}
    people = [annotation(3, **boxes[0]), annotation(5, 9), annotation(6, **boxes[1])]
    return open_set(write(tmp_path / "coco", *people), "minival")


@pytest.fixture
def distances(tmp_path):
    write_distances(tmp_path / "distances")
    return DensePoseDistances(tmp_path / "distances")


def batch_of(data):
    config = DensePoseConfig(part_names=BODY_PARTS)
    samples = DensePoseSamples(data, np.arange(len(data)), config, SIZE, 0, training=False)
    return collate([samples[place] for place in range(len(data))])


def answer_of(data, number, seed=0):
    """Some parts anywhere."""
    rng = torch.Generator().manual_seed(seed)
    part = torch.randint(0, 25, (SIZE, SIZE), generator=rng) * (torch.rand(SIZE, SIZE, generator=rng) < 0.6)
    uv, confidence = torch.rand(2, SIZE, SIZE, generator=rng), torch.rand(SIZE, SIZE, generator=rng)
    return CropAnswer(part, uv, confidence, data.square(number))


def test_a_person_beside_is_measured_as_the_one_in_the_middle(data, distances):
    batch = batch_of(data)
    for row in range(len(data)):
        answer = answer_of(data, row, seed=row)
        person, same = person_found(answer, batch, row, distances), likeness(answer, data, row, distances)
        assert torch.equal(same.distances, person.distances)
        assert torch.equal(same.parts, person.parts)
        assert same.overlap == pytest.approx(person.overlap, abs=0.02)  # the mask's pixels, and the crop's
        assert 0.1 < person.overlap < 0.9


def test_points_outside_of_the_crop_are_infinitely_far(data, distances):
    answer = answer_of(data, 0)._replace(part=torch.full((SIZE, SIZE), 3))
    beside = likeness(answer, data, 2, distances)
    outside = data.points(2).pixels[:, 0] > data.square(0)[2]
    assert outside.any()
    assert not outside.all()
    np.testing.assert_array_equal(np.isinf(beside.distances.numpy()), outside)


def test_the_union_counts_what_lies_outside_of_the_crop(data, distances):
    square, mask = data.square(0), data.mask(2)
    part = torch.zeros(SIZE, SIZE, dtype=torch.int64)
    part[:, 85:] = 3
    x = np.arange(mask.shape[1])
    shown = float((mask & (x < square[2])).sum())
    assert 0 < shown < 0.95 * mask.sum()
    found = likeness(answer_of(data, 0)._replace(part=part), data, 2, distances)
    assert found.overlap == pytest.approx(shown / (float((part > 0).sum()) + mask.sum() - shown))


def test_people_keep_company_within_their_picture_among_those_that_count(data, distances):
    batch, everybody = batch_of(data), frozenset(range(3))
    people = [
        in_company(person_found(answer_of(data, row), batch, row, distances), answer_of(data, row), data, counted, way)
        for row, counted, way in (
            (0, everybody, distances), (1, everybody, distances), (2, everybody, distances),
            (2, frozenset([1, 2]), distances), (2, everybody, None),
        )
    ]  # fmt: skip
    assert [person.picture for person in people] == [0, None, 0, None, None]
    assert [tuple(person.beside) for person in people] == [(2,), (), (0,), (), ()]
    assert [people[2].area, people[3].area, people[4].area] == [2000.0] * 3
    assert people[0].area == pytest.approx(data.mask(0).sum())
