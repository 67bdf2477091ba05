"""`humanpt pretrain` in two processes, stopped by a signal and gone on with in one."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from tests.engine.processes import ROOT, free_port
from tests.scenes import write_pairs

SMALL = ["--recipe", "tiny", "--batch-size", "8", "--precision", "fp32", "--device", "cpu"]
SMALL += ["--set", "loop.log_every=2", "--set", "loop.save_every=3", "--set", "workers=0", "--json"]
SMALL += ["--set", "loop.tensorboard=false", "--set", "probe.pictures=0", "--set", "attention=fused"]


def start(words, size):
    shared = {"WORLD_SIZE": str(size), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    command = [sys.executable, "-m", "humanpt", "pretrain", *SMALL, *map(str, words)]
    return [
        subprocess.Popen(
            command,
            cwd=ROOT,
            env=os.environ
            | {"OMP_NUM_THREADS": "1"}
            | (shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)} if size > 1 else {}),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(size)
    ]


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "pairs"
    folder.mkdir()
    write_pairs(folder / "pairs-00000.h5", count=30, clips=3)
    return folder


def test_two_processes_stop_at_a_signal_with_75_and_one_goes_on(pairs, tmp_path):
    out = tmp_path / "run"
    processes = start(["--data", pairs, "--out", out, "--steps", 100_000], 2)
    while not (out / "last.safetensors").exists():
        assert all(process.poll() is None for process in processes), [p.communicate() for p in processes]
        time.sleep(0.01)
    processes[1].send_signal(signal.SIGUSR1)
    said = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [75, 75], said
    stopped = json.loads(said[0][0])
    assert said[1][0] == ""
    assert stopped["interrupted"]
    (process,) = start(["--out", out, "--resume", "--steps", stopped["steps"] + 2], 1)
    text, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert json.loads(text)["steps"] == stopped["steps"] + 2
    steps = [json.loads(line)["step"] for line in (out / "log.jsonl").read_text().splitlines()]
    assert steps == sorted(set(steps))
