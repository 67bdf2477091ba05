"""Cut-outs come back as they were written, from any number of parts."""

import numpy as np
import pytest

from humanpt.data.detection.cutouts import PIXELS, CutOuts, Framing, part_name, write_cutouts
from humanpt.errors import InputError
from tests.cutouts import painted, write_painted


def test_cutouts_come_back_as_they_were_written(tmp_path):
    with write_cutouts(tmp_path / part_name(0)) as add:
        add(painted(3))
    with write_cutouts(tmp_path / part_name(100)) as add:
        add(painted(104, Framing.HAND, cut=(True, False, False, True)))
    cutouts = CutOuts(tmp_path)
    assert len(cutouts) == 2
    assert cutouts.person.tolist() == [3, 104]
    first, second = cutouts[0], cutouts[1]
    np.testing.assert_array_equal(first.rgba, painted(3).rgba)
    np.testing.assert_array_equal(second.label, painted(104).label)
    assert second.framing == Framing.HAND
    assert second.cut == (True, False, False, True)
    assert second.seen == (1.0, 1.0)


def test_a_part_that_fails_leaves_nothing(tmp_path):
    def fail():
        with write_cutouts(tmp_path / part_name(0)) as add:
            add(painted(0))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert not list(tmp_path.iterdir())


def test_a_folder_without_cutouts_and_a_short_part_are_refused(tmp_path):
    with pytest.raises(InputError, match="holds no cut-outs"):
        CutOuts(tmp_path)
    folder = write_painted(tmp_path / "set")
    pixels = folder / part_name(0) / PIXELS
    pixels.write_bytes(pixels.read_bytes()[:-1])
    with pytest.raises(InputError, match="shorter than"):
        CutOuts(folder)
