import torch
from torch.testing import assert_close

from humanpt.models.layers import CrossAttention, DecoderBlock, EncoderBlock, SelfAttention


def test_cross_attention_of_tokens_to_themselves_is_self_attention():
    torch.manual_seed(0)
    alone, cross = SelfAttention(16, 2), CrossAttention(16, 2)
    cross.proj.load_state_dict(alone.proj.state_dict())
    for part, weight, bias in zip("qkv", alone.qkv.weight.chunk(3), alone.qkv.bias.chunk(3), strict=True):
        getattr(cross, f"proj{part}").load_state_dict({"weight": weight, "bias": bias})
    tokens = torch.randn(2, 9, 16)
    assert_close(cross(tokens, tokens), alone(tokens))


def test_a_decoder_block_attends_to_itself_then_to_the_other_picture_then_thinks():
    torch.manual_seed(0)
    block = DecoderBlock(16, 2)
    calls = []
    for name in ("norm1", "attn", "norm2", "norm_y", "cross_attn", "norm3", "mlp"):
        getattr(block, name).register_forward_hook(lambda *_, name=name: calls.append(name))
    block(torch.randn(1, 4, 16), torch.randn(1, 4, 16))
    assert calls == ["norm1", "attn", "norm2", "norm_y", "cross_attn", "norm3", "mlp"]


def test_a_block_whose_last_maps_are_zero_changes_nothing():
    torch.manual_seed(0)
    encoder, decoder = EncoderBlock(16, 2), DecoderBlock(16, 2)
    for last in (encoder.attn.proj, encoder.mlp.fc2, decoder.attn.proj, decoder.cross_attn.proj, decoder.mlp.fc2):
        torch.nn.init.zeros_(last.weight), torch.nn.init.zeros_(last.bias)
    tokens = torch.randn(1, 4, 16)
    assert_close(encoder(tokens), tokens)
    assert_close(decoder(tokens, torch.randn(1, 4, 16)), tokens)
