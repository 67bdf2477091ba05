"""`humanpt finetune detection` on painted people: what it leaves, how it goes on, what it refuses."""

import json
import shutil

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from humanpt.cli.app import app
from humanpt.detect.heatmap import load_weights
from humanpt.errors import InputError
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
    result = finetune("--cutouts", cutouts, "--out", out, "--steps", 2, "--precision", "bf16", "--json", *TINY)
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


def test_a_run_goes_on_where_it_stopped_in_its_own_precision(trained, cutouts):
    out, _ = trained
    result = finetune("--cutouts", cutouts, "--out", out, "--resume", "--steps", 4, "--json")
    assert result.exit_code == 0, result.output
    summary = json.loads(result.stdout)
    assert (summary["steps"], summary["precision"]) == (4, "bf16")


def test_a_run_does_not_go_on_with_other_photographs_or_people(trained, cutouts, tmp_path):
    out = shutil.copytree(trained[0], tmp_path / "run")
    rooms = tmp_path / "rooms"
    rooms.mkdir()
    cv2.imwrite(str(rooms / "empty.png"), np.full((80, 80, 3), 90, np.uint8))
    before = (out / "detector.safetensors").read_bytes()
    for words, part in (
        (["--backgrounds", rooms], "photographs: 0, now 1"),
        (["--set", "cutouts.people=9"], "people: 12, now 9"),
    ):
        result = finetune("--cutouts", cutouts, "--out", out, "--resume", *words)
        assert result.exit_code == 2, result.output
        line = " ".join(result.stderr.split())
        assert part in line
        assert "--init" in line
    assert (out / "detector.safetensors").read_bytes() == before


def test_more_people_in_a_shared_folder_of_cutouts_are_no_other_data(trained, tmp_path):
    out = shutil.copytree(trained[0], tmp_path / "run")
    result = finetune("--cutouts", write_painted(tmp_path / "more", 15), "--out", out, "--resume", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["data"] == trained[1]["data"]


def test_a_detector_that_is_stopped_while_it_is_measured_leaves_the_earlier_one(
    trained, cutouts, tmp_path, monkeypatch
):
    out = shutil.copytree(trained[0], tmp_path / "run")
    before = (out / "detector.safetensors").read_bytes()

    def stopped(*given):
        raise InputError("stopped")

    monkeypatch.setattr("humanpt.commands.finetune_detection._measure", stopped)
    assert finetune("--cutouts", cutouts, "--out", out, "--resume", "--steps", 5).exit_code == 2
    assert (out / "detector.safetensors").read_bytes() == before


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
        (["--out", "{new}", "--resume"], ["no such folder to resume"]),
        (["--out", "{new}", "--set", "cutouts.size=64"], ["other settings", "--cutouts"]),
        (["--out", "{new}", "--backgrounds", "{new}"], ["no photograph"]),
        (["--out", "{used}", "--resume", "--hand"], ["finds a body"]),
        (["--out", "{new}", "--set", "heldout=0"], ["heldout"]),
        (["--out", "{new}", "--set", "optim.cosine_epochs=2"], ["set optim.cosine_steps"]),
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
