"""Our own detector: known heat maps give known boxes, in the pixels of the frame."""

import numpy as np
import pytest
import torch

from humanpt.detect import heatmap
from humanpt.detect.detector import DetectConfig
from humanpt.detect.heatmap import OwnDetector, decode, letterbox, load_weights, save_weights
from humanpt.errors import InputError
from humanpt.models.heatmap import HeatMapConfig, HeatMapNet, HeatMaps

TINY = HeatMapConfig(widths=(8, 8, 8, 8), depths=(1, 1, 1, 1), head_dim=8)


def maps_with(peaks, kinds=1, size=(8, 10)):
    """Heat maps with (probability of the second kind, row, column, score, box) peaks, and a mask everywhere."""
    centre, second = torch.full((1, 1, *size), -9.0), torch.zeros(1, kinds - 1, *size)
    sides = torch.ones(1, 4, *size)
    for kind, row, column, score, box in peaks:
        centre[0, 0, row, column] = np.log(score / (1 - score))
        if kinds == 2:
            second[0, 0, row, column] = np.log(kind / (1 - kind))
        x, y = 8 * column + 3.5, 8 * row + 3.5
        sides[0, :, row, column] = torch.tensor([x - box[0], y - box[1], box[2] - x, box[3] - y])
    return HeatMaps(centre=centre, kind=second, sides=sides, mask=torch.full((1, 1, *size), 9.0))


class Scripted(torch.nn.Module):
    """A network that has one answer for the first, larger picture of a frame and one for the second."""

    def __init__(self, maps, half=None):
        super().__init__()
        self.answers = [maps, half or maps_with([], kinds=1 + maps.kind.shape[1])]
        self.seen = []

    def forward(self, pictures):
        self.seen.append(tuple(pictures.shape))
        return self.answers[len(self.seen) - 1]


@pytest.fixture
def weights(tmp_path):
    torch.manual_seed(0)
    network = HeatMapNet(TINY)
    network(torch.rand(4, 3, 64, 64))
    path = tmp_path / "weights.safetensors"
    save_weights(path, network, "body", 0.3, {"steps": 7})
    return path


@pytest.fixture
def own(weights):
    """Makes a detector that answers with given heat maps."""

    def make(maps, subject="body", half=None, **config):
        detector = OwnDetector("body", DetectConfig(**config), weights)
        detector.subject = subject
        detector._network = Scripted(maps, half)
        detector._dtype = torch.float32
        return detector

    return make


def test_a_peak_becomes_its_box():
    found = decode(maps_with([(0, 2, 3, 0.8, (5, 6, 50, 40))]), 0.3)[0]
    np.testing.assert_allclose(found.boxes, [[5, 6, 50, 40]], atol=1e-4)
    np.testing.assert_allclose(found.scores, [0.8], atol=1e-5)


def test_weak_peaks_and_slopes_of_peaks_are_left_out():
    peaks = [(0, 2, 3, 0.8, (5, 6, 50, 40)), (0, 2, 4, 0.7, (5, 6, 50, 40)), (0, 6, 8, 0.2, (60, 40, 70, 60))]
    assert len(decode(maps_with(peaks), 0.3)[0].scores) == 1


def test_of_two_boxes_on_one_place_the_better_stays():
    peaks = [(0, 2, 3, 0.8, (5, 6, 50, 40)), (0, 5, 3, 0.7, (5, 8, 50, 44)), (0, 5, 8, 0.6, (55, 30, 75, 60))]
    np.testing.assert_allclose(decode(maps_with(peaks), 0.3)[0].scores, [0.8, 0.6], atol=1e-5)


def test_a_hand_has_a_side_only_where_the_network_is_sure_of_it(own, frame):
    boxes = [(8.0 * column, 6, 8.0 * column + 20, 40) for column in (0, 3, 6)]
    peaks = [(0.1, 2, 1, 0.9, boxes[0]), (0.55, 2, 4, 0.8, boxes[1]), (0.9, 2, 7, 0.7, boxes[2])]
    found = own(maps_with(peaks, kinds=2), subject="hand").detect(frame(80, 64))
    assert found.kinds == ("hand_left", "hand", "hand_right")


def test_a_picture_is_padded_at_the_right_and_the_bottom():
    picture = np.full((40, 64, 3), 255, np.uint8)
    padded = letterbox(picture)
    assert padded.shape == (1, 3, 64, 64)
    assert (padded[:, :, :40] == 1).all()
    torch.testing.assert_close(padded[:, :, 40:], torch.full((1, 3, 24, 64), 114 / 255))


def test_boxes_come_back_in_the_pixels_of_the_frame(own, frame):
    # 640 x 360 is seen as 320 x 180: each pixel of the network is two by two of the frame.
    detector = own(maps_with([(0, 3, 4, 0.9, (-0.5, 9.5, 99.5, 59.5))], size=(24, 40)))
    found = detector.detect(frame(640, 360))
    np.testing.assert_allclose(found.boxes, [[-0.5, 19.5, 199.5, 119.5]], atol=1e-3)
    assert detector._network.seen == [(1, 3, 192, 320), (1, 3, 96, 160)]
    assert found.mask_kind == "detector"


def test_what_the_smaller_picture_shows_counts_as_well(own, frame):
    # A pixel of the smaller picture is four by four of the frame; of two boxes on one place the better stays.
    large = maps_with([(0, 3, 4, 0.6, (-0.5, 9.5, 99.5, 59.5)), (0, 20, 30, 0.7, (200, 100, 260, 170))], size=(24, 40))
    half = maps_with([(0, 3, 4, 0.9, (-0.5, 4.5, 49.5, 29.5))], size=(12, 20))
    found = own(large, half=half).detect(frame(640, 360))
    np.testing.assert_allclose(found.scores, [0.9, 0.7], atol=1e-5)
    np.testing.assert_allclose(found.boxes[0], [-0.5, 19.5, 199.5, 119.5], atol=1e-3)


def test_boxes_are_cut_at_the_edges_of_the_frame(own, frame):
    found = own(maps_with([(0, 3, 4, 0.9, (-30, -30, 500, 500))], size=(8, 10))).detect(frame(80, 60))
    np.testing.assert_array_equal(found.boxes, [[-0.5, -0.5, 79.5, 59.5]])


def test_a_mask_is_the_subjects_part_of_the_networks_mask(own, frame):
    maps = maps_with([(0, 3, 4, 0.9, (15.5, 7.5, 47.5, 55.5))], size=(8, 12))
    maps.mask[:] = -9.0
    maps.mask[..., 4:] = 9.0  # from pixel 32 on
    mask = own(maps).detect(frame(96, 64)).masks[0]
    assert mask.shape == (16, 24)  # every fourth pixel
    assert not mask[:, :8].any()
    assert mask[2:14, 8:12].all()
    assert not mask[:, 12:].any()
    assert not mask[:1].any()


def test_the_chosen_threshold_is_brought_to_three_tenths(own, weights, frame):
    network = load_weights(weights, "body").network
    path = weights.with_name("sharp.safetensors")
    save_weights(path, network, "body", 0.55, {})
    detector = OwnDetector("body", DetectConfig(min_score=0.01), path)
    detector._network, detector._dtype = Scripted(maps_with([(0, 3, 4, 0.55, (5, 6, 50, 40))])), torch.float32
    np.testing.assert_allclose(detector.detect(frame(80, 64)).scores, [0.3], atol=1e-4)


def test_weights_keep_what_they_came_from(weights):
    loaded = load_weights(weights, "body")
    assert loaded.record == {"steps": 7}
    assert loaded.threshold == 0.3
    assert loaded.network.config == TINY


@pytest.mark.parametrize("damage", ["missing", "cut", "hand"])
def test_other_files_are_refused(weights, damage):
    if damage == "missing":
        weights.unlink()
    elif damage == "cut":
        weights.write_bytes(weights.read_bytes()[:50])
    with pytest.raises(InputError, match=r"weights\.safetensors"):
        load_weights(weights, "hand")


def test_the_caller_keeps_its_number_of_threads(weights, frame):
    before = torch.get_num_threads()
    OwnDetector("body", DetectConfig(threads=before + 1), weights).detect(frame(64, 64))
    assert torch.get_num_threads() == before


def test_where_the_shipped_weights_lie():
    assert heatmap.weights_file("hand").name == "heatmap-hand.safetensors"
