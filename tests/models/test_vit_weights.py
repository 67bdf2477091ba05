"""Against timm's own networks, made at random: two programs, one encoder."""

import json
from dataclasses import asdict, replace

import pytest
import timm
import torch
from torch.testing import assert_close

from humanpt.models.croco import CroCo, tiny
from humanpt.models.vit_weights import CONFIG_KEY, from_vit, to_timm

SIZES = {"img_size": 64, "embed_dim": 64, "depth": 2, "num_heads": 4, "num_classes": 0, "global_pool": ""}


def vit(name="vit_base_patch16_224", **changes):
    """A ViT of timm's with random numbers in every weight."""
    torch.manual_seed(0)
    network = timm.create_model(name, pretrained=False, **(SIZES | changes)).eval()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return network


def ours(read, config):
    model = CroCo(config).eval()
    found = model.load_state_dict(read.tensors, strict=False)
    assert not found.unexpected_keys
    assert not [name for name in found.missing_keys if name.startswith("encoder.")]
    return model


@pytest.mark.parametrize("scales", [{}, {"init_values": 0.5}], ids=["plain", "layer scales"])
def test_an_encoder_from_timm_computes_what_timm_computes(scales):
    network = vit(class_token=False, **scales)
    read = from_vit(network.state_dict(), {})
    assert (read.positions, read.unused) == ("learned", ())
    assert read.sizes == {"enc_dim": 64, "enc_depth": 2, "patch_size": 16}
    image = torch.randn(2, 3, 64, 64)
    model = ours(read, replace(tiny(), positions="learned"))
    assert_close(model.encoder(image), network(image), atol=1e-5, rtol=0)


@pytest.mark.parametrize("positions", ["rope", "cosine", "learned"])
def test_timm_computes_what_our_exported_encoder_computes(positions):
    torch.manual_seed(0)
    config = replace(tiny(), positions=positions, rope_base=50.0)
    model = CroCo(config).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    tensors, name, arguments = to_timm(model.state_dict(), config)
    network = timm.create_model(name, **arguments).eval()
    network.load_state_dict(tensors, strict=True)
    image = torch.randn(2, 3, 64, 64)
    assert_close(network(image), model.encoder(image), atol=1e-5, rtol=0)
    read = from_vit(tensors, {CONFIG_KEY: json.dumps(asdict(config))})
    assert (read.positions, read.rope_base, read.unused) == (positions, 50.0, ())
    again = ours(read, config)
    assert torch.equal(again.encoder(image), model.encoder(image))


def test_rows_of_class_and_register_tokens_are_dropped_and_what_is_not_used_is_told():
    for tokens in (0, 4):
        state = vit(num_classes=10, global_pool="token", reg_tokens=tokens).state_dict()
        state |= {"decoder_embed.weight": torch.zeros(32, 64), "mask_token": torch.zeros(1, 1, 32)}  # of MAE's decoder
        read = from_vit(state, {})
        assert torch.equal(read.tensors["encoder.positions.added"], state["pos_embed"][0, 1 + tokens :])
        rest = {"cls_token", "head.weight", "head.bias", "decoder_embed.weight", "mask_token"}
        assert set(read.unused) == (rest | {"reg_token"} if tokens else rest)


def test_a_file_without_positions_leaves_the_code_to_the_config():
    state = vit(class_token=False).state_dict()
    del state["pos_embed"]
    assert from_vit(state, {}).positions is None


@pytest.mark.parametrize(
    ("changes", "saved_with", "match"),
    [
        ({"pos_embed": torch.zeros(1, 15, 64)}, {}, "no square grid"),
        ({"pos_embed": torch.zeros(64)}, {}, "shape"),
        ({"blocks.0.ls1.gamma": torch.ones(3)}, {}, "3 factors"),
        ({"patch_embed.proj.weight": torch.zeros(64, 1, 16, 16)}, {}, "square RGB"),
        ({"patch_embed.proj.weight": torch.zeros(64, 3, 16, 8)}, {}, "square RGB"),
        ({}, {CONFIG_KEY: "{"}, "cannot be read"),
        ({}, {CONFIG_KEY: '{"enc_width": 3}'}, "enc_width"),
    ],
    ids=str,
)
def test_shapes_that_cannot_be_are_refused(changes, saved_with, match):
    with pytest.raises(ValueError, match=match):
        from_vit(vit(class_token=False).state_dict() | changes, saved_with)
