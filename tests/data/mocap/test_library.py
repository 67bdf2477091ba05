"""Moments of recorded motions."""

import numpy as np
import pytest

from humanpt.body.model import load_body_model
from humanpt.data.mocap.library import MotionLibrary
from humanpt.errors import ConfigError, InputError


@pytest.fixture(scope="module")
def library():
    return MotionLibrary(None, load_body_model("anny-body-small"))


def test_two_moments_are_as_far_apart_as_asked_in_either_order(library):
    rng = np.random.default_rng(0)
    gaps = []
    for _ in range(60):
        moments = library.draw(rng, 2, 0.2, 1.0)
        gaps.append(moments.times[1] - moments.times[0])
        assert moments.poses.shape[:1] == moments.transl.shape[:1] == (2,)
    assert np.abs(gaps).min() >= 0.2 - 1e-6
    assert np.abs(gaps).max() <= 1.0 + 1e-6
    assert min(gaps) < 0 < max(gaps)


def test_motions_that_are_too_short_are_passed_over(library):
    moments = library.draw(np.random.default_rng(0), 2, 5.0, 6.0)
    assert abs(moments.times[1] - moments.times[0]) >= 5.0


def test_a_gap_that_no_motion_has_is_one_line(library):
    with pytest.raises(ConfigError, match="no motion drawn lasts 1000 s"):
        library.draw(np.random.default_rng(0), 2, 1000.0, 2000.0)


def test_a_folder_without_motions_is_refused(tmp_path):
    with pytest.raises(InputError):
        MotionLibrary(tmp_path, load_body_model("anny-body-small"))
