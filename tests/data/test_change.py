import json

import cv2
import numpy as np
import pytest
from scipy.stats import spearmanr

from humanpt.data.change import SIZE, ChangeMeter
from humanpt.data.crops import square_around
from humanpt.data.image import warp_square

MARGIN = 1.2


def blotches(seed):
    """A (256, 256, 3) picture with structure at many sizes and a border that stays."""
    noise = np.random.default_rng(seed).uniform(0, 255, (256, 256)).astype(np.float32)
    picture = sum(cv2.GaussianBlur(noise, (0, 0), width) * width for width in (2, 4, 8))
    picture = cv2.normalize(picture, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)
    return cv2.cvtColor(picture, cv2.COLOR_GRAY2RGB)


def shifted(picture, right, down):
    return cv2.warpAffine(
        picture, np.float32([[1, 0, right], [0, 1, down]]), picture.shape[1::-1], borderMode=cv2.BORDER_REFLECT
    )


@pytest.fixture
def meter():
    return ChangeMeter(MARGIN)


def measure(meter, view1, view2, mask):
    """The amount of change and the share visible in both."""
    flow = meter.follow(view1, view2)
    return meter.amount(flow, mask), meter.visible(flow, view1, view2, mask)


@pytest.fixture
def middle():
    mask = np.zeros((64, 64), np.bool_)
    mask[16:48, 16:48] = True
    return mask


def test_nothing_changed_is_zero_and_all_visible(meter, middle):
    view = meter.view(blotches(0))
    amount, visible = measure(meter, view, view, middle)
    assert amount < 0.002
    assert visible > 0.99


@pytest.mark.parametrize(("right", "down"), [(12, 0), (0, -16), (12, 16)])
def test_a_shift_is_measured_as_a_share_of_the_box(meter, middle, right, down):
    view1, view2 = meter.view(blotches(1)), meter.view(shifted(blotches(1), right, down))
    expected = np.hypot(right, down) / 256 * MARGIN
    amount, visible = measure(meter, view1, view2, middle)
    assert amount == pytest.approx(expected, rel=0.08)
    assert visible > 0.9


def test_only_the_subject_counts(meter, middle):
    picture = blotches(2)
    moved = picture.copy()
    moved[96:160, 96:160] = shifted(picture, 10, 0)[96:160, 96:160]
    still = np.zeros((64, 64), np.bool_)
    still[:, :12] = True
    view1, view2 = meter.view(picture), meter.view(moved)
    flow = meter.follow(view1, view2)
    assert meter.amount(flow, still) < 0.01
    assert meter.amount(flow, middle) > 0.01


def test_another_picture_is_hardly_visible(meter, middle):
    _, visible = measure(meter, meter.view(blotches(3)), meter.view(blotches(4)), middle)
    assert visible < 0.3


def test_an_empty_mask_means_the_whole_crop(meter):
    view1, view2 = meter.view(blotches(5)), meter.view(shifted(blotches(5), 8, 0))
    nothing, everything = np.zeros((64, 64), np.bool_), np.ones((64, 64), np.bool_)
    flow = meter.follow(view1, view2)
    assert meter.amount(flow, nothing) == meter.amount(flow, everything)


def test_the_view_has_the_size_that_flow_compares(meter):
    assert meter.view(blotches(6)).shape == (SIZE, SIZE)


@pytest.mark.parametrize("camera", [0, 1])
def test_it_ranks_real_motion_as_the_joints_do(samples, meter, camera):
    """The sample walk has exact 3D joints: their mean shift over the box size is what the measure stands for."""
    folder = samples / "synthetic" / "walk2cam"
    truth = json.loads((folder / "gt.json").read_text())
    frames = read_all(folder / f"cam{camera}.mp4")
    boxes = np.array(truth["boxes"][camera], np.float32) - 0.5
    joints = project(truth, camera)
    size = (boxes[:, 2:] - boxes[:, :2]).max(axis=1)
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    aligned = (joints - centre[:, None]) / size[:, None, None]
    views, masks = [], []
    for frame, box in zip(frames, boxes, strict=True):
        square = square_around(box, MARGIN)
        views.append(meter.view(warp_square(frame, square, 256)))
        x, y = ((box[2:] - box[:2]) / (square[2] - square[0]) * 32).round().astype(int)
        mask = np.zeros((64, 64), np.bool_)
        mask[32 - y : 32 + y, 32 - x : 32 + x] = True
        masks.append(mask)
    pairs = np.random.default_rng(0).integers(0, len(frames), (120, 2))
    pairs = [(i, j) for i, j in pairs if i != j]
    true = np.array([np.linalg.norm(aligned[i] - aligned[j], axis=1).mean() for i, j in pairs])
    measured = np.array([meter.amount(meter.follow(views[i], views[j]), masks[i]) for i, j in pairs])
    assert spearmanr(measured, true)[0] > 0.7
    assert 0.8 < np.median(measured / true) < 1.25


def project(truth, camera):
    """(frames, joints, 2) pixels; the sample puts pixel centres at halves, we at whole numbers."""
    intrinsics, rotation, shift = (np.array(truth["cameras"][camera][key]) for key in "KRt")
    points = (np.array(truth["keypoints3d"]) @ rotation.T + shift) @ intrinsics.T
    return points[..., :2] / points[..., 2:] - 0.5


def read_all(path):
    capture, frames = cv2.VideoCapture(str(path)), []
    while True:
        there, bgr = capture.read()
        if not there:
            return frames
        frames.append(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB))
