"""Opening data sets by name or by their files, and what is checked in all of them."""

import re
from importlib import import_module

import numpy as np
import pytest
from numpy.testing import assert_allclose

from humanpt.data.labelled import READERS, check, number_tables, open_labelled
from humanpt.data.labelled.number_tables import read_table
from humanpt.errors import InputError
from tests.data.labelled.written_sets import write_dexycb, write_freihand, write_ho3d, write_interhand


@pytest.mark.parametrize(
    ("write", "options", "name"),
    [
        (write_freihand, {}, "freihand"),
        (write_ho3d, {"version": 2}, "ho3d-v2"),
        (write_ho3d, {"version": 3}, "ho3d-v3"),
        (write_interhand, {}, "interhand"),
    ],
)
def test_a_folder_is_recognised_by_its_files(tmp_path, write, options, name):
    assert open_labelled(str(write(tmp_path, 1, **options)), subject="hand").layout.dataset == name


def test_dexycb_is_recognised_and_then_asks_for_its_subjects(tmp_path):
    with pytest.raises(InputError, match="has 1 of 10 subjects"):
        open_labelled(str(write_dexycb(tmp_path, 1, sequences=1, cameras=check_serials())), subject="hand")


def check_serials():
    return import_module("humanpt.data.labelled.dexycb").SERIALS


@pytest.mark.parametrize("name", READERS)
def test_every_reader_opens_a_set_and_says_of_an_empty_folder_what_is_missing(tmp_path, name):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=re.escape(str(tmp_path / "empty"))) as raised:
        open_labelled(f"{name}:{tmp_path / 'empty'}", subject=READERS[name].subjects[0])
    assert "\n" not in str(raised.value)


def test_an_unknown_name_or_folder_is_told(tmp_path):
    with pytest.raises(InputError, match="no such folder; give a folder, or NAME:FOLDER with a name of generated"):
        open_labelled("nowhere:/nothing", subject="hand")
    with pytest.raises(InputError, match="holds the files of no known data set"):
        open_labelled(str(tmp_path), subject="hand")


def test_another_subject_is_told(tmp_path, body_pairs):
    with pytest.raises(InputError, match="freihand has labels of a hand; for a body give one of generated, 3dpw"):
        open_labelled(f"freihand:{tmp_path}", subject="body")
    with pytest.raises(InputError, match="has labels of a body, not of a hand"):
        open_labelled(str(body_pairs.path), subject="hand")


def test_a_set_under_another_name_is_told(tmp_path):
    write_ho3d(tmp_path, 1, version=2)
    with pytest.raises(InputError, match=r"holds ho3d-v2, not ho3d-v3; give ho3d-v2:"):
        open_labelled(f"ho3d-v3:{tmp_path}", subject="hand")


@pytest.mark.parametrize(("subject", "extent"), [("hand", 0.18), ("body", 1.7)])
@pytest.mark.parametrize(("scale", "unit"), [(1000, "millimetres"), (100, "centimetres")])
def test_units_are_recognised_by_the_extent_of_a_subject(subject, extent, scale, unit):
    points = np.random.default_rng(0).random((21, 3)) * extent
    check.in_metres(points, subject, "a.json")
    with pytest.raises(InputError, match=rf"a\.json: the {subject} is .* so its labels are in {unit}, not in metres"):
        check.in_metres(points * scale, subject, "a.json")
    with pytest.raises(InputError, match="metres across, which none is"):
        check.in_metres(points * 1e5, subject, "a.json")


def test_too_few_known_points_say_nothing_of_units():
    points = np.full((21, 3), np.nan)
    points[:5] = np.random.default_rng(0).random((5, 3)) * 500
    check.in_metres(points, "hand", "a.json")


def test_places_behind_the_camera_are_not_known():
    points = np.array([[0.1, 0.2, 2.0], [0.1, 0.2, -2.0], [0.1, 0.2, 0.0], [np.nan] * 3], np.float32)
    camera = np.array([[100, 0, 50], [0, 200, 40], [0, 0, 1]], np.float32)
    assert_allclose(check.seen_at(points, camera), [[55, 60]] + [[np.nan] * 2] * 3)


def test_the_square_on_key_points_holds_the_known_ones():
    pixels = np.array([[10, 20], [50, 30], [np.nan, np.nan]], np.float32)
    assert_allclose(check.square_on(pixels, 1.5, "x"), [0, -5, 60, 55])
    with pytest.raises(InputError, match="x: no two key points are in front of the camera"):
        check.square_on(pixels[1:], 1.5, "x")


def test_tables_are_the_same_however_they_are_cut_into_pieces(tmp_path, monkeypatch):
    table = np.random.default_rng(0).normal(size=(40, 5, 3)).astype(np.float32)
    path = tmp_path / "table.json"
    path.write_text(str(table.astype(float).tolist()))
    whole = np.array(read_table(path, (5, 3), "points").rows)
    np.testing.assert_array_equal(whole, table)
    for piece in (7, 64, 1001):
        monkeypatch.setattr(number_tables, "PIECE", piece)
        path.write_text(path.read_text() + " ")
        np.testing.assert_array_equal(read_table(path, (5, 3), "points").rows, table)


def test_tables_of_single_numbers_and_with_unknown_ones(tmp_path):
    path = tmp_path / "scale.json"
    path.write_text("[0.5, NaN, 2e-3]")
    assert_allclose(read_table(path, (), "scales").rows, [0.5, np.nan, 2e-3])
