"""`humanpt report`'s function: one page for several runs, whatever state their folders are in."""

import json

import pytest
import torch

from humanpt.commands import report as command
from humanpt.commands.dry_run import dry_run
from humanpt.config import override, to_dict
from humanpt.data.shards import PairSet
from humanpt.engine.checkpoint import Provenance, save_checkpoint
from humanpt.engine.optim import make_optimizer
from humanpt.engine.report import Silent
from humanpt.errors import InputError, OutputError
from humanpt.files import write_json
from humanpt.recipes import pretrain_recipe
from humanpt.tasks.completion import CompletionSamples, CompletionTask
from tests.scenes import write_pairs

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "pairs"
    folder.mkdir()
    write_pairs(folder / "pairs-00000.h5", count=24, clips=3)
    return folder


def write_run(folder, pairs, *changes, seed=0):
    """What a run of two log lines leaves, its weights untrained."""
    folder.mkdir(parents=True)
    config = override(pretrain_recipe("tiny", "body"), changes)
    torch.manual_seed(seed)
    model = CompletionTask(config.task).model
    ledger = {
        "data": [str(pairs)],
        "shards": [["pairs-00000.h5", 24, 1]],
        "training": {"pairs": 16, "sequences": ["clip0.mp4", "clip1.mp4"]},
        "heldout": {"pairs": 8, "sequences": ["clip2.mp4"]},
    }
    optimizer = make_optimizer(model, config.optim)
    provenance = Provenance(recipe="tiny", config=to_dict(config), ledger=ledger)
    save_checkpoint(folder / "last.safetensors", model, optimizer, device=CPU, step=0, provenance=provenance)
    lines = [
        {"step": 50, "loss": 1.0, "cross_pose": 1.0, "heldout_loss": 0.9 - 0.1 * seed, "heldout_probe_pa_mm": 70.0},
        {"step": 100, "loss": 0.9, "cross_pose": None, "waiting": 0.1},
    ]
    (folder / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    write_json(folder / "config.json", to_dict(config))
    write_json(folder / "summary.json", {"data": ledger, "interrupted": False, "warnings": ["look here"]})
    return folder


def test_two_runs_share_curves_settings_and_pictures(pairs, tmp_path):
    runs = [write_run(tmp_path / "one", pairs), write_run(tmp_path / "two", pairs, "optim.base_lr=1e-3", seed=1)]
    told = command.run(runs, tmp_path / "page.html", Silent(), pictures=3)
    assert told["differing"] == {"optim.base_lr": {"one": 4e-3, "two": 1e-3}}
    assert told["incomparable"] is None
    assert told["runs"][1]["figures"]["best_heldout_loss"] == pytest.approx(0.8)
    page = (tmp_path / "page.html").read_text()
    assert page.count("data:image/jpeg;base64,") == 3 * (1 + 2)  # what was given, and a completion of each run
    assert "look here" in page
    assert "linear probe" in page
    assert '<b class="good">0.8000</b>' in page
    assert "http://www.w3.org" in page
    assert 'src="http' not in page


def test_other_patches_are_said_not_to_compare(pairs, tmp_path):
    runs = [write_run(tmp_path / "one", pairs), write_run(tmp_path / "two", pairs, "task.mask.cross_pose=0.5")]
    told = command.run(runs, tmp_path / "page.html", Silent(), pictures=2)
    assert "task.mask.cross_pose" in told["incomparable"]
    assert told["pictures"] == 2


def test_losses_over_other_kinds_of_pairs_are_not_ranked(pairs, tmp_path):
    one, two = write_run(tmp_path / "one", pairs), write_run(tmp_path / "two", pairs, "task.view_weight=0", seed=1)
    command.run([one, two], tmp_path / "page.html", Silent(), pictures=0)
    assert '<b class="good">0.8000</b>' not in (tmp_path / "page.html").read_text()


def test_a_run_still_going_and_one_whose_data_are_gone_are_shown_without_pictures(pairs, tmp_path):
    run = write_run(tmp_path / "one", tmp_path / "gone")
    (run / "summary.json").unlink()
    told = command.run([run], tmp_path / "page.html", Silent())
    assert told["runs"][0]["state"] == "not finished"
    assert told["pictures"] == 0
    assert "gone" in told["notes"][0]


def test_broken_lines_are_left_out_and_told_in_one_line(pairs, tmp_path):
    run = write_run(tmp_path / "one", pairs)
    with (run / "log.jsonl").open("a") as file:
        file.write('{"step": 150, "lo\n[1]\n{"step": 200, "loss": "high"}\n{"step": 250, "loss": NaN}\n')
    told = command.run([run], tmp_path / "page.html", Silent(), pictures=0)
    assert [note for note in told["notes"] if "3 lines (the first is 3) are broken" in note]
    assert told["runs"][0]["step"] == 250


@pytest.mark.parametrize(
    ("spoil", "part"),
    [
        (lambda run: [path.unlink() for path in run.iterdir()], "is no run"),
        (lambda run: (run / "log.jsonl").unlink(), "is missing"),
        (lambda run: (run / "log.jsonl").write_text(""), "is empty"),
        (lambda run: (run / "log.jsonl").write_text("no log\n"), "not one of its lines"),
    ],
    ids=["empty folder", "no log", "empty log", "text"],
)
def test_what_is_no_run_is_one_line(pairs, tmp_path, spoil, part):
    run = write_run(tmp_path / "one", pairs)
    spoil(run)
    with pytest.raises(InputError, match=part) as caught:
        command.run([run], tmp_path / "page.html", Silent())
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "page.html").exists()


def test_a_folder_that_is_not_there_is_one_line(tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        command.run([tmp_path / "none"], tmp_path / "page.html", Silent())


def test_the_report_that_a_run_wrote_of_itself_is_not_replaced(pairs, tmp_path):
    run = write_run(tmp_path / "one", pairs)
    with pytest.raises(OutputError, match="--out"):
        command.run([run], run / "report.html", Silent())


def test_runs_of_one_name_are_told_apart(pairs, tmp_path):
    runs = [write_run(tmp_path / name / "run", pairs) for name in "ab"]
    told = command.run([*runs, runs[0]], tmp_path / "page.html", Silent(), pictures=0)
    assert [run["name"] for run in told["runs"]] == ["a/run", "b/run"]


def measured(pairs, tmp_path, *changes):
    config = override(pretrain_recipe("tiny", "body"), changes)
    held = PairSet.open([pairs])
    training, _ = held.split(0.3, 0)
    task = CompletionTask(config.task)
    task.model.checkpoint_activations = config.checkpoint_activations
    samples = CompletionSamples(held, training, config.task, 0, config.loop.batch_size)
    before = {name: value.clone() for name, value in task.model.state_dict().items()}
    found = dry_run(config, task, samples, tmp_path / "none" / "run", Silent(), device=CPU, precision="fp32")
    return found, before, task.model.state_dict()


def test_a_dry_run_counts_measures_and_leaves_all_as_it_was(pairs, tmp_path):
    found, before, after = measured(pairs, tmp_path, "loop.batch_size=16", "loop.steps=100", "workers=0")
    assert not (tmp_path / "none").exists()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert found["parameters"]["total"] == 210_944
    assert found["parameters"]["encoder"] + found["parameters"]["decoder"] == 210_944
    assert 2.5 < found["flops"]["step_per_pair"] / found["flops"]["forward_per_pair"] < 3.1
    assert found["memory"]["weights"] >= 4 * 210_944
    assert found["epochs"] == pytest.approx(100 * 16 / 16)
    assert found["seconds"] == pytest.approx(100 * found["seconds_per_step"]["expected"])


def test_accumulation_needs_less_memory_for_the_same_step(pairs, tmp_path):
    whole, *_ = measured(pairs, tmp_path, "loop.batch_size=16")
    parts, *_ = measured(pairs, tmp_path, "loop.batch_size=16", "loop.accumulate=4")
    assert parts["memory"]["activations"] < 0.4 * whole["memory"]["activations"]
    assert parts["flops"]["step"] == whole["flops"]["step"]


def test_checkpointed_activations_need_less_memory_but_not_only_what_is_kept(pairs, tmp_path):
    plain, *_ = measured(pairs, tmp_path, "loop.batch_size=16")
    less, *_ = measured(pairs, tmp_path, "loop.batch_size=16", "checkpoint_activations=true")
    assert 0.4 < less["memory"]["activations"] / plain["memory"]["activations"] < 0.7


def test_the_small_network_needs_the_operations_that_were_measured(pairs):
    from humanpt.commands.dry_run import _count_operations

    config = override(pretrain_recipe("vits16_small", "body"), ["loop.batch_size=4"])
    held = PairSet.open([pairs])
    samples = CompletionSamples(held, held.split(0.3, 0)[0], config.task, 0, 4)
    found = _count_operations(CompletionTask(config.task), samples, CPU, "fp32")
    assert found["forward_per_pair"] == pytest.approx(14.0e9, rel=0.01)
