import pytest
import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils.checkpoint import checkpoint

from humanpt.engine.held_memory import Held, most_held
from humanpt.models.croco import CroCo, tiny


def test_storages_count_once_from_when_they_are_made_until_nothing_holds_them():
    held, given = Held(), torch.ones(100)
    with held:
        double = given * 2  # 400 bytes
        half = double[:50]  # a view
        del double
        whole = half + 1  # 200 bytes
        given.add_(1)  # no new storage
        del half
        whole.sum()  # 4 bytes
    assert held.after == [400, 400, 600, 600, 204]


def test_what_is_computed_again_for_the_backward_pass_counts_too():
    layers = [torch.nn.Sequential(torch.nn.Linear(8, 8), *[torch.nn.Tanh() for _ in range(10)]) for _ in range(6)]

    def kept_and_most(through):
        held, x = Held(), torch.ones(1000, 8, requires_grad=True)
        with held:
            for layer in layers:
                x = through(layer, x)
            kept = held.after[-1] / x.nbytes
            x.sum().backward()
        return kept, max(held.after) / x.nbytes

    kept, most = kept_and_most(lambda layer, x: layer(x))
    assert kept == 60  # the result of every Tanh
    assert most < 64
    kept, most = kept_and_most(lambda layer, x: checkpoint(layer, x, use_reentrant=False))
    assert 6 <= kept < 8  # the result of every layer
    assert 15 < most < 20  # and once more what is inside the last


def profiled(work):
    """Most bytes that torch's allocator gave out at once."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        work()
    events = [event for event in profiler.profiler.kineto_results.events() if event.name() == "[memory]"]
    now = most = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        now += event.nbytes()
        most = max(most, now)
    return most


@pytest.mark.parametrize("forget", [False, True])
def test_a_large_step_is_foretold_by_two_small_ones_as_the_allocator_counts(forget):
    model = CroCo(tiny())
    model.checkpoint_activations = forget
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)

    def step(count):
        pictures = torch.ones(2, count, 3, 64, 64)
        mask = torch.arange(16).expand(count, -1) > 3
        return lambda: model(*pictures, mask).square().sum().backward()

    held = {}
    for count in (2, 3):
        work = step(count)
        with Held() as found:
            work()
        held[count] = found.after
    assert most_held(held[2], held[3], 14) == pytest.approx(profiled(step(16)), rel=0.02)


def test_steps_of_other_operations_are_compared_by_what_they_hold_at_most():
    assert most_held([1, 5, 2], [1, 9], 3) == 5 + 3 * 4
