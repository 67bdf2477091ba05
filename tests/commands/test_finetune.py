"""`humanpt finetune TASK` on a few made people and pictures: what it leaves, how it goes on, what it refuses."""

import json
from dataclasses import asdict, replace

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

from humanpt.cli.app import app
from humanpt.cli.results import show_finetune
from humanpt.commands.finetune import load_finetuned
from humanpt.data.labelled import open_labelled
from humanpt.detect.heatmap import weights_file
from humanpt.engine.checkpoint import Provenance, save_checkpoint
from humanpt.engine.optim import OptimConfig, make_optimizer
from humanpt.errors import CheckpointError
from humanpt.models.croco import CroCo, tiny
from humanpt.tasks.mesh_recovery import MeshSamples, collate, predict
from tests.commands.results import done, one_line_error
from tests.data.labelled.written_sets import write_freihand
from tests.people import made

SMALL = replace(tiny(), image_size=32, patch_size=8, enc_dim=32, enc_heads=2)
COMMON = ["--recipe", "tiny", "--device", "cpu", "--batch-size", "4", "--json"]
COMMON += ["--set", "workers=0", "--set", "attention=plain", "--set", "optim.cosine_steps=4"]
COMMON += ["--set", "loop.tensorboard=false", "--set", "loop.eval_first=false", "--set", "loop.log_every=1"]
COMMON += ["--set", "loop.save_every=2", "--set", "heldout=0.4"]
CPU = torch.device("cpu")


def finetune(task, *words):
    return CliRunner().invoke(app, ["finetune", task, *COMMON, *map(str, words)])


def pretrained(path, config=SMALL, seed=0):
    """A checkpoint as pretrain leaves it."""
    torch.manual_seed(seed)
    model = CroCo(config)
    ledger = {"sources": [{"path": "made", "licence": "CC0"}]}
    provenance = Provenance(recipe="tiny", config={"task": {"model": asdict(config)}}, ledger=ledger)
    optimizer = make_optimizer(model, OptimConfig())
    save_checkpoint(path, model, optimizer, device=CPU, step=3, provenance=provenance)
    return path


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    return pretrained(tmp_path_factory.mktemp("start") / "last.safetensors")


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    """Twelve pictures of two generated people."""
    folder = tmp_path_factory.mktemp("people")
    for seed in (0, 1):
        made(folder / f"pairs-{seed}.h5", "body", 0, 3, seed=seed)
    return folder


@pytest.fixture(scope="module")
def trained(people, start, tmp_path_factory):
    """A run of four steps, and its summary."""
    out = tmp_path_factory.mktemp("runs") / "mesh"
    return out, done(finetune("body-mesh", "--data", people, "--init", start, "--out", out, "--steps", 4))


@pytest.fixture(scope="module")
def colours(tmp_path_factory):
    """Pictures of two classes that differ in their colour."""
    root, rng = tmp_path_factory.mktemp("classes"), np.random.default_rng(0)
    for name, channel in (("red", 2), ("blue", 0)):
        (root / name).mkdir()
        for number in range(8):
            picture = rng.integers(0, 120, (40, 40, 3), dtype=np.uint8)
            picture[..., channel] += 120
            cv2.imwrite(str(root / name / f"{number}.png"), picture)
    return root


@pytest.fixture(autouse=True)
def no_charts(monkeypatch):
    """All runs but `trained`, which is made before this, write no report: drawing it takes longer than they do."""
    monkeypatch.setattr("humanpt.commands.finetune.write_finetuning_report", lambda *given: None)


def weights_of(run, part="average", name="last.safetensors"):
    prefix = f"model.{part}."
    return {n.removeprefix(prefix): v for n, v in load_file(run / name).items() if n.startswith(prefix)}


def test_a_run_leaves_weights_labels_and_a_report_and_says_what_it_came_from(trained, people, start):
    out, summary = trained
    names = {"last.safetensors", "best.safetensors", "config.json", "labels.json", "log.jsonl", "report.html"}
    assert names <= {path.name for path in out.iterdir()}
    assert json.loads((out / "summary.json").read_text()) == summary
    assert summary["steps"] == 4
    assert summary["task"] == "body-mesh"
    assert summary["init"] == str(start)
    assert summary["data"]["init"]["licence"] == "CC0"
    assert summary["data"]["about"]["dataset"] == "generated"
    assert 0 <= summary["waiting"] <= 1
    assert {"heldout_pa_mpjpe_mm", "heldout_mean_pa_mpjpe_mm", "heldout_pa_pve_mm"} <= set(summary["figures"])
    assert summary["best_figures"]["heldout_loss"] == summary["best_loss"]
    assert summary["config"]["encoder"]["enc_dim"] == 32  # the weights' own sizes, not the recipe's
    assert summary["config"]["task"]["model"] == "anny-body-small"  # the labels' own
    assert 'src="http' not in (out / "report.html").read_text()


def test_the_end_tells_the_figures_of_the_best_and_of_the_last_weights(capsys):
    measured = {"last": {"heldout_pa_mpjpe_mm": 12.5}, "best": {"heldout_pa_mpjpe_mm": 11.0}}
    summary = {
        "figures": measured["last"],
        "best_figures": measured["best"],
        "best_step": 250,
        "best": "best.safetensors",
        "measured_step": 500,
    }
    told = {"task": "hand-mesh", "recipe": "tiny", "init": "random", "labelled": 9, "heldout": 3, "steps": 500}
    told |= {"pictures_per_second": 1.0, "waiting": None, "warnings": [], "interrupted": False, "report": "report.html"}
    show_finetune(summary | told)
    words = " ".join(capsys.readouterr().out.split())
    assert "best, step 250 last, step 500 PA-MPJPE 11.00 mm 12.50 mm" in words


def test_nobody_is_on_both_sides_of_the_split(trained, people):
    data = open_labelled(str(people), subject="body")
    group_of = {data.name(index): int(data.groups[index]) for index in range(len(data))}
    listed = json.loads((trained[0] / "labels.json").read_text())["names"]
    assert len(listed) == trained[1]["labelled"]
    assert trained[1]["labelled"] + trained[1]["heldout"] == len(data) == 12
    assert len({group_of[name] for name in listed}) == 1


def test_the_network_that_is_read_back_is_the_running_mean(trained, people):
    config, network, header = load_finetuned(trained[0], CPU)
    saved = weights_of(trained[0], name="best.safetensors")
    assert header.step == trained[1]["best_step"]
    assert network.state_dict().keys() == saved.keys()
    assert all(torch.equal(value, saved[name]) for name, value in network.state_dict().items())
    data = open_labelled(str(people), subject="body")
    samples = MeshSamples(data, np.arange(2), config.task, config.encoder.image_size, 0, training=False)
    found = predict(network, collate([samples[0], samples[1]]))
    assert found.vertices.shape[0] == 2
    assert bool(found.keypoints.isfinite().all())


def test_a_run_that_goes_on_equals_one_that_never_stopped(trained, people, start, tmp_path):
    words = ["--data", people, "--out", tmp_path / "run"]
    assert done(finetune("body-mesh", *words, "--init", start, "--steps", 3))["steps"] == 3
    again = ["--out", tmp_path / "run", "--resume", "--steps", 4]
    summary = done(finetune("body-mesh", *again, "--init", start))
    assert summary["init"] == str(start)
    whole, parts = (load_file(run / "last.safetensors") for run in (trained[0], tmp_path / "run"))
    assert whole.keys() == parts.keys()
    for name, tensor in whole.items():
        assert tensor.numpy().tobytes() == parts[name].numpy().tobytes(), name


@pytest.mark.parametrize("tune", ["head", "norm"])
def test_what_is_not_tuned_stays_equal_to_the_bit(colours, start, tmp_path, tune):
    done(finetune("gesture", "--data", colours, "--init", start, "--out", tmp_path, "--steps", 2, "--tune", tune))
    before, norms = load_file(start), set()
    for part in ("network", "average"):
        after = weights_of(tmp_path, part)
        trunk = {name.removeprefix("trunk."): value for name, value in after.items() if name.startswith("trunk.")}
        changed = {name for name, value in trunk.items() if not torch.equal(value, before[f"model.{name}"])}
        norms = {name for name in trunk if "norm" in name}
        assert changed == (norms if tune == "norm" else set())
        assert bool(after["classify.weight"].any())  # which begins with zeros
    assert len(norms) == 10


def test_the_labels_of_a_small_share_lie_within_those_of_a_larger(colours, start, tmp_path):
    listed = []
    for share in (0.2, 0.6):
        out = tmp_path / str(share)
        done(finetune("grasp", "--data", colours, "--init", start, "--out", out, "--steps", 1, "--labels", share))
        saved = json.loads((out / "labels.json").read_text())
        assert (saved["share"], saved["count"]) == (share, len(saved["names"]))
        listed.append(set(saved["names"]))
    assert listed[0] < listed[1]
    assert {name.split("/")[0] for name in listed[0]} == {"blue", "red"}  # of every class at least one


@pytest.mark.parametrize("decoder", ["pretrained", "random", "of mae"])
def test_two_views_take_the_decoder_that_was_asked_for(people, start, tmp_path, decoder):
    init = start
    if decoder == "of mae":
        init = pretrained(tmp_path / "mae.safetensors", replace(SMALL, cross_attention=False))
    words = ["--data", people, "--init", init, "--out", tmp_path / "run", "--steps", 1, "--views", 2]
    words += ["--decoder", "random"] if decoder == "random" else []
    summary = done(finetune("body-mesh", *words, "--set", "optim.base_lr=1e-12"))
    before, after = load_file(init), weights_of(tmp_path / "run")
    same = {name: torch.allclose(after[f"trunk.{name}"], before[f"model.{name}"], atol=1e-6)
            for name in ("encoder.blocks.1.attn.qkv.weight", "decoder.blocks.1.attn.qkv.weight")}  # fmt: skip
    assert same["encoder.blocks.1.attn.qkv.weight"]
    assert same["decoder.blocks.1.attn.qkv.weight"] == (decoder == "pretrained")
    told = summary["config"]["task"]["decoder"]
    assert told == ("pretrained" if decoder == "pretrained" else "random")


def test_without_pretrained_weights_the_summary_says_so(people, tmp_path):
    words = ["--data", people, "--out", tmp_path / "run", "--steps", 1, "--free", "--rotation", "6d"]
    summary = done(finetune("body-mesh", *words, *small_encoder()))
    assert summary["init"] == "random"
    assert summary["data"]["init"] is None
    assert summary["config"]["task"]["free"]


def test_the_recipe_of_the_demo_begins_with_our_detector(people, tmp_path):
    words = ["--data", people, "--recipe", "live", "--set", "loop.batch_size=2", "--set", "workers=0", "--steps", 1]
    summary = done(finetune("body-mesh", *words, "--set", "optim.base_lr=1e-30", "--out", tmp_path / "run"))
    assert summary["init"] == "heatmap-body.safetensors"
    assert summary["data"]["init"]["kind"] == "detector"
    config, network, _ = load_finetuned(tmp_path / "run", CPU)
    assert config.image_size == 96
    shipped = load_file(weights_file("body"))
    for name, tensor in network.trunk.pyramid.state_dict().items():
        assert torch.allclose(tensor, shipped[name].float(), rtol=1e-5), name


@pytest.mark.parametrize("words", [["--init", "RUN"], ["--views", 2], ["--tune", "norm"]])
def test_what_the_convolutional_trunk_does_not_have_is_refused(trained, people, tmp_path, words):
    words = [trained[0] if word == "RUN" else word for word in words]
    result = finetune("body-mesh", "--data", people, "--recipe", "live", "--out", tmp_path / "run", *words)
    one_line_error(result, "trunk=conv")


def small_encoder():
    values = {"image_size": 32, "patch_size": 8, "enc_dim": 32, "enc_heads": 2}
    return [word for name, value in values.items() for word in ("--set", f"encoder.{name}={value}")]


def test_a_fine_tuned_run_may_be_the_start_of_another_task(trained, colours, tmp_path):
    words = ["--data", colours, "--init", trained[0], "--out", tmp_path / "run", "--steps", 1]
    summary = done(finetune("gesture", *words, "--set", "optim.base_lr=1e-12"))
    before, after = weights_of(trained[0], name="best.safetensors"), weights_of(tmp_path / "run")
    name = "trunk.encoder.blocks.0.mlp.fc1.weight"
    assert torch.allclose(before[name], after[name], atol=1e-6)
    assert summary["data"]["init"]["ledger"]["about"]["dataset"] == "generated"


def test_classes_that_differ_by_colour_are_learned(colours, tmp_path):
    words = ["--data", colours, "--out", tmp_path / "run", "--steps", 12, "--mirror", *small_encoder()]
    settings = ["optim.base_lr=0.1", "optim.cosine_steps=12", "optim.average_decay=0.5", "task.augment.saturation=0"]
    summary = done(finetune("gesture", *words, *[word for text in settings for word in ("--set", text)]))
    assert summary["figures"]["heldout_top1"] == 1.0
    config, _, _ = load_finetuned(tmp_path / "run", CPU, wanted=["gesture"])
    assert config.task.class_names == ("blue", "red")
    with pytest.raises(CheckpointError, match=r"of the task gesture; give a run of `humanpt finetune hand-mesh"):
        load_finetuned(tmp_path / "run", CPU, wanted=["hand-mesh", "body-mesh"])


def test_dense_pose_is_trained_on_generated_people(people, tmp_path):
    words = ["--data", people, "--out", tmp_path / "run", "--steps", 2, *small_encoder()]
    summary = done(finetune("dense-pose", *words, "--set", "task.channels=16", "--set", "task.heldout_pictures=2"))
    assert {"heldout_loss", "heldout_part_accuracy"} <= set(summary["figures"])
    config, _, _ = load_finetuned(tmp_path / "run", CPU)
    assert len(config.task.part_names) == 24


def test_a_pretrained_checkpoint_is_no_fine_tuned_one(start):
    with pytest.raises(CheckpointError, match="not fine-tuned"):
        load_finetuned(start, CPU)


@pytest.mark.parametrize(
    ("task", "words", "parts"),
    [
        ("body-mesh", ["--out", "{used}"], ["already holds a run", "--resume"]),
        ("hand-mesh", ["--out", "{used}", "--resume"], ["was begun for body-mesh, not hand-mesh"]),
        ("body-mesh", ["--out", "{used}", "--resume", "--init", "{used}"], ["was begun with", "leave out --init"]),
        ("body-mesh", ["--out", "{used}", "--resume", "--labels", "0.5"], ["not the pictures", "training differ"]),
        ("body-mesh", ["--out", "{used}", "--resume", "--recipe", "vits16_small"], ["begun with --recipe tiny"]),
        ("body-mesh", ["--out", "{new}", "--resume"], ["no such folder to resume"]),
        ("hand-mesh", ["--out", "{new}"], ["body"]),
        ("body-mesh", ["--out", "{new}", "--labels", "0"], ["labels is 0"]),
        ("body-mesh", ["--out", "{new}", "--model", "mano"], ["for a body choose"]),
        ("body-mesh", ["--out", "{new}", "--init", "{used}/log.jsonl"], ["log.jsonl"]),
        ("body-mesh", ["--out", "{new}", "--recipe", "tinny"], ["did you mean tiny"]),
        ("body-mesh", ["--out", "{new}", "--set", "optim.average_decay=none"], ["running mean"]),
        ("body-mesh", ["--out", "{new}", "--set", "loop.parallel=fsdp"], ["ddp"]),
        ("body-mesh", ["--out", "{new}", "--set", "kind=grasp"], ["choose it by the command"]),
        ("body-mesh", ["--out", "{new}", "--set", "optim.warmup_epochs=40"], ["in steps; set optim.warmup_steps"]),
        ("body-mesh", ["--out", "{new}", "--set", "optim.cosine_epochs=9"], ["in steps; set optim.cosine_steps"]),
        ("body-mesh", ["--out", "{new}", "--set", "optim.warmup_steps=50"], ["warms up over 50 steps", "ends at 4"]),
        ("body-mesh", ["--out", "{new}", "--data", "freehand:{new}"], ["no such folder"]),
        ("gesture", ["--out", "{new}"], ["folder"]),
        ("grasp", ["--out", "{new}", "--data", "{used}"], ["picture"]),
    ],
)
def test_what_cannot_work_is_one_line_and_exit_code_2(trained, people, start, tmp_path, task, words, parts):
    names = {"used": trained[0], "new": tmp_path / "new", "start": start}
    given = [word.format(**names) for word in words]
    data = [] if "--data" in given or task == "gesture" else ["--data", people]
    one_line_error(finetune(task, *data, *given), *parts)
    assert not (tmp_path / "new" / "last.safetensors").exists()


def test_classes_need_data(tmp_path):
    one_line_error(finetune("gesture", "--out", tmp_path / "run"), "--data", "a folder per class")


def test_pictures_without_a_second_view_are_told(tmp_path):
    root = write_freihand(tmp_path / "freihand", 2)
    words = ["--data", f"freihand:{root}", "--out", tmp_path / "run", "--steps", 1, "--views", 2]
    summary = done(finetune("hand-mesh", *words, "--set", "encoder.image_size=32"))
    assert any("4 of 4 pictures have no second view" in warning for warning in summary["warnings"])


def test_a_missing_body_model_is_told_before_pairs_are_generated(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HUMANPT_BODY_MODELS", str(tmp_path / "models"))
    one_line_error(finetune("body-mesh", "--model", "smpl", "--out", "run"), "SMPL_NEUTRAL", "smpl.is.tue.mpg.de")
    assert not list(tmp_path.glob("generated-*"))
