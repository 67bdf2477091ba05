"""`humanpt pretrain` on made pairs: what a run leaves, that interruptions change nothing, and what is refused."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import pytest
import torch
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from humanpt.cli.app import app
from humanpt.commands import generated_pairs
from humanpt.data.shards import PairSet
from tests.commands.results import one_line_error
from tests.scenes import write_pairs

ROOT = Path(__file__).parents[2]
SMALL = ["--recipe", "tiny", "--batch-size", "8", "--precision", "fp32", "--device", "cpu"]
SMALL += ["--set", "loop.log_every=2", "--set", "loop.eval_every=5", "--set", "loop.save_every=3"]
SMALL += ["--set", "workers=0", "--set", "probe.pictures=0"]
SMALL += ["--set", "attention=fused"]  # what is measured may differ from run to run, and its last bits with it


def pretrain(*words):
    return CliRunner().invoke(app, ["pretrain", *SMALL, *map(str, words)])


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "pairs"
    folder.mkdir()
    write_pairs(folder / "pairs-00000.h5", count=30, clips=3)
    return folder


@pytest.fixture(scope="module")
def trained(pairs, tmp_path_factory):
    """A run of ten steps and its summary."""
    out = tmp_path_factory.mktemp("runs") / "ten"
    result = pretrain("--data", pairs, "--out", out, "--steps", 10, "--json")
    assert result.exit_code == 0, result.output
    return out, json.loads(result.stdout)


def log_of(run):
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


def figures_of(run):
    """The log without what depends on the clock."""
    drop = ("pairs_per_second", "waiting", "peak_memory_gib")
    return [{key: value for key, value in line.items() if key not in drop} for line in log_of(run)]


def same_state(one, two):
    first, second = load_file(one / "last.safetensors"), load_file(two / "last.safetensors")
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        assert tensor.numpy().tobytes() == second[name].numpy().tobytes(), name


def test_a_run_leaves_weights_config_log_and_report(trained):
    out, summary = trained
    names = {path.name for path in out.iterdir()}
    assert {"last.safetensors", "best.safetensors", "config.json", "summary.json", "log.jsonl", "report.html"} <= names
    assert list((out / "tensorboard").glob("events*"))
    assert summary["steps"] == 10
    assert summary["config"]["loop"]["batch_size"] == 8
    assert json.loads((out / "config.json").read_text())["recipe"] == "tiny"
    page = (out / "report.html").read_text()
    assert "one of another clip" in page
    assert page.count("data:image/jpeg;base64,") == 18  # six completed of each part, six of where patches look
    assert 'src="http' not in page


def test_no_clip_is_on_both_sides_of_the_split(trained):
    data = trained[1]["data"]
    assert data["heldout"]["pairs"] > 0
    assert not set(data["training"]["sequences"]) & set(data["heldout"]["sequences"])
    assert data["training"]["pairs"] + data["heldout"]["pairs"] == 30
    assert [source["licence"] for source in data["sources"]] == ["made"] * 3


def test_held_out_figures_hold_the_wrong_reference_test(trained):
    last = log_of(trained[0])[-1]
    assert last["heldout_margin"] == pytest.approx(last["heldout_shuffled"] / last["heldout_right"] - 1)
    assert {"heldout_loss", "heldout_none", "cross_pose", "lr", "grad_norm"} <= set(last)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_killed_run_goes_on_as_if_it_had_not_been(trained, pairs, tmp_path, workers):
    out = tmp_path / "run"
    words = ["--data", pairs, "--out", out, "--steps", "10", "--set", f"workers={workers}"]
    command = [sys.executable, "-m", "humanpt", "pretrain", *SMALL, *map(str, words)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.DEVNULL) as process:
        until = time.monotonic() + 120
        while not (out / "last.safetensors").exists() and process.poll() is None and time.monotonic() < until:
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
    assert not (out / "summary.json").exists()
    result = pretrain("--data", pairs, "--out", out, "--steps", 10, "--set", f"workers={workers}", "--resume")
    assert result.exit_code == 0, result.output
    same_state(trained[0], out)
    assert figures_of(out) == figures_of(trained[0])


def test_ctrl_c_saves_and_resume_goes_on_from_there(pairs, tmp_path):
    out = tmp_path / "run"
    command = [
        sys.executable,
        "-m",
        "humanpt",
        "pretrain",
        *SMALL,
        "--data",
        str(pairs),
        "--out",
        str(out),
        "--steps",
        "5000",
    ]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        until = time.monotonic() + 120
        while not (out / "last.safetensors").exists() and time.monotonic() < until:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "--resume" in said
    stopped = json.loads((out / "summary.json").read_text())
    assert stopped["interrupted"]
    steps = stopped["steps"] + 4
    result = pretrain("--data", pairs, "--out", out, "--resume", "--steps", steps, "--json")
    assert json.loads(result.stdout)["steps"] == steps


def test_runs_get_names_of_their_own_and_the_newest_is_resumed(pairs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pairs").symlink_to(pairs)
    for steps in (2, 3):
        assert pretrain("--steps", steps).exit_code == 0
    result = pretrain("--resume", "--steps", 4, "--json")
    assert json.loads(result.stdout)["out"] == "runs/body-tiny-2"
    assert {path.name for path in (tmp_path / "runs").iterdir()} == {"body-tiny-1", "body-tiny-2"}


def test_first_weights_come_from_a_run_and_that_is_said(trained, pairs, tmp_path):
    result = pretrain("--data", pairs, "--out", tmp_path / "run", "--steps", 1, "--init", trained[0])
    assert result.exit_code == 0
    assert "weights matched" in result.stderr
    result = pretrain("--data", pairs, "--out", tmp_path / "run", "--steps", 2, "--resume", "--json")
    init = json.loads(result.stdout)["data"]["init"]
    assert init["file"] == str(trained[0] / "best.safetensors")
    assert [source["licence"] for source in init["ledger"]["sources"]] == ["made"] * 3


def test_one_clip_alone_holds_nothing_out_and_the_report_says_so(tmp_path):
    (tmp_path / "pairs").mkdir()
    write_pairs(tmp_path / "pairs" / "a.h5", count=10, clips=1)
    result = pretrain("--data", tmp_path / "pairs", "--out", tmp_path / "run", "--steps", 2, "--json")
    summary = json.loads(result.stdout)
    assert summary["data"]["heldout"]["pairs"] == 0
    assert summary["best_by"] == "training loss"
    assert "nothing is held out" in (tmp_path / "run" / "report.html").read_text()


def test_hands_are_taken_from_a_folder_of_both(pairs, tmp_path):
    (tmp_path / "both").mkdir()
    write_pairs(tmp_path / "both" / "body.h5", count=9)
    write_pairs(tmp_path / "both" / "hand.h5", count=12, subject_kind="hand", seed=1)
    result = pretrain("--data", tmp_path / "both", "--out", tmp_path / "run", "--steps", 1, "--hand", "--json")
    summary = json.loads(result.stdout)
    assert summary["data"]["training"]["pairs"] + summary["data"]["heldout"]["pairs"] == 12


def test_a_loss_that_is_no_number_stops_and_keeps_the_last_good_checkpoint(pairs, tmp_path):
    out = tmp_path / "run"
    assert pretrain("--data", pairs, "--out", out, "--steps", 6).exit_code == 0
    good = (out / "last.safetensors").read_bytes()
    # A rate far beyond reason, from where the run stood.
    result = pretrain("--data", pairs, "--out", out, "--steps", 400, "--resume", "--set", "optim.base_lr=1e30")
    one_line_error(result, "step ", "last good checkpoint", "last.safetensors")
    assert (out / "last.safetensors").read_bytes() == good


def flip(path, place):
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


def middle_of_the_pictures(path):
    with h5py.File(path) as file:
        return file["jpeg"].id.get_offset() + int(file["jpeg"].shape[0] * 0.5)


def newer(path):
    with h5py.File(path, "r+") as file:
        file.attrs["schema_version"] = 99


def cut_short(path):
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


@pytest.mark.parametrize(
    ("spoil", "part"),
    [
        (newer, "update humanpt"),
        (cut_short, "a.h5"),
        (lambda path: flip(path, middle_of_the_pictures(path)), "checksum"),
        (lambda path: path.write_text("no HDF5"), "a.h5"),
    ],
    ids=["newer schema", "cut short", "flipped byte", "text"],
)
def test_a_spoilt_shard_is_refused_by_name(tmp_path, spoil, part):
    folder = tmp_path / "pairs"
    folder.mkdir()
    spoil(write_pairs(folder / "a.h5", count=12))
    one_line_error(pretrain("--data", folder, "--out", tmp_path / "run", "--steps", 40), part)


def test_a_shard_without_pairs_is_refused(tmp_path):
    (tmp_path / "pairs").mkdir()
    write_pairs(tmp_path / "pairs" / "a.h5", count=0)
    one_line_error(pretrain("--data", tmp_path / "pairs", "--out", tmp_path / "run"), "a.h5", "no pairs")


def test_without_pairs_it_generates_some_says_so_and_uses_them_again(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(generated_pairs, "COUNT", 16)
    first = pretrain("--hand", "--steps", "1")
    assert first.exit_code == 0, first.output
    assert "generating 16 in generated-hand-pairs" in first.stderr
    assert len(PairSet.open([Path("generated-hand-pairs")], subject_kind="hand")) == 16
    second = pretrain("--hand", "--steps", "1")
    assert second.exit_code == 0, second.output
    assert "using the generated ones in generated-hand-pairs" in second.stderr


def write_pickle(path):
    torch.save({"model": {}}, path)


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["--set", "optim.base_ls=1"], ["optim.base_ls", "optim.base_lr"]),
        (["--set", "optim.base_lr=fast"], ["optim.base_lr"]),
        (["--batch-size", "64"], ["64", "--batch-size"]),
        (["--recipe", "vitb16"], ["vitb16", "vitb16_small"]),
        (["--device", "cuda:7"], ["cuda:7"]),
        (["--hand"], ["hand", "mkpairs"]),
        (["--init", "{text}"], ["text.safetensors"]),
        (["--init", "{pickle}"], ["pickle.pth"]),
        (["--init", "{other}"], ["other.safetensors"]),
        (["--init", "none.safetensors"], ["none.safetensors"]),
        (["--resume", "--out", "{empty}"], ["empty", "no such folder"]),
        (["--out", "{text}"], ["text.safetensors"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_bad_input_is_one_line_and_exit_code_2(pairs, tmp_path, words, parts):
    names = {name: tmp_path / f"{name}.safetensors" for name in ("text", "other")}
    names |= {"pickle": tmp_path / "pickle.pth", "empty": tmp_path / "empty"}
    names["text"].write_text("no checkpoint")
    write_pickle(names["pickle"])
    save_file({"model.something": torch.zeros(3)}, names["other"])
    words = [word.format(**names) for word in words]
    out = [] if "--out" in words else ["--out", tmp_path / "run"]
    one_line_error(pretrain("--data", pairs, "--steps", 2, *words, *out), *parts)
    assert not list(tmp_path.glob("run/*.safetensors"))


def test_a_finished_run_is_not_written_over(trained, pairs):
    before = {path.name: path.read_bytes() for path in trained[0].iterdir() if path.is_file()}
    one_line_error(pretrain("--data", pairs, "--out", trained[0], "--steps", 3), "--resume")
    assert before == {path.name: path.read_bytes() for path in trained[0].iterdir() if path.is_file()}


def test_resuming_a_finished_run_keeps_its_figures(pairs, tmp_path):
    words = ("--data", pairs, "--out", tmp_path / "run", "--steps", 5, "--json")
    first, second = json.loads(pretrain(*words).stdout), json.loads(pretrain(*words, "--resume").stdout)
    assert second["figures"] == first["figures"]
    assert "one of another clip" in (tmp_path / "run" / "report.html").read_text()


def test_a_folder_with_other_things_in_it_is_not_used(pairs, tmp_path):
    (tmp_path / "thesis.tex").write_text("mine")
    one_line_error(pretrain("--data", pairs, "--out", tmp_path, "--steps", 3), "thesis.tex", "--out")
    one_line_error(pretrain("--data", pairs, "--out", pairs, "--steps", 3), "pairs-00000.h5")


def test_resuming_finds_its_own_pairs_and_says_what_is_done_otherwise(pairs, tmp_path):
    out = tmp_path / "run"
    assert pretrain("--data", pairs, "--out", out, "--steps", 2).exit_code == 0
    result = pretrain("--out", out, "--resume", "--steps", 4, "--set", "optim.base_lr=1e-3", "--json")
    assert result.exit_code == 0, result.output
    assert "changed on resuming: optim.base_lr;" in result.stderr
    assert json.loads(result.stdout)["steps"] == 4
    assert json.loads((out / "config.json").read_text())["loop"]["steps"] == 4


@pytest.mark.parametrize("change", ["recipe=mine", "subject=hand"])
def test_what_has_an_option_of_its_own_is_not_set_behind_its_back(pairs, tmp_path, change):
    one_line_error(pretrain("--data", pairs, "--out", tmp_path / "run", "--set", change), "--recipe")


def test_another_recipe_does_not_resume(trained, pairs):
    result = CliRunner().invoke(
        app, ["pretrain", "--data", str(pairs), "--out", str(trained[0]), "--resume", "--recipe", "vits16_small"]
    )
    one_line_error(result, "tiny", "resume")


def test_other_pairs_do_not_resume(trained, tmp_path):
    (tmp_path / "pairs").mkdir()
    write_pairs(tmp_path / "pairs" / "pairs-00000.h5", count=30, seed=5)
    one_line_error(pretrain("--data", tmp_path / "pairs", "--out", trained[0], "--resume", "--steps", 12), "--init")


def test_the_baseline_is_trained_on_single_pictures(pairs, tmp_path):
    out = tmp_path / "mae"
    result = pretrain("--data", pairs, "--out", out, "--steps", 10, "--objective", "mae", "--json")
    assert result.exit_code == 0, result.output
    figures = json.loads(result.stdout)["figures"]
    assert {"heldout_loss", "heldout_right", "cross_pose"} <= set(figures)
    assert not {"heldout_none", "heldout_margin"} & set(figures)
    assert not [name for name in load_file(out / "last.safetensors") if "cross_attn" in name]


def test_a_dry_run_says_what_a_run_takes_and_writes_nothing(pairs, tmp_path):
    result = pretrain("--data", pairs, "--out", tmp_path / "run", "--steps", 10, "--dry-run", "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert (found["parameters"]["total"], found["steps"]) == (210944, 10)
    assert not (tmp_path / "run").exists()


def test_a_run_is_exported_and_started_from_again(trained, pairs, tmp_path):
    file = tmp_path / "croco.pth"
    exported = CliRunner().invoke(app, ["export", str(trained[0]), "--to", "croco", "--out", str(file), "--json"])
    assert exported.exit_code == 0, exported.output
    result = pretrain("--data", pairs, "--out", tmp_path / "run", "--steps", 2, "--init", file, "--json")
    assert result.exit_code == 0, result.output
    init = json.loads(result.stdout)["data"]["init"]
    assert (init["kind"], init["missing"], init["unexpected"]) == ("croco", [], [])


def test_processes_that_cannot_run_the_network_equally_often_are_refused(pairs, tmp_path):
    words = ["--set", "loop.parallel=fsdp", "--set", "task.mask.cross_view=0.75"]
    one_line_error(pretrain("--data", pairs, "--out", tmp_path / "run", *words), "fsdp", "task.mask")


def test_more_workers_than_memory_allows_are_refused(pairs, tmp_path):
    one_line_error(pretrain("--data", pairs, "--out", tmp_path / "run", "--set", "workers=100000"), "workers", "memory")


def test_a_log_left_half_written_by_a_kill_does_not_stop_a_resume(trained, pairs, tmp_path):
    out = tmp_path / "run"
    shutil.copytree(trained[0], out)
    with (out / "log.jsonl").open("a") as log:
        log.write('{"step": 12, "lo')
    result = pretrain("--data", pairs, "--out", out, "--resume", "--steps", 12)
    assert result.exit_code == 0, result.output
    assert [line["step"] for line in log_of(out)][-1] == 12


def test_a_dry_run_without_pairs_generates_none(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    one_line_error(pretrain("--steps", 10, "--dry-run"), "pairs", "mkpairs")
    assert not list(tmp_path.iterdir())


def test_a_resume_that_is_refused_leaves_the_settings_of_the_run(trained, pairs, tmp_path):
    out = tmp_path / "run"
    shutil.copytree(trained[0], out)
    before = (out / "config.json").read_text()
    words = ["--data", pairs, "--out", out, "--resume"]
    one_line_error(pretrain(*words, "--steps", 12, "--objective", "mae"), "another model")
    one_line_error(pretrain(*words, "--steps", 2), "--steps 10 or more")
    assert (out / "config.json").read_text() == before


def test_what_a_killed_first_save_leaves_is_no_run(pairs, tmp_path):
    (tmp_path / "run" / ".last.safetensors.partial").mkdir(parents=True)
    result = pretrain("--data", pairs, "--out", tmp_path / "run", "--steps", 2)
    assert result.exit_code == 0, result.output
