from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from humanpt.models.croco import CroCo, tiny, vitb16_base, vitb16_small, vitl16_base
from humanpt.models.positions import cosine_table, resize_table
from humanpt.models.weights import croco_settings, from_croco, to_croco
from tests.models.croco_files import layout, random_tensors

COUNTS = {vitb16_small: (347, 349), vitb16_base: (443, 445), vitl16_base: (587, 589)}


@pytest.mark.parametrize("preset", COUNTS)
@pytest.mark.parametrize("positions", ["rope", "cosine"])
def test_exported_names_and_shapes_are_those_of_the_published_files(preset, positions):
    config = replace(preset(), positions=positions)
    with torch.device("meta"):
        named, _ = to_croco(CroCo(config).state_dict(), config)
    assert {name: tuple(tensor.shape) for name, tensor in named.items()} == layout(config, tables=positions == "cosine")
    assert len(named) == COUNTS[preset][positions == "cosine"]


@pytest.mark.parametrize("positions", ["rope", "cosine", "learned"])
def test_what_is_exported_is_read_back_to_the_bit(positions):
    config = replace(tiny(), positions=positions)
    state = CroCo(config).state_dict()
    if positions == "learned":
        state["encoder.positions.added"] += 0.1
    named, kwargs = to_croco(state, config)
    read = from_croco(named, {"croco_kwargs": kwargs})
    assert not read.unused
    assert read.positions == positions
    assert read.tensors.keys() == state.keys()
    assert all(torch.equal(tensor, state[name]) for name, tensor in read.tensors.items())


def test_a_file_without_settings_is_v1():
    config = replace(vitb16_small(), positions="cosine")
    weights = {name: torch.empty(shape, device="meta") for name, shape in layout(config, tables=False).items()}
    weights |= {"enc_pos_embed": cosine_table(768, (14, 14)), "dec_pos_embed": cosine_table(512, (14, 14))}
    read = from_croco(weights, {})
    assert (read.kind, read.positions, read.cosine_side) == ("croco", "cosine", 14)
    assert read.fixed == ("enc_pos_embed", "dec_pos_embed")
    assert all(getattr(config, name) == size for name, size in read.sizes.items())
    assert len(read.sizes) == 7


def test_a_position_code_that_a_file_does_not_tell_is_that_of_its_kind_and_marked_as_assumed():
    weights = random_tensors(tiny())
    assert (from_croco(weights, {}).positions, from_croco(weights, {}).assumed) == ("cosine", True)
    weights["dec_blocks2.0.norm1.weight"] = torch.ones(32)
    read = from_croco(weights, {})  # DUSt3R's files of safetensors keep their settings elsewhere
    assert (read.kind, read.positions, read.rope_base, read.assumed) == ("dust3r", "rope", 100.0, True)
    assert not from_croco(weights, {"croco_kwargs": {"pos_embed": "RoPE100"}}).assumed


@pytest.mark.parametrize(
    "saved_with",
    [
        {"croco_kwargs": {"enc_depth": 24, "pos_embed": "RoPE100"}},
        {"args": {"model": "CroCoNet(enc_depth=24, pos_embed='RoPE100')"}},
        {"args": {"model": "AsymmetricNet(enc_depth=24, pos_embed='RoPE100', depth_mode=('exp', -inf, inf))"}},
        {"args": {"model": "ignored", "croco_args": {"enc_depth": 24, "pos_embed": "RoPE100"}}},
    ],
    ids=["v2", "trainer", "dust3r", "stereo"],
)
def test_settings_are_found_where_each_kind_of_file_keeps_them(saved_with):
    assert croco_settings(saved_with) == {"enc_depth": 24, "pos_embed": "RoPE100"}


@pytest.mark.parametrize(
    ("saved_with", "match"),
    [
        ({"args": {"model": "CroCoNet(enc_depth=print('run'))"}}, "enc_depth is no plain value"),
        ({"args": {"model": "CroCoNet(enc_depth=24"}}, "no call that can be read"),
        ({"args": {"model": "CroCoNet"}}, "no call with named values"),
        ({"args": {"model": "(" * 100_000}}, "no call that can be read"),
        ({"croco_kwargs": [1]}, "settings are a list"),
        ({"croco_kwargs": {"norm_im2_in_dec": False}}, "norm_im2_in_dec"),
        ({"croco_kwargs": {"pos_embed": "RoPE-3"}}, "RoPE-3"),
        ({"croco_kwargs": {"pos_embed": "sine"}}, "sine"),
        ({"croco_kwargs": {"enc_num_heads": "four"}}, "enc_num_heads"),
    ],
    ids=str,
)
def test_settings_that_cannot_be_are_refused_and_not_run(saved_with, match, capsys):
    with pytest.raises(ValueError, match=match):
        from_croco(random_tensors(tiny()), saved_with)
    assert not capsys.readouterr().out


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_tables_resized_from_the_published_grid_are_known_again(dtype):
    weights = random_tensors(tiny())
    for name, width in (("enc_pos_embed", 64), ("dec_pos_embed", 32)):
        weights[name] = resize_table(cosine_table(width, (14, 14)), (20, 20)).to(dtype)
    read = from_croco(weights, {})
    assert (read.positions, read.cosine_side, read.fixed) == ("cosine", 14, ("enc_pos_embed", "dec_pos_embed"))


def test_tables_of_pictures_that_are_not_square_are_told_as_unused():
    weights = random_tensors(tiny()) | {"enc_pos_embed": torch.zeros(22 * 44, 64)}
    read = from_croco(weights, {"args": {"croco_args": {"img_size": (352, 704), "enc_num_heads": 4}}})
    assert (read.unused, read.positions, read.cosine_side) == (("enc_pos_embed",), "cosine", None)


def test_a_network_without_cross_attention_has_no_such_layout():
    config = replace(tiny(), cross_attention=False)
    with pytest.raises(ValueError, match="cross-attention"):
        to_croco(CroCo(config).state_dict(), config)


def test_resizing_a_table_keeps_what_is_constant_and_what_it_was_made_for():
    table = torch.randn(16, 8)
    assert resize_table(table, (4, 4)) is table
    assert_close(resize_table(torch.ones(16, 8), (6, 7)), torch.ones(42, 8))
    turned = table.view(4, 4, 8).transpose(0, 1).reshape(16, 8)  # resizing rows and columns are one thing
    assert_close(resize_table(turned, (7, 6)), resize_table(table, (6, 7)).view(6, 7, 8).transpose(0, 1).reshape(42, 8))
    with pytest.raises(ValueError, match="no square grid"):
        resize_table(table[:15], (4, 4))


def test_learned_positions_begin_as_the_sine_cosine_table():
    torch.manual_seed(0)
    fixed = CroCo(replace(tiny(), positions="cosine"))
    learned = CroCo(replace(tiny(), positions="learned"))
    learned.load_state_dict(fixed.state_dict(), strict=False)
    image = torch.randn(1, 3, 64, 64)
    assert torch.equal(fixed.encoder(image), learned.encoder(image))
    assert set(learned.state_dict()) - set(fixed.state_dict()) == {"encoder.positions.added"}
