"""The small convolutional trunk is our detector's, sees cells where they are, and is called as the encoder is."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from humanpt.detect.heatmap import load_weights, weights_file
from humanpt.errors import ConfigError
from humanpt.models.conv_trunk import ConvTrunk, ConvTrunkConfig
from humanpt.models.vit import normalise


@pytest.fixture(scope="module")
def trunk():
    torch.manual_seed(0)
    return ConvTrunk(ConvTrunkConfig())


def pictures(seed=0):
    return torch.randint(0, 256, (2, 3, 96, 96), generator=torch.Generator().manual_seed(seed)).float()


@torch.no_grad()
def test_a_token_for_each_cell_of_eight_pixels(trunk):
    tokens = trunk(normalise(pictures()))
    assert tokens.shape == (2, 144, trunk.width)
    assert trunk.grid == (12, 12)


@torch.no_grad()
def test_with_the_detectors_weights_it_sees_what_the_detector_sees(trunk):
    detector = load_weights(weights_file("hand"), "hand").network
    trunk.pyramid.load_state_dict({name: detector.state_dict()[name] for name in trunk.pyramid.state_dict()})
    tokens = trunk(normalise(pictures()))
    maps = detector(pictures() / 255)
    centre = tokens @ detector.answers.weight[0].flatten() + detector.answers.bias[0]
    assert_close(centre, maps.centre.flatten(1), atol=1e-3, rtol=1e-3)


@torch.no_grad()
def test_pictures_of_a_batch_do_not_meet_even_in_training(trunk):
    trunk.train()
    both = trunk(normalise(pictures()))
    assert_close(both[:1], trunk(normalise(pictures()[:1])), atol=1e-4, rtol=1e-4)


def test_what_it_cannot_take_is_refused(trunk):
    with pytest.raises(ValueError, match="1 picture"):
        trunk(normalise(pictures()), normalise(pictures()))
    with pytest.raises(ConfigError, match="multiple of 32"):
        ConvTrunkConfig(image_size=100)
