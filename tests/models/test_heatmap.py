"""The detector's network: shapes, and the same answers once its norms are inside its convolutions."""

import pytest
import torch
from torch.testing import assert_close

from humanpt.errors import ConfigError
from humanpt.models.heatmap import STRIDE, HeatMapConfig, HeatMapNet, boxes_of, cell_middles

TINY = HeatMapConfig(kinds=2, widths=(8, 8, 8, 8), depths=(1, 1, 1, 1), head_dim=8)


@pytest.fixture
def network():
    torch.manual_seed(0)
    network = HeatMapNet(TINY)
    for _ in range(3):  # so that the norms have means and spreads of their own
        network(torch.rand(2, 3, 64, 64))
    return network.eval()


def test_every_eighth_pixel_gets_an_answer(network):
    maps = network(torch.rand(2, 3, 64, 96))
    assert maps.centre.shape == (2, 1, 8, 12)
    assert maps.kind.shape == (2, 1, 8, 12)
    assert maps.sides.shape == (2, 4, 8, 12)
    assert maps.mask.shape == (2, 1, 8, 12)
    assert (maps.sides > 0).all()


def test_norms_taken_into_convolutions_change_nothing(network):
    pictures = torch.rand(1, 3, 64, 64)
    before = network(pictures)
    after = network.fuse()(pictures)
    assert not [name for name in network.state_dict() if "norm" in name]
    for one, other in zip(before, after, strict=True):
        assert_close(one, other, rtol=1e-4, atol=1e-4)


def test_an_untrained_network_expects_few_centres():
    torch.manual_seed(0)
    centre = HeatMapNet(TINY).eval()(torch.rand(1, 3, 64, 64)).centre
    assert centre.sigmoid().max() < 0.1


def test_sides_that_do_not_halve_five_times_are_refused(network):
    with pytest.raises(ValueError, match=r"\(1, 3, 64, 72\).*multiples of 32"):
        network(torch.rand(1, 3, 64, 72))


def test_the_middle_of_the_first_cell_lies_between_its_pixels():
    across, down = cell_middles(2, 3)
    assert_close(across, torch.tensor([[3.5, 11.5, 19.5]]))
    assert_close(down, torch.tensor([[3.5], [11.5]]))


def test_distances_to_the_sides_become_edges():
    sides = torch.zeros(1, 4, 2, 2)
    sides[0, :, 1, 0] = torch.tensor([1.0, 2.0, 3.0, 4.0])  # left, top, right, bottom of the cell in the second row
    assert_close(boxes_of(sides)[0, :, 1, 0], torch.tensor([2.5, 9.5, 6.5, 15.5]))
    assert STRIDE == 8


@pytest.mark.parametrize("wrong", [{"kinds": 3}, {"head_dim": 0}, {"widths": (8, 0, 8, 8)}, {"depths": (1, 1, 0, 1)}])
def test_networks_of_nothing_are_refused(wrong):
    with pytest.raises(ConfigError):
        HeatMapConfig(**wrong)
