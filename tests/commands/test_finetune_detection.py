"""`humanpt finetune detection` on painted people: what it leaves, how it goes on, what it refuses."""

import json

import pytest
from typer.testing import CliRunner

from humanpt.cli.app import app
from humanpt.detect.heatmap import load_weights
from tests.cutouts import write_painted

SETTINGS = {
    "cutouts.people": 12,
    "heldout": 0.3,
    "workers": 0,
    "task.model.widths": "8,8,8,8",
    "task.model.depths": "1,1,1,1",
    "task.model.head_dim": 8,
    "task.pictures.size": 64,
    "task.heldout_pictures": 3,
    "frames": 3,
    "loop.batch_size": 2,
    "loop.log_every": 1,
    "loop.eval_every": 2,
    "optim.warmup_steps": 1,
}
TINY = [word for name, value in SETTINGS.items() for word in ("--set", f"{name}={value}")]


def finetune(*words):
    return CliRunner().invoke(app, ["finetune", "detection", "--device", "cpu", *map(str, words)])


@pytest.fixture(scope="module")
def cutouts(tmp_path_factory):
    return write_painted(tmp_path_factory.mktemp("painted"))


@pytest.fixture(scope="module")
def trained(cutouts, tmp_path_factory):
    """A run of two steps, and its summary."""
    out = tmp_path_factory.mktemp("runs") / "one"
    result = finetune("--cutouts", cutouts, "--out", out, "--steps", 2, "--json", *TINY)
    assert result.exit_code == 0, result.output
    return out, json.loads(result.stdout)


def test_a_run_leaves_weights_that_say_how_they_were_made(trained):
    out, summary = trained
    assert summary["steps"] == 2
    assert set(summary["figures"]) == {"recall", "threshold"}
    weights = load_weights(out / "detector.safetensors", "body")
    assert weights.record["config"]["task"]["pictures"]["size"] == 64
    assert weights.record["data"]["people"] == 12
    assert weights.record["licence"] == "Apache-2.0"
    assert weights.network.config.widths == (8, 8, 8, 8)
    assert json.loads((out / "summary.json").read_text()) == summary


def test_a_run_goes_on_where_it_stopped(trained, cutouts):
    out, _ = trained
    result = finetune("--cutouts", cutouts, "--out", out, "--resume", "--steps", 4, "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["steps"] == 4


def test_a_run_may_begin_with_the_weights_of_another_and_says_so(trained, cutouts, tmp_path):
    first = trained[0] / "last.safetensors"
    words = ("--cutouts", cutouts, "--out", tmp_path / "two", "--steps", 1, "--init", first, *TINY)
    result = finetune(*words)
    assert result.exit_code == 0, result.output
    assert "weights:" in result.stdout
    record = load_weights(tmp_path / "two" / "detector.safetensors", "body").record
    assert record["data"]["init"]["steps"] in (2, 4)


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["--out", "{used}"], ["already holds a run", "--resume"]),
        (["--out", "{new}", "--resume"], ["nothing was saved"]),
        (["--out", "{new}", "--set", "cutouts.size=64"], ["other settings", "--cutouts"]),
        (["--out", "{new}", "--backgrounds", "{new}"], ["no photograph"]),
        (["--out", "{used}", "--resume", "--hand"], ["finds a body"]),
        (["--out", "{new}", "--set", "heldout=0"], ["heldout"]),
        (["--out", "{new}", "--set", "loop.steps=none"], ["steps"]),
    ],
)
def test_what_cannot_work_is_one_line_and_exit_code_2(trained, cutouts, tmp_path, words, parts):
    names = {"used": trained[0], "new": tmp_path / "new"}
    given = [word.format(**names) for word in words]
    settings = [] if "--resume" in given else TINY
    result = finetune("--cutouts", cutouts, *settings, *given)
    assert result.exit_code == 2
    line = " ".join(result.stderr.split())
    assert line.startswith("error:")
    for part in parts:
        assert part in line
