"""Charts: what is drawn of long, empty and many curves."""

import numpy as np
import pytest

from humanpt.pages.charts import bars, lines, style, thinned


def test_a_long_curve_is_drawn_by_the_means_of_its_stretches():
    x, y = thinned(range(10_000), np.arange(10_000) * 2.0, most=100)
    assert len(x) == len(y) == 100
    assert x[0] == pytest.approx(49.5)
    assert y == pytest.approx([2 * value for value in x])


def test_a_short_curve_is_drawn_as_it_is():
    assert thinned([1, 2], [3, 4]) == ([1, 2], [3, 4])


def test_many_curves_look_different():
    assert len({style(number) for number in range(24)}) == 24


def test_a_curve_without_points_is_left_out_and_levels_are_named():
    svg = lines({"a": ([], []), "b": ([0, 1], [1, 2])}, "step", "loss", levels={"mean pose": 1.5})
    assert svg.startswith("<svg")
    assert "mean pose" in svg


def test_bars_begin_at_nothing_even_where_all_are_nothing():
    svg = bars({"": {"torso": 0.0, "arm": 0.0}}, "overlap (%)", "by part")
    assert "torso" in svg
    assert "\N{MINUS SIGN}" not in svg


def test_bars_of_two_series_stand_under_one_name():
    svg = bars({"a": {"left_knee": 1.0, "nose": 2.0}, "b": {"nose": 3.0}}, "error (mm)", "by joint")
    names = [name for name in ("left knee", "nose") if f"<!-- {name} -->" in svg]
    assert names == ["left knee", "nose"]
    assert svg.count("<!-- nose -->") == 1
