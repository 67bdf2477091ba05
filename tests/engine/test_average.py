import dataclasses
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch.testing import assert_close

from humanpt.engine.average import Averaged
from humanpt.engine.checkpoint import Provenance
from humanpt.engine.loop import train
from humanpt.engine.runtime import seed_everything
from humanpt.errors import ConfigError
from tests.engine.toy_task import LOOP, OPTIM, ToyTask, make_batches, same_tensors


class AveragedToy(ToyTask):
    """The toy problem, answered by the running mean of the weights."""

    def __init__(self):
        super().__init__()
        self.model = Averaged(self.model)


def run(out: Path, task=AveragedToy, resume=None, decay=0.9, **changes):
    seed_everything(0)
    loop = dataclasses.replace(LOOP, **changes)
    return train(
        task(),
        make_batches(loop),
        loop=loop,
        optim=dataclasses.replace(OPTIM, average_decay=decay),
        epoch_size=64,
        out=out,
        provenance=Provenance(recipe="toy", config={}),
        device=torch.device("cpu"),
        resume=resume,
    )


def test_the_mean_answers_when_evaluating_and_the_network_in_training():
    model = Averaged(nn.Linear(3, 2))
    nn.init.ones_(model.network.weight)
    x = torch.ones(1, 3)
    assert_close(model.train()(x), model.network(x))
    assert model.network.training
    assert not model.average.training
    assert_close(model.eval()(x), model.average(x))
    assert not torch.equal(model.network(x), model.average(x))


def test_the_mean_is_the_weighted_sum_of_what_it_followed():
    model = Averaged(nn.Linear(1, 1, bias=False))
    begin = model.average.weight.item()
    decays = [min(0.25, (1 + step) / (10 + step)) for step in (1, 2, 3)]
    expected = begin
    for step, decay in enumerate(decays, start=1):
        nn.init.constant_(model.network.weight, step)
        model.follow(0.25, step)
        expected = decay * expected + (1 - decay) * step
    assert decays[0] < decays[2] == 0.25
    assert model.average.weight.item() == pytest.approx(expected, rel=1e-6)


def test_what_the_network_keeps_the_mean_keeps_to_the_bit():
    model = Averaged(nn.Linear(7, 5))
    before = model.average.weight.clone()
    for step in range(1, 9):
        model.follow(0.9, step)
    assert torch.equal(model.average.weight, before)


def test_a_restarted_mean_is_the_network():
    model = Averaged(nn.Linear(2, 2))
    nn.init.ones_(model.network.weight)
    model.restart()
    assert torch.equal(model.average.weight, model.network.weight)


def test_the_loop_lets_the_mean_follow_every_step_and_evaluates_it(tmp_path):
    result = run(tmp_path, steps=3, log_every=1, save_every=1)
    saved = load_file(result.last)
    weights = {name: saved[f"model.{name}.4.bias"] for name in ("network", "average")}
    assert not torch.equal(*weights.values())
    task = AveragedToy()
    task.model.load_state_dict({n.removeprefix("model."): v for n, v in saved.items() if n.startswith("model.")})
    task.model.eval()
    assert task.evaluate()["loss"] == pytest.approx(result.figures["heldout_loss"], rel=1e-6)


def test_an_averaged_run_that_goes_on_equals_one_that_never_stopped(tmp_path):
    first = run(tmp_path / "twice", steps=6)
    run(tmp_path / "twice", steps=12, resume=first.last)
    run(tmp_path / "once", steps=12)
    assert same_tensors(tmp_path / "twice" / "last.safetensors", tmp_path / "once" / "last.safetensors")


@pytest.mark.parametrize(("task", "decay", "says"), [(AveragedToy, None, "keeps a running"), (ToyTask, 0.9, "no run")])
def test_a_mean_without_decay_and_a_decay_without_mean_are_refused(tmp_path, task, decay, says):
    with pytest.raises(ConfigError, match=says):
        run(tmp_path, task, decay=decay, steps=1)
