from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from humanpt.errors import ConfigError
from humanpt.losses import pair_errors, patchify
from humanpt.models import croco
from humanpt.models.croco import CroCo, CroCoConfig, tiny
from humanpt.models.layers import SelfAttention
from humanpt.models.positions import kept


def paint(image, mask, value):
    """Fill the withheld patches with a colour."""
    patches = mask.reshape(-1, 1, 4, 4).repeat_interleave(16, dim=2).repeat_interleave(16, dim=3)
    return torch.where(patches, torch.tensor(value), image)


def parameters(module):
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize("positions", ["cosine", "rope"])
@pytest.mark.parametrize(
    ("preset", "encoder", "total"),
    [
        ("vitb16_small", 85_646_592, 120_076_288),
        ("vitb16_base", 85_646_592, 200_269_824),
        ("vitl16_base", 303_098_880, 417_918_720),
        ("tiny", 149_312, 210_944),
        ("vits16_small", 21_589_632, 30_317_952),
    ],
)
def test_presets_have_the_published_numbers_of_parameters(preset, encoder, total, positions):
    with torch.device("meta"):
        model = CroCo(replace(getattr(croco, preset)(), positions=positions))
    assert (parameters(model.encoder), parameters(model)) == (encoder, total)


@pytest.mark.parametrize(("preset", "tensors"), [("vitb16_small", 347), ("vitb16_base", 443), ("vitl16_base", 587)])
def test_presets_store_as_many_tensors_as_the_published_rotary_files(preset, tensors):
    with torch.device("meta"):
        assert len(CroCo(getattr(croco, preset)()).state_dict()) == tensors


def test_a_small_vit_takes_fourteen_billion_operations_forward():
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    model, image = CroCo(croco.vits16_small()), torch.zeros(1, 3, 224, 224)
    # Not every torch counts the operations of fused attention on a CPU; those of plain attention are the same.
    plain = sdpa_kernel(SDPBackend.MATH)
    with FlopCounterMode(display=False) as counter, torch.no_grad(), plain:
        model(image, image, torch.arange(196)[None] < 176)
    assert round(counter.get_total_flops() / 1e9, 1) == 14.0


def test_masked_pixels_never_reach_the_prediction(tiny_croco, image_pair, mask):
    image1, image2 = image_pair
    repainted = paint(image1, mask, value=0.5)
    assert_close(tiny_croco(repainted, image2, mask), tiny_croco(image1, image2, mask), atol=0, rtol=0)


def test_visible_pixels_and_the_second_picture_do_reach_it(tiny_croco, image_pair, mask):
    image1, image2 = image_pair
    prediction = tiny_croco(image1, image2, mask)
    assert (tiny_croco(paint(image1, ~mask, value=0.5), image2, mask) - prediction).abs().max() > 1e-3
    assert (tiny_croco(image1, image2.flip(0), mask) - prediction).abs().max() > 1e-3


def test_one_encoder_serves_both_pictures(tiny_croco, image_pair):
    image1, image2 = image_pair
    encoded = []
    tiny_croco.encoder.register_forward_hook(lambda *call: encoded.append(call[2]))
    tiny_croco.compare(image1, image2)
    tiny_croco.compare(image2, image1)
    assert_close(encoded[0], encoded[3])
    assert_close(encoded[1], encoded[2])


def test_one_projection_takes_both_pictures_to_the_decoder(tiny_croco, image_pair, mask):
    calls = []
    tiny_croco.to_decoder.register_forward_hook(lambda _, tokens, out: calls.append(out.shape))
    tiny_croco(*image_pair, mask)
    assert calls == [(3, 2, 32), (3, 16, 32)]


def test_every_decoder_block_sees_the_same_memory(tiny_croco, image_pair, mask):
    memories = []
    for block in tiny_croco.decoder.blocks:
        block.register_forward_hook(lambda _, inputs, out: memories.append(inputs[1].clone()))
    tiny_croco(*image_pair, mask)
    assert torch.equal(memories[0], memories[1])


def test_a_batch_equals_its_pairs_one_by_one(tiny_croco, image_pair, mask):
    together = tiny_croco(*image_pair, mask)
    apart = [
        tiny_croco(image1[None], image2[None], row[None]) for image1, image2, row in zip(*image_pair, mask, strict=True)
    ]
    assert_close(together, torch.cat(apart), atol=1e-5, rtol=1e-5)


def test_predictions_come_in_row_major_order_of_the_withheld_patches(tiny_croco, image_pair, mask):
    decoded = []
    tiny_croco.decoder.register_forward_hook(lambda *call: decoded.append(call[2]))
    predictions = tiny_croco(*image_pair, mask)
    for picture, row in enumerate(mask.tolist()):
        places = [place for place, withheld in enumerate(row) if withheld]
        assert_close(predictions[picture], tiny_croco.to_pixels(decoded[0][picture, places]))


def test_with_nothing_withheld_comparing_is_decoding_the_visible_patches(tiny_croco, image_pair):
    seen = []
    tiny_croco.decoder.register_forward_hook(lambda *call: seen.append(call[2]))
    nothing = torch.zeros(3, 16, dtype=torch.bool)
    assert tiny_croco(*image_pair, nothing).shape == (3, 0, 768)
    assert_close(tiny_croco.compare(*image_pair), seen[0])


def test_what_happens_at_visible_patches_changes_no_loss(tiny_croco, image_pair, mask):
    image1, image2 = image_pair

    def spoil_visible(module, inputs, out):
        return torch.where(mask[:, :, None], out, out + 100)

    def loss():
        return pair_errors(tiny_croco(image1, image2, mask), kept(patchify(image1, 16), mask))

    before = loss()
    tiny_croco.decoder.register_forward_hook(spoil_visible)
    assert torch.equal(loss(), before)


def some_of(mask, count):
    """The first so many withheld patches of every row."""
    return mask & (mask.cumsum(dim=1) <= count)


def test_predicting_every_withheld_patch_by_name_is_predicting_them_all(tiny_croco, image_pair, mask):
    assert_close(tiny_croco(*image_pair, mask, predicted=mask), tiny_croco(*image_pair, mask))


def test_patches_that_are_not_predicted_never_enter_the_decoder(tiny_croco, image_pair, mask):
    entered = []
    tiny_croco.decoder.register_forward_hook(lambda *call: entered.append(call[1][0]))
    assert tiny_croco(*image_pair, mask, some_of(mask, 5)).shape == (3, 5, 768)
    assert entered[0].shape == (3, 7, 32)  # two visible patches and five to predict


def test_a_prediction_keeps_its_place_when_others_are_left_out(tiny_croco, image_pair, mask):
    image1, image2 = image_pair
    tiny_croco.decoder.blocks.apply(forget_self)  # or the patches left out would be missed by their neighbours
    whole, part = tiny_croco(image1, image2, mask), tiny_croco(image1, image2, mask, some_of(mask, 5))
    assert_close(part, whole[:, :5])


def forget_self(module):
    if isinstance(module, SelfAttention):
        torch.nn.init.zeros_(module.proj.weight)


@pytest.mark.parametrize("spoil", ["visible", "uneven"])
def test_patches_that_cannot_be_predicted_together_are_refused(tiny_croco, image_pair, mask, spoil):
    predicted = ~mask if spoil == "visible" else some_of(mask, 5)
    predicted[0, mask[0]] = True
    with pytest.raises(ValueError, match=r"only withheld patches|every row of a mask"):
        tiny_croco(*image_pair, mask, predicted)


@pytest.fixture
def tiny_mae():
    torch.manual_seed(0)
    return CroCo(replace(tiny(), cross_attention=False)).eval()


def test_without_cross_attention_the_other_names_are_the_same(tiny_mae):
    with_it = CroCo(tiny()).state_dict()
    without = tiny_mae.state_dict()
    dropped = {name for name in with_it if name not in without}
    assert set(without) < set(with_it)
    assert {name.split(".")[3] for name in dropped} == {"norm2", "norm_y", "cross_attn"}
    assert len(dropped) == 2 * 12


def test_without_cross_attention_one_picture_completes_itself(tiny_mae, image_pair, mask):
    image1, image2 = image_pair
    prediction = tiny_mae(image1, None, mask)
    assert prediction.shape == (3, 14, 768)
    assert tiny_mae(image1, None, mask, some_of(mask, 5)).shape == (3, 5, 768)
    assert_close(tiny_mae(paint(image1, mask, value=0.5), None, mask), prediction, atol=0, rtol=0)
    prediction.square().mean().backward()
    assert all(value.grad is not None and value.grad.any() for value in tiny_mae.parameters())
    with pytest.raises(ValueError, match="second picture is needed with cross-attention"):
        tiny_mae(image1, image2, mask)


def test_with_cross_attention_a_second_picture_is_needed(tiny_croco, image_pair, mask):
    with pytest.raises(ValueError, match="second picture is needed with cross-attention"):
        tiny_croco(image_pair[0], None, mask)


def test_gradients_reach_every_parameter(tiny_croco, image_pair, mask):
    tiny_croco(*image_pair, mask).square().mean().backward()
    still = {name for name, value in tiny_croco.named_parameters() if value.grad is None or not value.grad.any()}
    # Without turns a key's bias moves all scores of a query alike, which the softmax forgets: rounding alone moves it.
    still -= {name for name in still if name.endswith("projk.bias")}
    assert not still


def gradients(model, *inputs):
    model.zero_grad()
    model(*inputs).square().mean().backward()
    return {name: parameter.grad.clone() for name, parameter in model.named_parameters()}


@pytest.mark.parametrize("autocast", [False, True])
def test_computing_activations_again_changes_no_gradient(tiny_croco, image_pair, mask, autocast):
    calls = []
    tiny_croco.decoder.blocks[0].attn.register_forward_hook(lambda *_: calls.append(None))
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        kept_once = gradients(tiny_croco, *image_pair, mask)
        assert len(calls) == 1
        tiny_croco.checkpoint_activations = True
        again = gradients(tiny_croco, *image_pair, mask)
    assert tiny_croco.checkpoint_activations
    assert len(calls) == 3
    assert_close(again, kept_once, atol=0, rtol=0)


def test_the_attention_kernel_reaches_every_block_and_changes_no_gradient(tiny_croco, image_pair, mask):
    assert tiny_croco.attention is None
    of_kernel = {}
    for kernel in ("fused", "plain"):
        tiny_croco.attention = kernel
        assert tiny_croco.attention == kernel
        assert [module.kernel for module in tiny_croco.modules() if hasattr(module, "kernel")] == 6 * [kernel]
        of_kernel[kernel] = gradients(tiny_croco, *image_pair, mask)
    assert_close(of_kernel["plain"], of_kernel["fused"], atol=1e-5, rtol=1e-4)


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")  # torch's own
@pytest.mark.parametrize("forget", [False, True])
def test_compiled_blocks_are_whole_graphs_and_change_no_gradient(tiny_croco, image_pair, mask, forget):
    eager = gradients(tiny_croco, *image_pair, mask)
    graphs = []

    def backend(graph, inputs):
        graphs.append(graph)
        return graph.forward

    torch._dynamo.reset()
    tiny_croco.checkpoint_activations = forget
    tiny_croco.compile_blocks(backend=backend, fullgraph=True, dynamic=False)  # refuses what would break a graph
    assert_close(gradients(tiny_croco, *image_pair, mask), eager, atol=1e-6, rtol=1e-5)
    assert len(graphs) == 3  # the encoder's for some patches and for all, and the decoder's: blocks share them


@pytest.mark.gpu
def test_a_step_on_a_gpu_waits_for_nothing(tiny_croco, image_pair, mask):
    model, images = tiny_croco.cuda(), [image.cuda() for image in image_pair]
    before = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("error")
    try:
        for predicted in (None, some_of(mask, 5)):
            with torch.autocast("cuda", torch.bfloat16):
                model(*images, mask, predicted).float().square().mean().backward()
    finally:
        torch.cuda.set_sync_debug_mode(before)


@pytest.mark.gpu
@pytest.mark.slow  # compiles
def test_compiled_blocks_predict_the_same_on_a_gpu(tiny_croco, image_pair, mask):
    model, images = tiny_croco.cuda(), [image.cuda() for image in image_pair]
    eager = model(*images, mask)
    model.compile_blocks(fullgraph=True, dynamic=False)
    assert_close(model(*images, mask), eager, atol=1e-4, rtol=1e-4)


def test_it_runs_under_bfloat16_autocast(tiny_croco, image_pair, mask):
    exact = tiny_croco(*image_pair, mask)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = tiny_croco(*image_pair, mask)
    rounded.float().square().mean().backward()
    assert rounded.dtype == torch.bfloat16
    assert_close(rounded.float(), exact, atol=0.1, rtol=0)
    assert all(parameter.grad.isfinite().all() for parameter in tiny_croco.parameters())


def test_initial_weights_are_as_specified():
    torch.manual_seed(0)
    model = CroCo(replace(tiny(), dec_dim=512, dec_depth=1))
    assert 0.018 < model.mask_token.std() < 0.022
    for module in model.modules():
        if isinstance(module, torch.nn.Linear | torch.nn.Conv2d):
            fan_out, fan_in = module.weight.flatten(1).shape
            bound = (6 / (fan_in + fan_out)) ** 0.5
            assert 0.95 * bound < module.weight.abs().max() <= bound
            assert not module.bias.any()
        if isinstance(module, torch.nn.LayerNorm):
            assert module.eps == 1e-6
            assert (module.weight == 1).all()
            assert not module.bias.any()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image_size": 100}, "image_size is 100; it must be a multiple of patch_size, 16"),
        ({"enc_heads": 7}, "enc_dim is 768; it must be a multiple of 4 times enc_heads, 7"),
        ({"dec_depth": 0}, "dec_depth is 0; it must be positive"),
        ({"positions": "sine"}, "positions is 'sine'; choose cosine or rope or learned"),
    ],
)
def test_sizes_that_cannot_work_are_refused(change, message):
    with pytest.raises(ConfigError, match=message):
        CroCoConfig(**change)


# The slow twin: the specification written out again with loops, in float64.


def twin_norm(x, state, name):
    centred = x - x.mean(-1, keepdim=True)
    return (
        centred / (centred.square().mean(-1, keepdim=True) + 1e-6).sqrt() * state[f"{name}.weight"]
        + state[f"{name}.bias"]
    )


def twin_linear(x, state, name):
    return x @ state[f"{name}.weight"].T + state[f"{name}.bias"]


def twin_turn(x, place):
    out = x.clone()
    size = len(x) // 2
    for start, number in ((0, place[0]), (size, place[1])):
        for i in range(size // 2):
            angle = torch.tensor(number * 100 ** (-2 * i / size), dtype=torch.float64)
            a, b = x[start + i], x[start + i + size // 2]
            out[start + i] = a * angle.cos() - b * angle.sin()
            out[start + i + size // 2] = a * angle.sin() + b * angle.cos()
    return out


def twin_attention(q, k, v, places_q, places_k, heads, rope):
    size = q.shape[1] // heads
    out = torch.zeros_like(q)
    for head in range(heads):
        part = slice(head * size, (head + 1) * size)
        qs, ks = [list(x[:, part]) for x in (q, k)]
        if rope:
            qs = [twin_turn(x, place) for x, place in zip(qs, places_q, strict=True)]
            ks = [twin_turn(x, place) for x, place in zip(ks, places_k, strict=True)]
        for i, query in enumerate(qs):
            weights = torch.stack([query @ key for key in ks]).div(size**0.5).exp()
            out[i, part] = (weights / weights.sum()) @ v[:, part]
    return out


def twin_self(x, state, name, places, heads, rope):
    q, k, v = twin_linear(x, state, f"{name}.qkv").chunk(3, dim=1)
    return twin_linear(twin_attention(q, k, v, places, places, heads, rope), state, f"{name}.proj")


def twin_mlp(x, state, name):
    hidden = twin_linear(x, state, f"{name}.fc1")
    hidden = hidden * 0.5 * (1 + torch.erf(hidden / 2**0.5))
    return twin_linear(hidden, state, f"{name}.fc2")


def twin_place_code(width, places):
    code = torch.zeros(len(places), width, dtype=torch.float64)
    quarter = width // 4
    for token, (row, column) in enumerate(places):
        for i in range(quarter):
            for start, number in ((0, column), (2 * quarter, row)):
                angle = torch.tensor(number * 10000 ** (-i / quarter), dtype=torch.float64)
                code[token, start + i], code[token, start + quarter + i] = angle.sin(), angle.cos()
    return code


def twin_encode(image, places, state, config):
    rope = config.positions == "rope"
    weight, bias = state["encoder.patch_embed.proj.weight"], state["encoder.patch_embed.proj.bias"]
    patches = [image[:, 16 * row : 16 * row + 16, 16 * column : 16 * column + 16] for row, column in places]
    x = torch.stack([(weight * patch).sum((1, 2, 3)) + bias for patch in patches])
    x = x if rope else x + twin_place_code(config.enc_dim, places)
    for i in range(config.enc_depth):
        name = f"encoder.blocks.{i}"
        x = x + twin_self(twin_norm(x, state, f"{name}.norm1"), state, f"{name}.attn", places, config.enc_heads, rope)
        x = x + twin_mlp(twin_norm(x, state, f"{name}.norm2"), state, f"{name}.mlp")
    return twin_linear(twin_norm(x, state, "encoder.norm"), state, "to_decoder")


def twin_complete(image1, image2, withheld, state, config):
    rope, heads = config.positions == "rope", config.dec_heads
    places = [(row, column) for row in range(4) for column in range(4)]
    visible = twin_encode(
        image1, [place for place, hidden in zip(places, withheld, strict=True) if not hidden], state, config
    )
    memory = twin_encode(image2, places, state, config)
    arriving = iter(visible)
    x = torch.stack([state["mask_token"][0, 0] if hidden else next(arriving) for hidden in withheld])
    if not rope:
        x, memory = (tokens + twin_place_code(config.dec_dim, places) for tokens in (x, memory))
    for i in range(config.dec_depth):
        name = f"decoder.blocks.{i}"
        x = x + twin_self(twin_norm(x, state, f"{name}.norm1"), state, f"{name}.attn", places, heads, rope)
        q = twin_linear(twin_norm(x, state, f"{name}.norm2"), state, f"{name}.cross_attn.projq")
        other = twin_norm(memory, state, f"{name}.norm_y")
        k, v = (twin_linear(other, state, f"{name}.cross_attn.{part}") for part in ("projk", "projv"))
        seen = twin_attention(q, k, v, places, places, heads, rope)
        x = x + twin_linear(seen, state, f"{name}.cross_attn.proj")
        x = x + twin_mlp(twin_norm(x, state, f"{name}.norm3"), state, f"{name}.mlp")
    pixels = twin_linear(twin_norm(x, state, "decoder.norm"), state, "to_pixels")
    return torch.stack([patch for patch, hidden in zip(pixels, withheld, strict=True) if hidden])


def test_the_network_equals_the_specification_written_out_in_loops(tiny_croco, image_pair, mask):
    model = tiny_croco.double()
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in model.parameters():  # biases and norms away from 0 and 1, or a mistake in them would not show
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
        image1, image2 = (image[:1].double() for image in image_pair)
        ours = model(image1, image2, mask[:1])[0]
        twin = twin_complete(image1[0], image2[0], mask[0].tolist(), model.state_dict(), model.config)
    assert_close(ours, twin, atol=1e-6, rtol=0)
