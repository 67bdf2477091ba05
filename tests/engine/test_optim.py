from dataclasses import replace

import pytest
import torch
from torch import nn

from humanpt.engine.optim import OptimConfig, make_optimizer, parameter_groups, set_rate
from humanpt.errors import ConfigError
from humanpt.models.croco import CroCo, tiny
from humanpt.models.trunk import Trunk


@pytest.mark.parametrize(("epoch", "rate"), [(0, 0.0), (20, 7.5e-5), (40, 1.5e-4), (800, 0.0), (900, 0.0)])
def test_the_rate_at_an_epoch_is_the_known_answer(epoch, rate):
    schedule = OptimConfig().schedule(batch_size=256, steps_per_epoch=10)
    assert schedule.rate(epoch * 10) == pytest.approx(rate, rel=1e-12, abs=1e-18)


def test_the_rate_where_the_run_stops_is_the_known_answer():
    schedule = OptimConfig().schedule(batch_size=256, steps_per_epoch=7.25)  # epochs need not be whole steps
    assert schedule.rate(400 * 7.25) == pytest.approx(8.119e-5, abs=5e-9)


def test_twice_the_batch_doubles_the_rate():
    one, two = (OptimConfig().schedule(batch_size=size, steps_per_epoch=10) for size in (256, 512))
    assert [two.rate(step) for step in (200, 400, 4000)] == [2 * one.rate(step) for step in (200, 400, 4000)]


def test_lengths_in_steps_give_the_same_rates_as_the_same_lengths_in_epochs():
    epochs = OptimConfig(warmup_epochs=4, cosine_epochs=80).schedule(batch_size=64, steps_per_epoch=5)
    steps = OptimConfig(warmup_steps=20, cosine_steps=400).schedule(batch_size=64, steps_per_epoch=12345)
    assert [epochs.rate(step) for step in range(450)] == [steps.rate(step) for step in range(450)]


def test_without_warm_up_the_first_step_has_the_peak_rate():
    schedule = OptimConfig(base_lr=1e-3, warmup_epochs=0).schedule(batch_size=256, steps_per_epoch=10)
    assert schedule.rate(0) == 1e-3


def test_a_cosine_within_the_warm_up_is_refused():
    with pytest.raises(ConfigError, match="lengthen cosine_epochs"):
        OptimConfig(warmup_steps=20, cosine_steps=20).schedule(batch_size=8, steps_per_epoch=1)


@pytest.mark.parametrize(
    "fields",
    [
        {"base_lr": 0},
        {"warmup_epochs": -1},
        {"cosine_steps": 0},
        {"betas": (0.9, 1.0)},
        {"weight_decay": -0.1},
        {"layer_decay": 0},
        {"layer_decay": 1.1},
        {"average_decay": 1.0},
    ],
)
def test_an_impossible_field_is_refused_by_name(fields):
    with pytest.raises(ConfigError, match=next(iter(fields))):
        OptimConfig(**fields)


class Masked(nn.Module):
    def __init__(self):
        super().__init__()
        self.mask_token = nn.Parameter(torch.zeros(1, 1, 4))
        self.linear = nn.Linear(4, 4)
        self.norm = nn.LayerNorm(4)
        self.convolution = nn.Conv2d(3, 4, 2)
        self.added = nn.Parameter(torch.zeros(9, 4))
        self.bias = nn.Parameter(torch.zeros(2, 2))  # a bias in two dimensions is a bias
        self.frozen = nn.Parameter(torch.zeros(4, 4), requires_grad=False)


def test_weights_and_the_mask_token_decay_and_what_is_only_added_does_not():
    model = Masked()
    names = {parameter: name for name, parameter in model.named_parameters()}
    decayed, spared = parameter_groups(model, weight_decay=0.05)
    assert [names[p] for p in decayed["params"]] == ["mask_token", "linear.weight", "convolution.weight"]
    assert [names[p] for p in spared["params"]] == [
        "added",
        "bias",
        "linear.bias",
        "norm.weight",
        "norm.bias",
        "convolution.bias",
    ]
    assert (decayed["weight_decay"], spared["weight_decay"]) == (0.05, 0.0)


def test_learned_positions_of_the_network_do_not_decay():
    model = CroCo(replace(tiny(), positions="learned"))
    decayed, spared = parameter_groups(model, weight_decay=0.05)
    assert id(model.encoder.positions.added) in {id(p) for p in spared["params"]}
    assert {id(model.mask_token), id(model.to_pixels.weight)} <= {id(p) for p in decayed["params"]}


def factors(model, decay):
    """The share of the rate that each parameter of a model gets."""
    names = {parameter: name for name, parameter in model.named_parameters()}
    groups = parameter_groups(model, 0.05, decay)
    return {names[parameter]: group["factor"] for group in groups for parameter in group["params"]}


def test_each_layer_gets_less_of_the_rate_than_the_one_above_it():
    model = nn.ModuleDict({"trunk": Trunk(tiny()), "head": nn.Linear(64, 1)})  # two blocks
    found = factors(model, 0.5)
    assert found["trunk.encoder.patch_embed.proj.weight"] == 0.125
    assert found["trunk.encoder.blocks.0.attn.qkv.bias"] == 0.25
    assert found["trunk.encoder.blocks.1.mlp.fc1.weight"] == 0.5
    assert found["trunk.encoder.norm.weight"] == found["head.weight"] == 1.0
    assert set(factors(model, 1.0).values()) == {1.0}


def test_a_decoder_lies_between_encoder_and_head():
    model = nn.ModuleDict({"trunk": Trunk(replace(tiny(), positions="learned"), views=2), "head": nn.Linear(32, 1)})
    found = factors(model, 0.5)
    inside = [
        "encoder.positions.added",
        "encoder.blocks.0.norm1.bias",
        "encoder.blocks.1.norm1.bias",
        "to_decoder.bias",
        "decoder.blocks.0.norm1.bias",
        "decoder.blocks.1.norm1.bias",
    ]
    assert [found[f"trunk.{name}"] for name in inside] == [0.5**power for power in (6, 5, 4, 3, 2, 1)]
    assert found["trunk.encoder.norm.bias"] == found["trunk.to_decoder.weight"]
    assert found["trunk.decoder.norm.bias"] == found["head.bias"] == 1.0


def test_the_rate_of_a_layer_is_its_share_of_the_schedules():
    model = nn.ModuleDict({"trunk": Trunk(tiny()), "head": nn.Linear(64, 1)})
    optimizer = make_optimizer(model, OptimConfig(layer_decay=0.5))
    set_rate(optimizer, 0.8)
    assert sorted({group["lr"] for group in optimizer.param_groups}) == pytest.approx([0.1, 0.2, 0.4, 0.8])


def test_layers_are_not_decayed_where_there_are_none():
    with pytest.raises(ConfigError, match="no encoder with blocks"):
        make_optimizer(nn.Linear(2, 2), OptimConfig(layer_decay=0.5))


def test_the_fused_update_is_used_and_equals_the_plain_one():
    torch.manual_seed(0)
    model = nn.Linear(5, 3)
    twin = nn.Linear(5, 3)
    twin.load_state_dict(model.state_dict())
    fused = make_optimizer(model, OptimConfig())
    assert fused.defaults["fused"]
    plain = torch.optim.AdamW(parameter_groups(twin, 0.05), betas=(0.9, 0.95), lr=0.1, foreach=False)
    for group in fused.param_groups:
        group["lr"] = 0.1
    for _ in range(3):
        x = torch.randn(4, 5)
        for net, optimizer in ((model, fused), (twin, plain)):
            optimizer.zero_grad()
            net(x).square().mean().backward()
            optimizer.step()
    torch.testing.assert_close(model.state_dict(), twin.state_dict())


def test_a_model_with_nothing_to_train_is_refused():
    with pytest.raises(ValueError, match="no trainable"):
        make_optimizer(nn.Linear(2, 2).requires_grad_(False), OptimConfig())
