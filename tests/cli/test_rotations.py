"""`humanpt eval rotations` through the command line."""

import json

import pytest
import typer
from typer.testing import CliRunner

from humanpt.cli.rotations import rotations
from humanpt.tasks import rotation

QUICK = ["--steps", "2", "--seeds", "2", "--set", "task.width=8", "--set", "task.tests=10", "--set", "limits=180"]


def rotations_command(*words):
    app = typer.Typer()
    app.command()(rotations)
    return CliRunner().invoke(app, list(map(str, words)))


def test_a_study_is_told_in_a_table(tmp_path):
    done = rotations_command("--out", tmp_path / "out", *QUICK)
    assert done.exit_code == 0, done.output
    for form in ("procrustes", "6d", "quat", "rotvec", "euler"):
        assert form in done.output
    assert "all rotations: mean error of 6d" in done.output
    assert (tmp_path / "out" / "report.html").is_file()


def test_json_is_one_document_with_its_baseline(tmp_path):
    done = rotations_command("--out", tmp_path / "out", "--json", *QUICK)
    document = json.loads(done.stdout)
    assert document["n"] == 10
    assert document["seed"] == [0, 1]
    assert len(document["table"]) == 5
    assert document["baseline"]["no turn, to 180 degrees"] == pytest.approx(126, abs=40)
    assert "results" not in document


def test_a_stopped_study_ends_as_ctrl_c_does_and_says_how_to_go_on(tmp_path, monkeypatch):
    def stopped(*args, **kwargs):
        import signal

        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr("humanpt.commands.rotation_study.train", stopped)
    done = rotations_command("--out", tmp_path / "out", *QUICK)
    assert done.exit_code == 130
    assert "--resume goes on" in " ".join(done.output.split())
    monkeypatch.setattr("humanpt.commands.rotation_study.train", rotation.train)
    assert rotations_command("--out", tmp_path / "out", "--resume", *QUICK).exit_code == 0
