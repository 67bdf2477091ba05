"""Distances along DensePose's surface, read from files in the owners' layout, and the slow way."""

import pickle
import tracemalloc

import numpy as np
import pytest
import scipy.io

from humanpt.data.labelled import densepose_distances
from humanpt.data.labelled.densepose_distances import DensePoseDistances, missing_file
from humanpt.errors import InputError
from tests.data.labelled.written_distances import FORMS, Surface, write_distances, write_table


@pytest.fixture
def questions():
    """40 pairs of points, some off the surface."""
    rng = np.random.default_rng(3)
    return [rng.integers(0, 25, 40), rng.uniform(0, 1, (40, 2)), rng.integers(0, 25, 40), rng.uniform(0, 1, (40, 2))]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("place", [".", "eval_data"])
def test_distances_are_those_of_the_slow_twin(tmp_path, questions, form, place):
    surface = write_distances(tmp_path / place, form=form)
    found = DensePoseDistances(tmp_path).between(*questions)
    twin = [surface.metres(*question) for question in zip(*questions, strict=True)]
    assert found.dtype == np.float32
    assert np.isinf(found).any()
    np.testing.assert_array_equal(found, np.array(twin, np.float32))


def test_a_point_is_no_distance_from_itself_and_as_far_there_as_back(tmp_path, questions):
    write_distances(tmp_path)
    distances, (part1, uv1, part2, uv2) = DensePoseDistances(tmp_path), questions
    assert set(distances.between(part1, uv1, part1, uv1)) == {0, np.inf}
    np.testing.assert_array_equal(distances.between(part1, uv1, part2, uv2), distances.between(part2, uv2, part1, uv1))
    assert len(distances.between(part1[:0], uv1[:0], part1[:0], uv1[:0])) == 0


@pytest.mark.parametrize("form", [form for form in FORMS if form != "protocol2.pkl"])
def test_the_table_stays_on_the_disk(tmp_path, questions, form, monkeypatch):
    monkeypatch.setattr(densepose_distances, "BLOCK", 1 << 14)
    write_distances(tmp_path, Surface(each=50), form)  # 2.9 MB of distances
    tracemalloc.start()
    try:
        DensePoseDistances(tmp_path).between(*questions)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", ["SMPL_subdiv.mat", "SMPL_SUBDIV_TRANSFORM.mat", "Pdist_matrix.pkl"])
def test_the_file_that_is_missing_is_named(tmp_path, name):
    write_distances(tmp_path / "eval_data")
    assert missing_file(tmp_path) is None
    (tmp_path / "eval_data" / name).unlink()
    assert missing_file(tmp_path) == tmp_path / "eval_data" / name
    with pytest.raises(
        InputError, match=rf"{name}: no such file; get it from https://dl.fbaipublicfiles.com/densepose"
    ):
        DensePoseDistances(tmp_path)


@pytest.mark.parametrize("form", FORMS)
def test_distances_in_other_units_or_of_other_meshes_are_refused(tmp_path, form):
    surface = Surface()
    many = len(surface.part) * (len(surface.part) - 1) // 2
    for table, words in (
        (np.full(many, 900, np.float32), "distances from 900 to 900 are no metres"),
        (np.full(many, np.nan, np.float32), "are no metres"),
        (np.ones(many - 1, np.float32), f"has {many - 1} numbers"),
    ):
        write_distances(tmp_path, surface, form, table)
        with pytest.raises(InputError, match=words) as told:
            DensePoseDistances(tmp_path)
        assert "\n" not in str(told.value)


def test_a_distance_that_is_none_is_told_when_it_is_met(tmp_path, monkeypatch):
    monkeypatch.setattr(densepose_distances, "LOOKED_AT", 1)
    surface = Surface()
    table = np.full(len(surface.part) * (len(surface.part) - 1) // 2, np.nan, np.float32)
    table[0] = 1
    write_distances(tmp_path, surface, table=table)
    with pytest.raises(InputError, match="has distances that are none"):
        DensePoseDistances(tmp_path).between(np.arange(1, 24), np.zeros((23, 2)), np.arange(2, 25), np.zeros((23, 2)))


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("SMPL_subdiv.mat", {"Part_ID_subdiv": np.ones((5, 1))}, "cannot be read (no U_subdiv)"),
        ("SMPL_subdiv.mat", None, "SMPL_subdiv.mat: cannot be read"),
        ("SMPL_SUBDIV_TRANSFORM.mat", {"index": np.arange(72)}, "does not number the 72 vertices"),
        ("SMPL_SUBDIV_TRANSFORM.mat", {"index": np.arange(1, 72)}, "does not number the 72 vertices"),
        ("SMPL_SUBDIV_TRANSFORM.mat", {"index": np.full(72, np.nan)}, "some that are not finite"),
        ("Pdist_matrix.pkl", None, "is no whole pickle"),
        ("Pdist_matrix.pkl", {"other": np.ones(3)}, "holds no Pdist_matrix"),
        ("Pdist_matrix.pkl", {"Pdist_matrix": print}, "names builtins.print"),
    ],
)
def test_damaged_files_are_told_in_one_line(tmp_path, name, content, words):
    write_distances(tmp_path)
    if content is None:
        (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:100])
    elif name.endswith(".mat"):
        scipy.io.savemat(tmp_path / name, content)
    else:
        (tmp_path / name).write_bytes(pickle.dumps(content))
    with pytest.raises(InputError) as told:
        DensePoseDistances(tmp_path)
    assert words in str(told.value)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("change", ["lost", "outside", "uneven"])
def test_charts_that_are_none_are_told_in_one_line(tmp_path, change):
    surface = Surface()
    if change == "lost":
        surface.part[surface.part == 7] = 8
    elif change == "outside":
        surface.uv[5] = 1.5
    write_distances(tmp_path, surface)
    if change == "uneven":
        told = {"Part_ID_subdiv": surface.part, "U_subdiv": surface.uv[:, 0], "V_subdiv": surface.uv[1:, 1]}
        scipy.io.savemat(tmp_path / "SMPL_subdiv.mat", told)
    words = {"lost": "no vertices of part 7", "outside": "do not lie in", "uneven": "72 parts, 72 u and 71 v"}
    with pytest.raises(InputError, match=words[change]):
        DensePoseDistances(tmp_path)


def test_a_file_that_is_not_of_matlab_73_is_told_in_one_line(tmp_path):
    write_distances(tmp_path, form="plain.mat")
    (tmp_path / "Pdist_matrix.mat").write_bytes(b"MATLAB 5.0 MAT-file")
    with pytest.raises(InputError, match=r"Pdist_matrix.mat: cannot be read as a file of MATLAB 7.3") as told:
        DensePoseDistances(tmp_path)
    assert "\n" not in str(told.value)


def test_whole_numbers_are_no_distances(tmp_path):
    write_distances(tmp_path, form="protocol4.pkl")
    write_table(tmp_path / "Pdist_matrix.pkl", np.ones((72 * 71 // 2, 1), np.int32), "protocol4.pkl")
    with pytest.raises(InputError, match=r"2556 numbers \(int32\)"):
        DensePoseDistances(tmp_path)
