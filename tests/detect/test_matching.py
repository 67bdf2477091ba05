"""Found boxes against true ones, by cases that can be counted by hand."""

import math

import numpy as np

from humanpt.detect.matching import Matches, match, overlaps, rates, recall_at

A, B, C = [0.0, 0, 10, 10], [20.0, 0, 30, 10], [40.0, 0, 50, 10]


def found(boxes, scores, true=(A, B), doubtful=None):
    return match(
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(scores, np.float32),
        np.array(true, np.float32).reshape(-1, 4),
        np.zeros(len(true), bool) if doubtful is None else np.array(doubtful),
    )


def test_overlap_of_halves_and_of_strangers():
    pair = overlaps(np.array([A], np.float32), np.array([A, [5, 0, 15, 10], B], np.float32))
    np.testing.assert_allclose(pair, [[1, 1 / 3, 0]])


def test_each_true_box_is_met_once_and_by_the_best():
    one = found([A, A, C], [0.5, 0.9, 0.7])
    assert one.scores.tolist() == [np.float32(0.9), np.float32(0.7), np.float32(0.5)]
    assert one.right.tolist() == [True, False, False]
    assert one.met.tolist() == [0, -1, -1]
    assert one.order.tolist() == [1, 2, 0]
    assert one.wanted == 2


def test_doubtful_boxes_are_neither_asked_for_nor_held_against():
    one = found([A, B], [0.9, 0.8], doubtful=[True, False])
    assert one.right.tolist() == [True]
    assert one.wanted == 1


def test_recall_at_the_allowed_number_of_false_boxes():
    frames = [found([A, C, B], [0.9, 0.8, 0.7]), found([], [], true=(A,))]
    assert recall_at(frames, 0.0) == (1 / 3, np.float32(0.9))
    assert recall_at(frames, 0.5) == (2 / 3, np.float32(0.7))
    assert rates(frames, 0.75) == (1 / 3, 0.5)


def test_nothing_to_find_is_no_recall():
    empty = Matches(scores=np.zeros(0, np.float32), met=np.zeros(0, int), order=np.zeros(0, int), wanted=0)
    assert math.isnan(recall_at([empty], 0.3)[0])
    assert math.isnan(rates([empty], 0.3)[0])
