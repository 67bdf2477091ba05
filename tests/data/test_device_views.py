import numpy as np
import pytest
import torch

from humanpt.data.augment import AugmentConfig, random_draw, view
from humanpt.data.device_views import device_views, stack_draws


@pytest.mark.parametrize("side", [256, 128, 96, 64])
@pytest.mark.parametrize("crop_size", [112, 64])
def test_the_device_makes_what_the_host_makes(side, crop_size):
    rng = np.random.default_rng(0)
    config = AugmentConfig(crop_size=crop_size)
    stored = rng.integers(0, 256, (5, side // 8, side // 8, 3), dtype=np.uint8).repeat(8, 1).repeat(8, 2)
    draws = [random_draw(config, rng) for _ in range(5)]
    views = device_views(torch.from_numpy(stored).permute(0, 3, 1, 2), stack_draws(draws), config)
    wanted = np.stack([view(rgb, config, draw) for rgb, draw in zip(stored, draws, strict=True)])
    assert views.shape == (5, 3, crop_size, crop_size)
    apart = np.abs(views.permute(0, 2, 3, 1).numpy() - wanted)
    assert apart.max() <= 3.5  # rounded thrice on the host, magnified by the colouring in between
    assert apart.mean() < 0.6


def test_half_precision_around_it_does_not_reach_the_pictures():
    config = AugmentConfig(crop_size=64)
    stored = torch.randint(0, 256, (2, 3, 90, 90), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    draws = stack_draws([random_draw(config, np.random.default_rng(k)) for k in range(2)])
    alone = device_views(stored, draws, config)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(device_views(stored, draws, config), alone)
