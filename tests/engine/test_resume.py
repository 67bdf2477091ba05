"""k steps, kill -9, and k more equal 2k steps, to the last bit."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from humanpt.engine.checkpoint import read_header
from tests.engine.toy_task import EVAL_EVERY, log_of, run_toy, same_tensors

PROGRAM = Path(__file__).parent / "toy_task.py"


def test_k_steps_and_k_more_equal_2k_steps(tmp_path):
    first = run_toy(tmp_path / "twice", steps=6, eval_every=5)
    run_toy(tmp_path / "twice", steps=12, eval_every=5, resume=first.last)
    run_toy(tmp_path / "once", steps=12, eval_every=5)
    assert same_tensors(tmp_path / "twice" / "last.safetensors", tmp_path / "once" / "last.safetensors")
    once, twice = log_of(tmp_path / "once"), log_of(tmp_path / "twice")
    assert [line for line in twice if line["step"] != 6] == [line for line in once if line["step"] != 6]
    assert [line["step"] for line in once] == [line["step"] for line in twice]


def test_a_resumed_run_keeps_its_best_although_it_was_better_before(tmp_path):
    first = run_toy(tmp_path, steps=6, eval_every=1)
    second = run_toy(tmp_path, steps=7, eval_every=1, resume=first.last)
    heldout = [line["heldout_loss"] for line in log_of(tmp_path)]
    assert second.best_loss == min(heldout)


def test_lines_beyond_the_checkpoint_and_half_lines_are_dropped_on_resume(tmp_path):
    last = run_toy(tmp_path, steps=6).last
    log = tmp_path / "log.jsonl"
    log.write_text(log.read_text() + '{"step": 8, "loss": 1.0}\nnonsense\n{"step": 2, "lo')
    run_toy(tmp_path, steps=10, resume=last)
    assert [line["step"] for line in log_of(tmp_path)] == [2, 4, 6, 8, 10]


@pytest.fixture
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # as in the program: the number of threads sets the order of sums
    yield
    torch.set_num_threads(before)


def start(out, *options):
    return subprocess.Popen(
        [sys.executable, str(PROGRAM), str(out), *map(str, options)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_for_a_checkpoint(program, out):
    while not (out / "last.safetensors").exists():
        assert program.poll() is None, program.communicate()[1]
        time.sleep(0.002)


@pytest.mark.parametrize(("workers", "precision"), [(0, "fp32"), (2, "bf16")])
def test_a_run_killed_at_any_moment_goes_on_as_if_it_had_not_been(tmp_path, one_thread, workers, precision):
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    program = start(killed, "--workers", workers, "--precision", precision)
    wait_for_a_checkpoint(program, killed)
    time.sleep(random.uniform(0, 0.2))
    program.send_signal(signal.SIGKILL)
    program.communicate()
    reached = read_header(killed / "last.safetensors").step
    steps = reached + 17  # not where anything is logged, saved or evaluated
    how = {"steps": steps, "eval_every": EVAL_EVERY, "workers": workers, "precision": precision}
    run_toy(killed, resume=killed / "last.safetensors", **how)
    run_toy(whole, **how)
    assert same_tensors(killed / "last.safetensors", whole / "last.safetensors")
    assert same_tensors(killed / "best.safetensors", whole / "best.safetensors")
    assert log_of(killed) == log_of(whole)
    assert {"model", "optim", "random"} == {name.split(".")[0] for name in load_file(whole / "last.safetensors")}


def test_ctrl_c_for_program_and_workers_alike_saves_and_ends_well(tmp_path):
    program = start(tmp_path, "--workers", 2)
    wait_for_a_checkpoint(program, tmp_path)
    os.killpg(program.pid, signal.SIGINT)  # what a terminal does
    out, errors = program.communicate()
    assert program.returncode == 0, errors
    done = json.loads(out)
    assert done["interrupted"]
    assert read_header(tmp_path / "last.safetensors").step == done["steps"]
