"""Which samples of a stream are shown, and what is drawn of one."""

import dataclasses

import cv2
import numpy as np
import pytest

from humanpt.pages.case_pictures import (
    GROUND,
    TILE,
    draw_case,
    draw_surface,
    from_the_side,
    heat_limit,
    off_by,
    over_picture,
    round_limit,
    tile_names,
)
from humanpt.pages.cases import CasePicker, SurfaceErrors
from tests.pages.meshes import FOCAL, SIZE, case


def picked(errors, **wanted):
    picker = CasePicker(**wanted)
    picker.add(range(len(errors)), errors)
    return picker.chosen()


def test_the_chosen_are_those_that_sorting_all_would_choose():
    errors = np.random.default_rng(0).permutation(200).astype(float)
    order = np.argsort(errors).tolist()
    chosen = picked(errors, best=5, median=4, worst=30)
    assert chosen == {"best": order[:5], "median": order[98:102], "worst": order[:-31:-1]}


def test_the_order_of_batches_does_not_matter():
    errors = np.random.default_rng(0).random(90)
    picker = CasePicker(best=3, median=3, worst=3)
    for some in np.array_split(np.random.default_rng(1).permutation(90), 7):
        picker.add(some, errors[some])
    assert picker.chosen() == picked(errors, best=3, median=3, worst=3)


@pytest.mark.parametrize("count", [0, 1, 2, 3, 7, 24])
def test_a_short_stream_shows_each_sample_at_most_once_and_the_worst_first_of_all(count):
    chosen = picked(list(range(count)), best=6, median=6, worst=50)
    shown = [index for some in chosen.values() for index in some]
    assert len(shown) == len(set(shown)) == min(count, (count + 1) // 2 + 12)
    assert chosen["worst"] == list(range(count))[::-1][: (count + 1) // 2]


def test_samples_without_an_error_are_counted_and_never_chosen():
    picker = CasePicker(best=2, median=2, worst=2)
    picker.add(range(6), [3.0, float("nan"), 1.0, 2.0, float("inf"), 4.0])
    shown = {index for some in picker.chosen().values() for index in some}
    assert shown == {0, 2, 3, 5}
    assert (picker.count, picker.unranked) == (4, 2)


def test_a_long_stream_is_remembered_by_an_even_draw():
    errors = np.linspace(0, 1, 20_000)
    picker = CasePicker(best=1, median=3, worst=1, remembered=500)
    picker.add(range(len(errors)), errors)
    chosen = picker.chosen()
    assert len(picker._remembered) == 500
    assert (chosen["best"], chosen["worst"]) == ([0], [19_999])
    assert errors[chosen["median"]] == pytest.approx([0.5] * 3, abs=0.1)


def test_equal_errors_choose_the_first_samples():
    assert picked([1.0] * 10, best=2, median=0, worst=2)["best"] == [0, 1]


def test_the_mesh_covers_its_place_alone():
    nowhere = np.full((4, 3), np.nan, np.float32)
    plain = over_picture(case(predicted_vertices=None, predicted_keypoints=nowhere))
    covered = (over_picture(case()) != plain).any(-1)
    middle = TILE // 2
    assert covered[middle, middle]
    across = np.flatnonzero(covered.any(0))
    vertices = case().predicted_vertices
    edges = (FOCAL * vertices[:, 0] / vertices[:, 2] + 32) / SIZE * TILE  # of pixels, of a tile
    assert [across[0], across[-1] + 1] == pytest.approx([edges.min(), edges.max()], abs=1.5)


def test_a_prediction_that_differs_by_a_similarity_has_no_heat():
    turned = np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1]], np.float32)
    exact = case()
    moved = dataclasses.replace(exact, predicted_vertices=exact.true_vertices @ turned.T * 1.2 + np.float32(0.01))
    heat = off_by(moved, 10.0)
    inside = cv2.erode((heat != GROUND).any(-1).astype(np.uint8), np.ones((5, 5))) > 0
    ratio = heat[inside] / heat[inside].max(-1, keepdims=True)
    assert inside.sum() > TILE * TILE / 8
    assert np.abs(ratio - np.median(ratio, axis=0)).max() < 0.02  # one hue, in more or less light
    assert ratio[:, 2].min() > 0.6  # and a pale one


def test_what_is_off_is_red():
    exact = case()
    vertices = exact.true_vertices.copy()
    vertices[vertices[:, 0] > 0.02] += np.float32([0.03, 0, 0])
    heat = off_by(dataclasses.replace(exact, predicted_vertices=vertices), 10.0).astype(int)
    assert (heat[..., 0] - heat[..., 1]).max() > 100


def test_from_the_side_the_distance_from_the_camera_does_not_show():
    near, far = case(), case(shift=(0.0, 0.0, 0.2))
    difference = from_the_side(near).astype(int) - from_the_side(far)
    assert np.abs(difference).max() <= 3


def test_from_the_side_depth_runs_across():
    thin = case()
    flat = np.float32([1, 1, 0.01])
    squeezed = (thin.true_vertices - (0, 0, 0.5)) * flat + np.float32([0, 0, 0.5])
    drawn = dataclasses.replace(
        thin, predicted_vertices=squeezed.astype(np.float32), true_vertices=None, true_keypoints=None
    )
    shown = (from_the_side(drawn) != GROUND).any(-1)
    assert shown.any(1).sum() > 5 * shown.any(0).sum()


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"true_vertices": None},
        {"true_vertices": None, "true_keypoints": None},
        {"predicted_vertices": None, "true_vertices": None, "faces": None},
        {"true_keypoints": np.full((4, 3), np.nan, np.float32)},
    ],
)
def test_every_kind_of_case_is_drawn_as_its_names_say(changes):
    one = case(**changes)
    limit = heat_limit([one])
    strip = draw_case(one, limit)
    assert strip.shape == (TILE, (TILE + 4) * len(tile_names(one)) - 4, 3)
    assert (limit is None) == (one.true_vertices is None)
    assert draw_case(one, limit, crop=False).shape[1] == strip.shape[1] - TILE - 4


@pytest.mark.parametrize(("errors", "limit"), [([4.2] * 9, 5), ([0.31], 0.4), ([101.0] * 3, 150), ([0.0], 0.001)])
def test_limits_are_round_and_above_nine_tenths(errors, limit):
    assert round_limit(np.array(errors)) == pytest.approx(limit)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_surface_is_shown_from_its_broad_sides_whatever_axis_is_thin(axis):
    one = case()
    vertices = (one.true_vertices - (0, 0, 0.5)).astype(np.float32)
    vertices[:, axis] *= 0.02
    errors = SurfaceErrors(vertices=vertices, faces=one.faces, errors_mm=np.full(len(vertices), 1, np.float32))
    drawn = draw_surface(errors, 2.0)
    shown = (drawn != 255).any(-1)
    assert shown.any(0).sum() > 0.5 * drawn.shape[0]
    assert shown.any(1).sum() > 0.25 * drawn.shape[0]
