"""Pictures: files, crops, and the pixel-centre convention."""

import cv2
import numpy as np
import pytest

from humanpt.data import image
from humanpt.data.image import (
    OUTSIDE,
    decode_jpeg,
    encode_jpeg,
    largest_shrink,
    read_image,
    resize_square,
    warp_mask,
    warp_square,
)
from humanpt.errors import InputError


@pytest.fixture
def noise():
    return np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)


def smooth(size):
    x = np.linspace(0, 3, size)
    grey = 128 + 60 * np.sin(x)[:, None] * np.cos(x)[None]
    return np.stack([grey, 255 - grey, grey / 2], axis=-1).astype(np.uint8)


def test_a_jpeg_comes_back_nearly_as_it_was():
    rgb = smooth(64)
    assert np.abs(decode_jpeg(encode_jpeg(rgb)).astype(int) - rgb).mean() < 2


def test_a_jpeg_may_be_decoded_from_a_view():
    jpeg = encode_jpeg(smooth(64))
    assert np.array_equal(decode_jpeg(memoryview(jpeg)), decode_jpeg(jpeg))


@pytest.mark.parametrize("data", [b"", b"no picture", b"\xff\xd8\xff\xe0"])
def test_bytes_that_are_no_picture_are_refused(data):
    with pytest.raises(ValueError, match="no picture"):
        decode_jpeg(data)


def test_grey_transparent_and_deep_pictures_are_read_as_rgb(tmp_path):
    cv2.imwrite(str(tmp_path / "grey.png"), np.full((4, 5), 9, np.uint8))
    cv2.imwrite(str(tmp_path / "alpha.png"), np.full((4, 5, 4), (10, 20, 30, 128), np.uint8))
    cv2.imwrite(str(tmp_path / "deep.png"), np.full((4, 5, 3), (2560, 5120, 7680), np.uint16))
    assert (read_image(tmp_path / "grey.png") == np.full((4, 5, 3), 9)).all()
    assert (read_image(tmp_path / "alpha.png") == np.full((4, 5, 3), (30, 20, 10))).all()
    assert (read_image(tmp_path / "deep.png") == np.full((4, 5, 3), (30, 20, 10))).all()


def test_what_is_no_picture_file_is_an_input_error(tmp_path):
    (tmp_path / "text.jpg").write_text("no picture")
    with pytest.raises(InputError, match=r"text\.jpg: not a picture"):
        read_image(tmp_path / "text.jpg")
    for path in (tmp_path, tmp_path / "nowhere.jpg"):
        with pytest.raises(InputError, match="cannot be read"):
            read_image(path)


def test_a_crop_at_whole_pixels_is_a_slice(noise):
    crop = warp_square(noise, (9.5, 19.5, 73.5, 83.5), 64)
    assert np.array_equal(crop, noise[20:84, 10:74])


def test_what_lies_outside_is_grey(noise):
    crop = warp_square(noise, (-10.5, -20.5, 53.5, 43.5), 64)
    assert np.array_equal(crop[20:, 10:], noise[:44, :54])
    assert (crop[:20] == OUTSIDE).all()
    assert (crop[:, :10] == OUTSIDE).all()
    assert (warp_square(noise, (500, 500, 600, 600), 16) == OUTSIDE).all()


@pytest.mark.parametrize("size", [16, 24, 30, 37, 50, 64, 100, 128])
@pytest.mark.parametrize("shift", [0.0, 0.25, 0.7])
def test_a_ramp_keeps_its_values_at_any_scale(size, shift):
    y, x = np.mgrid[:90, :110].astype(np.float32)
    ramp = 1.37 * x + 0.61 * y
    left, top, side = 20 + shift, 11 - shift, 64
    square = np.array([left, top, left + side, top + side])
    centres = (np.arange(size) + 0.5) * side / size
    expected = 1.37 * (left + centres) + 0.61 * (top + centres)[:, None]
    assert np.allclose(image._resample(ramp, square, size, 0), expected, atol=1e-3)  # floats show the geometry alone
    rounded = np.rint(ramp)[..., None].repeat(3, 2).astype(np.uint8)
    crop = warp_square(rounded, square, size)[..., 0]
    assert np.abs(crop - expected).max() <= 1.5  # rounded thrice: in the ramp, after the shift, after the mean


@pytest.mark.parametrize("size", [16, 23, 40, 100])
def test_shrinking_does_not_alias(size):
    checks = np.indices((200, 200)).sum(0) % 2 * 255
    crop = warp_square(np.repeat(checks[..., None], 3, 2).astype(np.uint8), (-0.5, -0.5, 199.5, 199.5), size)
    assert np.abs(crop - 127.5).max() <= 255 / 2 * (size / 200) ** 2 + 2


def test_shrinking_by_whole_factors_is_the_mean(noise):
    crop = warp_square(noise, (-0.5, -0.5, 89.5, 89.5), 30).astype(float)
    mean = noise[:, :90].reshape(30, 3, 30, 3, 3).mean((1, 3))
    assert np.abs(crop - mean).max() <= 0.5


@pytest.mark.parametrize("square", [(0, 0, 0, 0), (0, 0, 10, 20), (5, 5, 1, 1), (0, 0, np.nan, 4), (1, 2, 3)])
def test_a_square_must_be_one(noise, square):
    with pytest.raises(ValueError, match="square is"):
        warp_square(noise, square, 8)


def test_a_picture_must_be_rgb():
    with pytest.raises(ValueError, match=r"must be uint8 \(H, W, 3\)"):
        warp_square(np.zeros((4, 4, 3)), (0, 0, 2, 2), 2)


def test_a_mask_of_any_resolution_covers_the_whole_picture():
    mask = np.zeros((30, 20), bool)
    mask[:, 10:] = True  # the right half of a picture of 200 x 300
    cut = warp_mask(mask, (49.5, 99.5, 149.5, 199.5), 64, (200, 300))
    assert cut[:, 32:].all()
    assert not cut[:, :31].any()


def test_a_mask_at_whole_pixels_is_a_slice():
    mask = np.random.default_rng(0).random((80, 100)) > 0.5
    assert np.array_equal(warp_mask(mask, (9.5, 3.5, 73.5, 67.5), 64, (100, 80)), mask[4:68, 10:74])


def test_nothing_outside_is_masked():
    cut = warp_mask(np.ones((10, 10), bool), (-10.5, -10.5, 9.5, 9.5), 20, (10, 10))
    assert cut[10:, 10:].all()
    assert not cut[:10].any()


@pytest.mark.parametrize("size", [20, 45, 73, 90, 130])
def test_resizing_keeps_a_ramp(size):
    small = resize_square(np.tile(np.arange(90, dtype=np.uint8)[:, None], (90, 1, 3)), size)[:, 2:-2, 0].astype(float)
    assert np.abs(small - ((np.arange(size) + 0.5) * 90 / size - 0.5)[2:-2]).max() <= 0.8


def test_only_squares_are_resized(noise):
    with pytest.raises(ValueError, match="must be square"):
        resize_square(noise, 32)


@pytest.mark.parametrize(
    ("least", "shrink"), [(None, 1), (256, 1), (129, 1), (128, 2), (73, 2), (64, 4), (10, 8), (1, 8)]
)
def test_a_picture_is_shrunk_as_far_as_enough_is_left(least, shrink):
    assert largest_shrink(256, least) == shrink


def test_a_side_that_does_not_divide_is_not_shrunk():
    assert largest_shrink(255, 10) == 1


@pytest.mark.parametrize("shrink", [2, 4, 8])
def test_a_shrunk_picture_is_the_average_of_the_whole(shrink):
    smooth = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 255, (64, 64, 3)).astype(np.uint8), (0, 0), 6)
    jpeg = encode_jpeg(smooth, 98)
    whole = decode_jpeg(jpeg).reshape(64 // shrink, shrink, 64 // shrink, shrink, 3).mean(axis=(1, 3))
    assert np.abs(decode_jpeg(jpeg, shrink) - whole).max() < 6
