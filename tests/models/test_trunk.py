from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from humanpt.models import croco
from humanpt.models.croco import CroCo
from humanpt.models.trunk import Trunk


@pytest.fixture
def image():
    return torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))


def pretrained(positions="rope"):
    torch.manual_seed(0)
    return CroCo(replace(croco.tiny(), positions=positions))


@pytest.mark.parametrize("positions", ["rope", "cosine", "learned"])
def test_one_view_is_the_encoder_of_the_pretrained_network(image, positions):
    whole = pretrained(positions)
    trunk = Trunk(whole.config)
    fitted = trunk.load_state_dict(whole.state_dict(), strict=False)
    assert not fitted.missing_keys
    assert trunk.width == whole.config.enc_dim
    assert_close(trunk(image), whole.features(image))


def test_two_views_are_the_pretrained_decoder_with_nothing_masked(image):
    whole = pretrained()
    trunk = Trunk(whole.config, views=2)
    fitted = trunk.load_state_dict(whole.state_dict(), strict=False)
    assert not fitted.missing_keys
    assert set(fitted.unexpected_keys) == {"mask_token", "to_pixels.weight", "to_pixels.bias"}
    assert trunk.width == whole.config.dec_dim
    assert_close(trunk(image, image.flip(0)), whole.compare(image, image.flip(0)))


def test_taps_are_what_hooks_see_after_the_blocks_with_the_last_one_normed(image):
    trunk = Trunk(replace(croco.tiny(), enc_depth=3))
    seen = []
    for block in trunk.encoder.blocks:
        block.register_forward_hook(lambda module, inputs, tokens: seen.append(tokens))
    whole = trunk(image)
    assert_close(trunk.taps(image, [2, 0]), [whole, seen[0]])
    assert_close(trunk.taps(image, [1]), [seen[1]])


def test_taps_refuse_blocks_that_are_not_there(image):
    with pytest.raises(ValueError, match="no block 2"):
        Trunk(croco.tiny()).taps(image, [0, 2])


@pytest.mark.parametrize(("views", "given"), [(1, 2), (2, 1)])
def test_as_many_pictures_as_views_are_wanted(image, views, given):
    with pytest.raises(ValueError, match=f"takes {views} picture"):
        Trunk(croco.tiny(), views=views)(*[image] * given)


def test_two_views_need_cross_attention():
    with pytest.raises(ValueError, match="cross-attention"):
        Trunk(replace(croco.tiny(), cross_attention=False), views=2)


def test_forgetting_activations_changes_no_gradient(image):
    trunk = Trunk(croco.tiny(), views=2)
    found = []
    for forget in (False, True):
        trunk.checkpoint_activations = forget
        trunk.zero_grad()
        trunk(image, image.flip(0)).square().mean().backward()
        found.append([parameter.grad.clone() for parameter in trunk.parameters()])
    assert_close(*found)
