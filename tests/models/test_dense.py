"""The head that reads dense maps from tokens."""

from dataclasses import replace

import pytest
import torch

from humanpt.errors import ConfigError
from humanpt.models.croco import tiny
from humanpt.models.dense import DenseHeadConfig, DensePoseMaps, DensePoseNetwork, DptHead, tap_blocks
from humanpt.models.trunk import Trunk


def network(**sizes):
    torch.manual_seed(0)
    config = DenseHeadConfig(channels=16, part_names=("palm", "thumb", "index"))
    return DensePoseNetwork(Trunk(replace(tiny(), **sizes)), config)


def test_depths_and_widths_are_those_of_the_paper():
    assert tap_blocks(12) == (2, 5, 8, 11)
    assert tap_blocks(24) == (5, 11, 17, 23)
    assert DenseHeadConfig(channels=256).widths == (96, 192, 384, 768)


@pytest.mark.parametrize("depth", range(1, 30))
def test_depths_end_with_the_last_block(depth):
    blocks = tap_blocks(depth)
    assert blocks[-1] == depth - 1
    assert list(blocks) == sorted(blocks)
    assert blocks[0] >= 0


@pytest.mark.parametrize(("image_size", "patch_size"), [(64, 16), (64, 8), (48, 16), (70, 14), (16, 16)])
def test_maps_are_as_large_as_the_picture(image_size, patch_size):
    maps = network(image_size=image_size, patch_size=patch_size)(torch.randn(2, 3, image_size, image_size))
    assert maps.parts.shape == (2, 4, image_size, image_size)
    assert maps.uv.shape == (2, 2, 3, image_size, image_size)


def test_every_weight_takes_part():
    model = network(enc_depth=4)
    with torch.no_grad():
        for weight in model.parameters():
            weight += 0.05 * torch.randn_like(weight)  # residuals add nothing at first
    maps = model(torch.randn(2, 3, 64, 64))
    (maps.parts.square().sum() + maps.uv.square().sum()).backward()
    assert [name for name, weight in model.named_parameters() if weight.grad is None or not weight.grad.any()] == []


def test_a_place_is_read_from_tokens_near_it():
    """What changes in one corner of the tokens changes the answer there most."""
    torch.manual_seed(0)
    head = DptHead(8, (8, 8), 3, DenseHeadConfig(channels=16))
    taps = [torch.randn(1, 64, 8) for _ in range(4)]
    changed = [tap.clone() for tap in taps[:3]] + taps[3:]  # the coarsest level sees everything
    for tap in changed[:3]:
        tap[:, 0] += 1
    moved = (head(changed, 64) - head(taps, 64)).abs().sum(dim=1)[0]
    assert moved[:16, :16].mean() > 20 * moved[48:, 48:].mean()


def test_the_best_answer_is_that_of_the_likeliest_part():
    parts = torch.zeros(1, 4, 1, 3)
    parts[0, 0, 0, 0] = parts[0, 2, 0, 1] = parts[0, 3, 0, 2] = 5
    uv = torch.arange(18, dtype=torch.float32).view(1, 2, 3, 1, 3) / 10
    part, places = DensePoseMaps(parts, uv).best()
    assert part.tolist() == [[[0, 2, 3]]]
    expected = [[0, 0.4, 0.8], [0, 1.0, 1.0]]  # u of parts 2 and 3, then v, which stays within the chart
    torch.testing.assert_close(places[0, :, 0], torch.tensor(expected))


def test_heads_and_trunks_that_do_not_fit_are_refused():
    with pytest.raises(ConfigError, match="multiple of 8"):
        DenseHeadConfig(channels=20)
    with pytest.raises(ConfigError, match="part_names"):
        DenseHeadConfig(part_names=())
    with pytest.raises(ValueError, match="one view"):
        DensePoseNetwork(Trunk(tiny(), views=2), DenseHeadConfig(channels=16))
    with pytest.raises(ValueError, match="4 depths, not 2"):
        DptHead(8, (2, 2), 3, DenseHeadConfig(channels=8))([torch.zeros(1, 4, 8)] * 2, 32)
