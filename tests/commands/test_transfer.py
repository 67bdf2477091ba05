"""`humanpt eval transfer`: what it compares, what it leaves, how it goes on, what it refuses."""

import json
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from humanpt.cli.app import app
from humanpt.data.pairset import PairSet
from humanpt.pages.transfer import Outcome, summarise, tables_in_markdown
from tests.commands.test_finetune import SMALL, done, one_line_error, pretrained
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
    assert table.count("\n") == 9  # two tables of head, rule and two rows
    assert "| ours |" in table
    page = (out / "report.html").read_text()
    assert "<svg" in page
    assert 'src="http' not in page


def test_a_measurement_that_is_there_is_not_made_again_and_one_that_is_not_is(compared):
    out, words, document = compared
    run = out / "runs" / "ours-100-percent-seed-0"
    before = (run / "last.safetensors").stat().st_mtime_ns
    (run / "test" / "results.json").unlink()
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
    one_line_error(
        transfer("--init", f"a={weights}", *data, "--test", f"generated:{hands}/./many"), "--test", "other people"
    )
    one_line_error(transfer("--init", f"a={tmp_path / 'none.pth'}", *data), "none.pth")
    other = pretrained(tmp_path / "other.safetensors", replace(SMALL, enc_depth=3))
    one_line_error(transfer("--init", f"a={weights}", "--init", f"b={other}", *data), "enc_depth 2 and 3")
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


def test_the_table_names_what_is_missing():
    outcomes = [outcome("random", 0.1, 0, 10.0), outcome("mae", 1.0, 0, 5.0)]
    document = {"tables": {PA: summarise(outcomes, PA)}, "shares": [0.1, 1.0]}
    assert tables_in_markdown(document).splitlines() == [
        "| PA-MPJPE (mm) | 10 % of the labels | 100 % of the labels |",
        "| --- | --- | --- |",
        "| random | 10.00 | - |",
        "| mae | - | 5.00 |",
    ]


def test_a_signal_that_stops_a_run_stops_the_comparison_with_its_own_exit_code(hands, weights, tmp_path, monkeypatch):
    for signal, code in (("SIGTERM", 75), ("SIGINT", 130)):
        stopped = {"interrupted": True, "stopped_by": signal}
        monkeypatch.setattr("humanpt.commands.finetune.run", lambda *_, stopped=stopped, **__: stopped)
        out = tmp_path / signal
        result = transfer("--init", f"ours={weights}", "--data", hands / "many", "--out", out)
        assert result.exit_code == code
        assert json.loads((out / "transfer.json").read_text())["outcomes"] == []
