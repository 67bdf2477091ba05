import numpy as np
import pytest

from humanpt.data.crops import mask_in_square, share_inside, square_around
from humanpt.data.records import MASK_SIZE


def test_the_square_has_the_boxs_centre_and_the_margin_of_its_longer_side():
    square = square_around(np.float32([10, 20, 30, 70]), 1.2)
    np.testing.assert_allclose(square, [20 - 30, 45 - 30, 20 + 30, 45 + 30], atol=1e-4)


@pytest.mark.parametrize(
    ("square", "share"),
    [([-0.5, -0.5, 9.5, 9.5], 1.0), ([-10.5, -0.5, 9.5, 19.5], 0.5), ([30, 30, 40, 40], 0.0), ([5, 5, 5, 5], 0.0)],
)
def test_the_share_inside_is_an_area(square, share):
    assert share_inside(np.float32(square), 20, 20) == pytest.approx(share)


def test_without_a_mask_the_box_is_the_subject():
    box = np.float32([9.5, -0.5, 29.5, 39.5])  # half as wide as high
    mask = mask_in_square(None, box, square_around(box, 1.0), (40, 40))
    assert mask[:, 16:48].all()
    assert not mask[:, :16].any()
    assert not mask[:, 48:].any()


def test_a_mask_of_any_resolution_lands_on_the_same_place():
    box = np.float32([-0.5, -0.5, 63.5, 63.5])
    coarse = np.zeros((4, 4), np.bool_)
    coarse[1, 2] = True
    fine = np.kron(coarse, np.ones((16, 16), np.bool_))
    seen = mask_in_square(coarse, box, box, (64, 64))
    assert (seen != mask_in_square(fine, box, box, (64, 64))).mean() < 0.03  # only the corners are rounded
    assert seen[20:28, 36:44].all()
    assert seen.sum() == pytest.approx(MASK_SIZE * MASK_SIZE / 16, rel=0.4)


def test_what_the_mask_shows_outside_the_box_is_somebody_else():
    box = np.float32([0, 0, 20, 20])
    mask = mask_in_square(np.ones((40, 40), np.bool_), box, square_around(box, 2.0), (40, 40))
    np.testing.assert_array_equal(mask, mask_in_square(None, box, square_around(box, 2.0), (40, 40)))
