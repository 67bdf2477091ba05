"""Attention maps are the weights that the network itself uses."""

from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from humanpt.models.attention_maps import reference_attention
from humanpt.models.croco import CroCo, tiny
from humanpt.models.layers import join_heads

PATCHES = torch.tensor([[0, 3], [7, 8], [15, 2]])


@pytest.fixture(params=["rope", "cosine"])
def one_head(request):
    torch.manual_seed(0)
    return CroCo(replace(tiny(), positions=request.param, dec_heads=1)).eval()


def test_the_shares_of_every_patch_sum_to_one(tiny_croco, image_pair, mask):
    shares = reference_attention(tiny_croco, *image_pair, mask, PATCHES)
    assert shares.shape == (3, 2, 2, 16)
    assert (shares >= 0).all()
    assert_close(shares.sum(dim=-1), torch.ones(3, 2, 2))


def test_values_mixed_by_the_shares_are_what_the_network_computes(one_head, image_pair, mask):
    outputs = []
    blocks = [block.cross_attn for block in one_head.decoder.blocks]
    hooks = [
        block.register_forward_hook(lambda block, given, out: outputs.append((block, given, out))) for block in blocks
    ]
    every = torch.arange(16).expand(3, -1)
    shares = reference_attention(one_head, *image_pair, mask, every)
    for hook in hooks:
        hook.remove()
    assert len(outputs) == 2
    for layer, (block, given, out) in enumerate(outputs):
        mixed = shares[:, layer, None] @ block.projv(given[1])[:, None]  # (B, 1, N, d)
        assert_close(block.proj(join_heads(mixed)), out)


def test_without_preference_all_places_share_evenly(tiny_croco, image_pair, mask):
    for block in tiny_croco.decoder.blocks:
        torch.nn.init.zeros_(block.cross_attn.projq.weight)
        torch.nn.init.zeros_(block.cross_attn.projq.bias)
    shares = reference_attention(tiny_croco, *image_pair, mask, PATCHES)
    assert_close(shares, torch.full_like(shares, 1 / 16))


def test_asking_for_patches_in_another_order_gives_the_same_in_that_order(tiny_croco, image_pair, mask):
    shares = reference_attention(tiny_croco, *image_pair, mask, PATCHES)
    assert_close(reference_attention(tiny_croco, *image_pair, mask, PATCHES.flip(1)), shares.flip(2))


def test_looking_leaves_the_network_as_it_was(tiny_croco, image_pair, mask):
    with torch.no_grad():
        before = tiny_croco(*image_pair, mask)
        reference_attention(tiny_croco, *image_pair, mask, PATCHES)
        assert torch.equal(tiny_croco(*image_pair, mask), before)
    assert not any(block.cross_attn._forward_pre_hooks for block in tiny_croco.decoder.blocks)


def test_a_network_of_one_picture_is_refused(image_pair, mask):
    with pytest.raises(ValueError, match="no cross-attention"):
        reference_attention(CroCo(replace(tiny(), cross_attention=False)), *image_pair, mask, PATCHES)


def test_patches_of_another_batch_are_refused(tiny_croco, image_pair, mask):
    with pytest.raises(ValueError, match="do not fit"):
        reference_attention(tiny_croco, *image_pair, mask, PATCHES[:2])


def test_in_mixed_precision_the_shares_are_still_float32_and_nearly_the_same(tiny_croco, image_pair, mask):
    whole = reference_attention(tiny_croco, *image_pair, mask, PATCHES)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = reference_attention(tiny_croco, *image_pair, mask, PATCHES)
    assert mixed.dtype == torch.float32
    assert_close(mixed, whole, rtol=0.1, atol=5e-3)
    assert_close(mixed.sum(dim=-1), torch.ones(3, 2, 2), rtol=1e-5, atol=1e-5)


def test_a_network_whose_blocks_are_compiled_is_looked_into_as_well(tiny_croco, image_pair, mask):
    expected = reference_attention(tiny_croco, *image_pair, mask, PATCHES)
    tiny_croco.compile_blocks(backend="eager")
    with torch.no_grad():
        tiny_croco(*image_pair, mask)
    assert_close(reference_attention(tiny_croco, *image_pair, mask, PATCHES), expected)
