from dataclasses import replace

import numpy as np
import pytest

from humanpt.data.labelled.check import seen_at
from humanpt.data.labelled.record import mirrored
from tests.tasks.mesh_sets import WIDTH, MadeSet


@pytest.fixture
def skewed():
    """A right hand before a camera whose axes are not at right angles."""
    hand = MadeSet(count=1).labels(0)
    intrinsics = hand.intrinsics.copy()
    intrinsics[0, 1] = 7.5
    return replace(hand, intrinsics=intrinsics, pixels=seen_at(hand.keypoints, intrinsics))


def test_a_mirrored_camera_sees_mirrored_points_at_their_mirrored_pixels(skewed):
    other = mirrored(skewed, WIDTH)
    np.testing.assert_allclose(seen_at(other.keypoints, other.intrinsics), other.pixels, atol=1e-4)
    np.testing.assert_array_equal(other.pixels[:, 1], skewed.pixels[:, 1])
    np.testing.assert_allclose(other.pixels[:, 0] + skewed.pixels[:, 0], WIDTH - 1, atol=1e-4)


def test_mirroring_twice_is_once_nothing(skewed):
    again = mirrored(mirrored(skewed, WIDTH), WIDTH)
    assert again.side == skewed.side
    for name in ("square", "intrinsics", "keypoints", "pixels", "pose", "shape", "transl"):
        np.testing.assert_allclose(getattr(again, name), getattr(skewed, name), atol=1e-5)
