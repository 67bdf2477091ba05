"""`humanpt eval transfer`: what it compares, what it leaves, how it goes on, what it refuses."""

import json
import os
import shutil
import signal
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from typer.testing import CliRunner

from humanpt.cli.app import app
from humanpt.commands import transfer as command
from humanpt.data.pairset import PairSet
from humanpt.pages.transfer import MEAN_POSE, Outcome, summarise, tables_in_markdown, write_transfer_report
from humanpt.workers import Ended
from tests.commands.results import done, one_line_error
from tests.commands.test_finetune import SMALL, pretrained
from tests.data.labelled.written_sets import write_freihand
from tests.people import made

PA = "pa_mpjpe_mm"
QUICK = ["--recipe", "tiny", "--device", "cpu", "--steps", "2", "--batch-size", "4", "--json"]
QUICK += ["--set", "workers=0", "--set", "attention=plain", "--set", "loop.tensorboard=false", "--set", "heldout=0.4"]
QUICK += ["--labels", "0.5", "--labels", "1"]


def transfer(*words):
    return CliRunner().invoke(app, ["eval", "transfer", "hand-mesh", *QUICK, *map(str, words)])


@pytest.fixture(scope="module")
def hands(tmp_path_factory):
    """Hands to learn from and other hands to measure on."""
    root = tmp_path_factory.mktemp("hands")
    for name, seeds in (("many", (0, 1)), ("others", (7,))):
        for seed in seeds:
            made(root / name / f"pairs-{seed}.h5", "hand", 0, 2, seed=seed)
    return root


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return pretrained(tmp_path_factory.mktemp("weights") / "last.safetensors")


@pytest.fixture(scope="module", autouse=True)
def no_charts():
    """Fine-tuned runs write no report: drawing it takes longer than they do."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("humanpt.commands.finetune.write_finetuning_report", lambda *given: None)
        yield


@pytest.fixture(scope="module")
def compared(hands, weights, tmp_path_factory):
    out = tmp_path_factory.mktemp("compared") / "transfer"
    words = ["--init", f"ours={weights}", "--data", hands / "many", "--test", hands / "others", "--seeds", 1]
    return out, words, done(transfer(*words, "--out", out))


def test_every_first_weights_meet_every_share_and_only_they_differ(compared):
    out, _, document = compared
    assert [(o["init"], o["share"]) for o in document["outcomes"]] == [
        ("random", 0.5), ("ours", 0.5), ("random", 1.0), ("ours", 1.0)
    ]  # fmt: skip
    assert all(outcome["figures"][PA] > 0 for outcome in document["outcomes"])
    runs = {path.name: path for path in (out / "runs").iterdir()}
    for share in ("50", "100"):
        random, ours = runs[f"random-{share}-percent-seed-0"], runs[f"ours-{share}-percent-seed-0"]
        assert (random / "labels.json").read_text() == (ours / "labels.json").read_text()
        first, second = (json.loads((run / "config.json").read_text()) for run in (random, ours))
        assert first == second
    half, whole = (set(json.loads((runs[f"ours-{s}-percent-seed-0"] / "labels.json").read_text())["names"]) for s in ("50", "100"))  # fmt: skip  # noqa: E501
    assert half < whole


def test_the_folder_holds_table_and_page_of_what_the_document_tells(compared):
    out, _, document = compared
    assert json.loads((out / "transfer.json").read_text())["tables"] == document["tables"]
    table = (out / "transfer.md").read_text()
    lines = table.splitlines()
    assert [line.split(" | ")[0] for line in lines[2:5]] == ["| random", "| ours", f"| {MEAN_POSE}"]
    assert lines[0] == "| PA-MPJPE (mm) | 50 % of the labels (2) | 100 % of the labels (4) |"
    assert lines[4].endswith(f"| {document['reference'][PA]:.2f} |")
    assert lines[-1] == f"humanpt {document['version']}"
    assert not document["interrupted"]
    page = (out / "report.html").read_text()
    assert "<svg" in page
    assert 'src="http' not in page
    assert MEAN_POSE in page
    assert not list(out.rglob("predictions.h5"))  # large, and measured already


def test_a_measurement_that_is_there_is_not_made_again_and_one_that_is_not_is(compared):
    out, words, document = compared
    run = out / "runs" / "ours-100-percent-seed-0"
    before = (run / "last.safetensors").stat().st_mtime_ns
    (run / "test" / "results.json").unlink()
    whole = (out / "transfer.json").read_text()
    (out / "transfer.json").write_text(whole[:50])
    one_line_error(transfer(*words, "--out", out, "--resume"), "transfer.json", "damaged")
    (out / "transfer.json").write_text(whole.replace('"version": "', '"version": "0'))
    one_line_error(transfer(*words, "--out", out, "--resume"), "another version")
    (out / "transfer.json").write_text(whole)
    again = done(transfer(*words, "--out", out, "--resume"))
    assert again["outcomes"] == document["outcomes"]
    assert (out / "runs" / "random-100-percent-seed-0" / "last.safetensors").stat().st_mtime_ns < before


def test_processes_of_their_own_find_the_same(compared, tmp_path):
    _, words, document = compared
    beside = done(transfer(*words, "--out", tmp_path / "beside", "--jobs", 2))
    assert [o["figures"][PA] for o in beside["outcomes"]] == pytest.approx(
        [o["figures"][PA] for o in document["outcomes"]], rel=1e-3
    )


def test_what_cannot_be_compared_is_refused_in_one_line(compared, hands, weights, tmp_path):
    out, words, _ = compared
    one_line_error(transfer(*words, "--out", out), str(out), "--resume")
    one_line_error(transfer(*words, "--out", out, "--resume", "--set", "task.width=64"), "another config")
    data = ["--data", hands / "many", "--out", tmp_path / "new"]
    one_line_error(transfer("--init", weights, *data), "NAME=FILE")
    one_line_error(transfer("--init", f"random={weights}", *data), "name of their own")
    shutil.copytree(hands / "many", tmp_path / "copy")
    for same in (f"generated:{hands}/./many", tmp_path / "copy"):
        one_line_error(transfer("--init", f"a={weights}", *data, "--test", same), "--test", "seed-0/", "other people")
    one_line_error(transfer("--init", f"a={tmp_path / 'none.pth'}", *data), "none.pth")
    other = pretrained(tmp_path / "other.safetensors", replace(SMALL, enc_depth=3))
    one_line_error(transfer("--init", f"a={weights}", "--init", f"b={other}", *data), "enc_depth 2 and 3")
    other = pretrained(tmp_path / "wide.safetensors", replace(SMALL, dec_dim=64))
    both = ["--init", f"a={weights}", "--init", f"b={other}", "--set", "task.views=2"]
    one_line_error(transfer(*both, *data), "dec_dim 32 and 64")
    one_line_error(transfer("--init", f"a={weights}", *data, "--labels", 0), "--labels", "above 0")
    one_line_error(transfer("--init", f"a={weights}", *data, "--set", "seed=3"), "--set seed", "--seeds")
    assert not (tmp_path / "new" / "runs").exists()


def test_the_body_model_that_was_chosen_stays_where_labels_are_of_another(weights, tmp_path):
    for seed in range(3):
        made(tmp_path / "bodies" / f"{seed}.h5", "body", 0, 1, seed=seed)
    labels = PairSet.open([tmp_path / "bodies"]).readers[0].truth.model
    other = {"anny-body": "anny-body-small", "anny-body-small": "anny-body"}[labels]
    words = ["eval", "transfer", "body-mesh", *QUICK, "--steps", 1, "--labels", 1, "--seeds", 1]
    words += ["--init", f"ours={weights}", "--data", tmp_path / "bodies", "--out", tmp_path / "out"]
    done(CliRunner().invoke(app, [*map(str, words), "--set", f"task.model={other}"]))
    configs = [json.loads(path.read_text()) for path in (tmp_path / "out" / "runs").glob("*/config.json")]
    assert {config["task"]["model"] for config in configs} == {other}


@pytest.fixture
def pretend(monkeypatch):
    """Runs that train nothing, and score what the given function says; the list of their evaluations."""

    def pretended(figures):
        measured = []

        def trained(config, changes, data, out, report, **others):
            out.mkdir(parents=True, exist_ok=True)
            (out / "summary.json").write_text('{"labelled": 4}')
            return {"interrupted": False}

        def evaluated(weights, config, out, report, **others):
            measured.append(out)
            found = figures(len(measured))
            out.mkdir()
            (out / "results.json").write_text(json.dumps({"figures": found, "card": {"joints": ["wrist", "index1"]}}))

        monkeypatch.setattr("humanpt.commands.finetune.run", trained)
        monkeypatch.setattr("humanpt.commands.evaluate.run", evaluated)
        return measured

    return pretended


def test_all_runs_get_the_encoder_that_was_set_and_a_decoder_for_two_views(hands, weights, tmp_path, monkeypatch):
    configs = []
    monkeypatch.setattr("humanpt.commands.finetune._train", lambda *given: configs.append(given[0]) or stopless)
    monkeypatch.setattr("humanpt.commands.evaluate.run", lambda *given, **others: None)
    stopless = {"interrupted": False}
    mae = pretrained(tmp_path / "mae.safetensors", replace(SMALL, cross_attention=False))
    words = ["--init", f"mae={mae}", "--init", f"ours={weights}", "--data", hands / "many", "--out", tmp_path / "out"]
    transfer(*words, "--seeds", 1, "--set", "encoder.image_size=48", "--set", "task.views=2")
    assert len(configs) == 6
    assert {replace(config, labels=1.0) for config in configs} == {replace(configs[0], labels=1.0)}
    assert configs[0].encoder.image_size == 48
    assert configs[0].encoder.cross_attention
    assert configs[0].task.decoder == "random"


def test_a_figure_that_is_not_there_is_left_out_and_none_at_all_ends_after_the_first_run(
    hands, weights, tmp_path, pretend
):
    words = ["--init", f"ours={weights}", "--data", hands / "many", "--test", hands / "others", "--seeds", 1]
    pretend(lambda number: {PA: None, "mpjpe_mm": 80.0})
    document = done(transfer(*words, "--out", tmp_path / "some"))
    assert document["metric"] == "mpjpe_mm"
    assert list(document["tables"]) == ["mpjpe_mm"]
    measured = pretend(lambda number: {PA: None})
    for again in ([], ["--resume"]):
        one_line_error(transfer(*words, "--out", tmp_path / "none", *again), "others", "pa_mpjpe_mm", "--test")
    assert len(measured) == 1


def test_the_evaluation_part_of_what_is_learned_from_is_other_data(weights, tmp_path, pretend):
    write_freihand(tmp_path / "freihand", 3, part="evaluation")
    data = f"freihand:{write_freihand(tmp_path / 'freihand', 3)}"
    pretend(lambda number: {PA: 10.0})
    words = ["--init", f"ours={weights}", "--data", data, "--test", data, "--seeds", 1, "--out", tmp_path / "out"]
    assert not done(transfer(*words))["interrupted"]


def test_a_mean_pose_is_of_hands_as_networks_see_them(tmp_path):
    pose = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    pictures = [
        SimpleNamespace(side="right", keypoints=pose),
        SimpleNamespace(side="left", keypoints=pose * (-1, 1, 1)),
    ]
    names = ("wrist", "index1", "index2", "index3")
    data = SimpleNamespace(layout=SimpleNamespace(keypoint_names=names), labels=pictures.__getitem__)
    comparison = SimpleNamespace(out=tmp_path, measured=lambda seed, report: (data, np.arange(2)))
    job = command.Job("random", 1.0, 0)
    (tmp_path / job.folder / "test").mkdir(parents=True)
    (tmp_path / job.folder / "test" / "results.json").write_text(json.dumps({"card": {"joints": names}}))
    assert command._mean_pose(comparison, job) < 0.01
    pictures[1].side = "right"
    assert command._mean_pose(comparison, job) > 10


def outcome(init, share, seed, value):
    return Outcome(init, share, seed, 10, {PA: value, "top1": value})


def test_a_gain_is_the_share_of_the_error_that_is_gone_and_needs_the_same_seeds():
    outcomes = [outcome("random", 0.1, s, v) for s, v in ((0, 10.0), (1, 14.0))]
    outcomes += [outcome("both", 0.1, s, v) for s, v in ((0, 8.0), (1, 10.0))]
    outcomes += [outcome("mae", 0.1, 0, 9.0)]
    lines = {line["init"]: line for line in summarise(outcomes, PA)}
    assert (lines["random"]["mean"], lines["random"]["least"], lines["random"]["most"]) == (12.0, 10.0, 14.0)
    assert lines["both"]["gain"] == {"random": pytest.approx(0.25)}  # (12 - 9) / 12; of mae there is one seed alone
    high = {line["init"]: line for line in summarise(outcomes, "top1")}
    assert high["both"]["gain"] == {"random": pytest.approx(-0.25)}


def document_of(outcomes, **others):
    told = {"task": "hand-mesh", "shares": [0.1, 1.0], "seeds": [0, 1], "steps": 2, "batch_size": 4, "version": "1.0"}
    told |= {"asked": 8, "interrupted": True, "baseline": "random", "settings": {"data": None, "test": None}}
    told |= {"outcomes": [one._asdict() for one in outcomes], "tables": {PA: summarise(outcomes, PA)}}
    return told | {"reference": {}} | others


def test_the_table_names_what_is_missing():
    outcomes = [outcome("random", 0.1, 0, 10.0), outcome("random", 0.1, 1, 11.0), outcome("mae", 1.0, 0, 5.0)]
    assert tables_in_markdown(document_of(outcomes, reference={PA: 7.0})).splitlines() == [
        "Not finished: 3 of 8 runs are there; the same command with --resume makes the others.",
        "",
        "| PA-MPJPE (mm) | 10 % of the labels (10) | 100 % of the labels (10) |",
        "| --- | --- | --- |",
        "| random | 10.50 (10.00 to 11.00) | - |",
        "| mae | - | 5.00 (1 seed) |",
        f"| {MEAN_POSE} | 7.00 | 7.00 |",
        "",
        "humanpt 1.0",
    ]


def test_a_gain_is_praised_only_where_it_beats_the_mean_pose_and_the_best_is_set_against_all(tmp_path):
    values = {"random": 10.0, "mae": 9.0, "view": 8.0, "both": 6.0}
    outcomes = [outcome(name, 0.1, 0, value) for name, value in values.items()]
    write_transfer_report(tmp_path / "page.html", document_of(outcomes, reference={PA: 7.0}))
    page = (tmp_path / "page.html").read_text()
    assert page.count('<td class="soft">+') == 2  # mae and view against random
    assert page.count('<td class="good">+') == 3  # both against each


def test_a_signal_that_stops_a_run_stops_the_comparison_with_its_own_exit_code(hands, weights, tmp_path, monkeypatch):
    for by, code in (("SIGTERM", 75), ("SIGINT", 130)):
        stopped = {"interrupted": True, "stopped_by": by}
        monkeypatch.setattr("humanpt.commands.finetune.run", lambda *_, stopped=stopped, **__: stopped)
        out = tmp_path / by
        result = transfer("--init", f"ours={weights}", "--data", hands / "many", "--out", out)
        assert result.exit_code == code
        assert json.loads((out / "transfer.json").read_text())["outcomes"] == []


def test_a_signal_that_comes_while_a_run_is_measured_still_leaves_the_table(hands, weights, tmp_path, pretend):
    def figures(number):
        if number == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        return {PA: 10.0}

    pretend(figures)
    words = ["--init", f"ours={weights}", "--data", hands / "many", "--test", hands / "others"]
    result = transfer(*words, "--out", tmp_path / "out")
    assert result.exit_code == 75
    document = json.loads(result.stdout)
    assert (document["interrupted"], document["stopped_by"], len(document["outcomes"])) == (True, "SIGTERM", 1)
    assert "1 of 12 runs" in (tmp_path / "out" / "transfer.md").read_text()
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_a_signal_lets_runs_in_processes_of_their_own_save_and_tells_what_is_missing(
    hands, weights, tmp_path, monkeypatch
):
    asked = []
    run = SimpleNamespace(terminate=lambda: asked.append("end"), join=lambda seconds: asked.append("wait"))

    def jobs_of(work, jobs, workers, preload):
        yield Ended(job=jobs[0], problem=None)  # one that a signal stopped, so that nothing of it is measured
        os.kill(os.getpid(), signal.SIGINT)
        pytest.fail("went on")

    monkeypatch.setattr("humanpt.commands.transfer.run_jobs", jobs_of)
    monkeypatch.setattr("multiprocessing.active_children", lambda: [run, run])
    words = ["--init", f"ours={weights}", "--data", hands / "many", "--jobs", 2, "--out", tmp_path / "out"]
    result = transfer(*words)
    assert result.exit_code == 130
    assert asked == ["end", "end", "wait", "wait"]
    assert json.loads(result.stdout)["stopped_by"] == "SIGINT"
    table = (tmp_path / "out" / "transfer.md").read_text()
    assert "0 of 12 runs" in table
    assert "|" not in table
