import os
import random
import signal

import numpy as np
import pytest
import torch

from humanpt.engine import runtime
from humanpt.engine.runtime import (
    autocast,
    choose_device,
    choose_precision,
    describe_device,
    deterministic_on_cpu,
    interruptible,
    peak_memory,
    random_states,
    random_states_kept,
    restore_random_states,
    seed_everything,
)
from humanpt.errors import ConfigError

CPU = torch.device("cpu")


@pytest.mark.parametrize("name", ["gpu", "cuda:x", "cuda:", "cpu:0", "", "meta"])
def test_an_unknown_device_is_refused_in_one_line_with_the_choices(name):
    with pytest.raises(ConfigError, match="choose auto, cpu, cuda") as error:
        choose_device(name)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["cuda", "cuda:0", "cuda:3"])
def test_a_cuda_device_that_is_absent_is_refused(monkeypatch, name):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(ConfigError, match="torch sees no CUDA device; choose auto or cpu"):
        choose_device(name)


def test_a_cuda_device_beyond_those_there_is_refused_with_those(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert choose_device("cuda:1") == torch.device("cuda", 1)
    with pytest.raises(ConfigError, match="only cuda:0 to cuda:1"):
        choose_device("cuda:2")


def test_auto_takes_cuda_then_mps_then_the_cpu(monkeypatch):
    have = {"cuda": True, "mps": True}
    monkeypatch.setattr(torch.cuda, "is_available", lambda: have["cuda"])
    monkeypatch.setattr(torch.cuda, "device_count", lambda: int(have["cuda"]))
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: have["mps"])
    assert choose_device("auto") == torch.device("cuda", 0)
    have["cuda"] = False
    assert choose_device("auto") == torch.device("mps")
    have["mps"] = False
    assert choose_device("auto") == CPU


@pytest.mark.parametrize(
    ("facts", "precision"),
    [
        ({"flags": "avx512f avx512_bf16"}, "bf16"),
        ({"flags": "amx_bf16"}, "bf16"),
        ({"flags": "avx2 avx512f"}, "fp32"),
        ({"Features": "fp asimd bf16"}, "bf16"),
        ({}, "fp32"),
    ],
)
def test_auto_is_bf16_only_on_a_processor_that_has_it(monkeypatch, facts, precision):
    monkeypatch.setattr(runtime, "_cpu_facts", lambda: facts)
    assert choose_precision("auto", CPU) == precision


def test_a_precision_asked_for_is_given_and_an_unknown_one_refused():
    assert (choose_precision("fp32", CPU), choose_precision("bf16", CPU)) == ("fp32", "bf16")
    with pytest.raises(ConfigError, match="choose auto, fp32 or bf16"):
        choose_precision("fp16", CPU)


def test_products_are_bf16_under_autocast_and_weights_stay_fp32():
    layer = torch.nn.Linear(2, 2)
    with autocast(CPU, "bf16"):
        assert layer(torch.ones(1, 2)).dtype == torch.bfloat16
    with autocast(CPU, "fp32"):
        assert layer(torch.ones(1, 2)).dtype == torch.float32
    assert layer.weight.dtype == torch.float32


def test_a_cpu_is_described_by_its_name_and_threads():
    assert describe_device(CPU).startswith("cpu, ")
    assert "thread" in describe_device(CPU)


def test_the_peak_of_memory_is_in_bytes():
    assert 2**26 < peak_memory(CPU) < 2**40  # torch alone takes more than 64 MiB


def draw_from_all() -> list[float]:
    return [random.random(), random.gauss(), np.random.rand(), np.random.normal(), torch.rand(()).item()]


def test_the_same_seed_gives_the_same_draws():
    seed_everything(3)
    first = draw_from_all()
    seed_everything(3)
    assert draw_from_all() == first
    seed_everything(4)
    assert draw_from_all() != first


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_seed_out_of_range_is_refused(seed):
    with pytest.raises(ConfigError, match="seed"):
        seed_everything(seed)


def test_restored_random_states_go_on_with_the_same_draws():
    draw_from_all()  # an odd number of normal draws, so that half a draw is pending
    states = random_states(CPU)
    first = [draw_from_all() for _ in range(3)]
    restore_random_states(states, CPU)
    assert [draw_from_all() for _ in range(3)] == first


def test_draws_inside_a_keeping_block_do_not_count():
    seed_everything(0)
    with random_states_kept(CPU):
        draw_from_all()
    after = draw_from_all()
    seed_everything(0)
    assert draw_from_all() == after


def test_determinism_ends_with_its_block():
    before = torch.are_deterministic_algorithms_enabled()
    with deterministic_on_cpu(CPU):
        assert torch.are_deterministic_algorithms_enabled()
    assert torch.are_deterministic_algorithms_enabled() == before


@pytest.mark.parametrize("name", ["SIGTERM", "SIGUSR1", "SIGHUP"])
def test_slurms_and_torchruns_signals_are_only_noted_however_many(name):
    before = signal.getsignal(getattr(signal, name))
    with interruptible() as interrupt:
        for _ in range(2):
            os.kill(os.getpid(), getattr(signal, name))
        assert signal.Signals(interrupt.signal).name == name
    assert signal.getsignal(getattr(signal, name)) == before


def test_the_first_ctrl_c_is_noted_and_the_second_raises():
    with interruptible() as interrupt:
        os.kill(os.getpid(), signal.SIGINT)
        assert interrupt.asked
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_what_was_started_to_outlive_its_terminal_does():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        with interruptible() as interrupt:
            signal.raise_signal(signal.SIGHUP)
            assert not interrupt.asked
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
