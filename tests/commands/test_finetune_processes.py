"""`humanpt finetune` killed, and in several processes."""

import json
import os
import signal
import time

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tests.commands.processes import start
from tests.engine.processes import finish

WORDS = ["finetune", "gesture", "--recipe", "tiny", "--device", "cpu", "--batch-size", "8", "--json"]
FIELDS = {
    **{"workers": 0, "attention": "plain", "heldout": 0.25, "task.smoothing": 0},
    **{"optim.base_lr": 0.01, "optim.cosine_steps": 10_000},
    **{"loop.tensorboard": "false", "loop.save_every": 2, "loop.log_every": 2, "loop.eval_every": 5},
    **{"encoder.image_size": 32, "encoder.patch_size": 8, "encoder.enc_dim": 32, "encoder.enc_heads": 2},
}
WORDS += [word for name, value in FIELDS.items() for word in ("--set", f"{name}={value}")]

pytestmark = pytest.mark.usefixtures("nobody_left")


@pytest.fixture(scope="module")
def classes(tmp_path_factory):
    """Pictures of noise in two classes."""
    root, rng = tmp_path_factory.mktemp("classes"), np.random.default_rng(0)
    for name in ("fist", "palm"):
        (root / name).mkdir()
        for number in range(12):
            cv2.imwrite(str(root / name / f"{number}.png"), rng.integers(0, 255, (40, 40, 3), dtype=np.uint8))
    return root


def finetune(classes, out, steps, *words, size=1):
    """Run to an end; the summary."""
    codes, said, errors = finish(start([*WORDS, "--data", classes, "--out", out, "--steps", steps, *words], size))
    assert codes == [0] * size, errors
    assert said[1:] == [""] * (size - 1)  # the first alone speaks
    return json.loads(said[0])


def test_two_processes_learn_what_one_does(classes, tmp_path):
    summaries = [finetune(classes, tmp_path / str(size), 4, size=size) for size in (1, 2)]
    assert [summary["steps"] for summary in summaries] == [4, 4]
    one, two = (load_file(tmp_path / str(size) / "last.safetensors") for size in (1, 2))
    named = [name for name in one if name.startswith("model.")]
    assert any(name.startswith("model.average.") for name in named)
    for name in named:
        torch.testing.assert_close(two[name], one[name], atol=2e-5, rtol=1e-3)
    losses = [[json.loads(line)["loss"] for line in (tmp_path / size / "log.jsonl").read_text().splitlines()[1:]]
              for size in ("1", "2")]  # fmt: skip
    np.testing.assert_allclose(*losses, rtol=1e-4)


def test_a_killed_run_goes_on_as_if_it_had_not_been(classes, tmp_path):
    out = tmp_path / "killed"
    (process,) = start([*WORDS, "--data", classes, "--out", out, "--steps", 100_000])
    until = time.monotonic() + 60
    while not (out / "last.safetensors").exists() and process.running() and time.monotonic() < until:
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.finish()
    raw = (out / "last.safetensors").read_bytes()
    reached = int(json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])["__metadata__"]["step"])
    assert finetune(classes, out, reached + 3, "--resume")["steps"] == reached + 3
    finetune(classes, tmp_path / "whole", reached + 3)
    killed, whole = (load_file(run / "last.safetensors") for run in (out, tmp_path / "whole"))
    assert killed.keys() == whole.keys()
    for name, tensor in whole.items():
        assert tensor.numpy().tobytes() == killed[name].numpy().tobytes(), name
