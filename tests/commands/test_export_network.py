"""Dense pose, classes, encoders and licensed body models leave as graphs that answer as the original does."""

from __future__ import annotations

import json
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from humanpt.body.model import load_body_model
from humanpt.commands import export, export_graph
from humanpt.commands.finetune_families import FAMILIES
from humanpt.commands.recoverers import open_plain, open_recoverer
from humanpt.config import to_dict
from humanpt.engine.average import Averaged
from humanpt.engine.checkpoint import Provenance, save_checkpoint
from humanpt.engine.optim import OptimConfig, make_optimizer
from humanpt.engine.report import Silent
from humanpt.errors import CheckpointError
from humanpt.live.exported import METADATA, OnnxGraph
from humanpt.models.croco import CroCo, tiny
from humanpt.recipes import pretrain_recipe
from humanpt.recipes.finetune import finetune_recipe
from humanpt.tasks.mesh_pictures import assumed_intrinsics
from tests.body.licensed_files import made, write_npz


@pytest.fixture
def few_crops(monkeypatch):
    """Decoding clips is no part of these facts."""
    monkeypatch.setattr(export_graph, "found_crops", lambda subject, size: [])
    monkeypatch.setattr(export_graph, "CROPS", 3)


@pytest.fixture
def onnx():
    """What the format needs."""
    pytest.importorskip("onnxruntime", reason="ONNX Runtime is the extra onnx")
    pytest.importorskip("onnx", reason="ONNX is the extra onnx")


def saved(path, model, recipe, config):
    provenance = Provenance(recipe=recipe, config=to_dict(config), ledger={"data": "made"})
    optimizer = make_optimizer(model, OptimConfig())
    save_checkpoint(path, model, optimizer, device=torch.device("cpu"), step=1, provenance=provenance)
    return path


def finetuned(path, config):
    """A checkpoint of a network whose answers depend on what it sees."""
    torch.manual_seed(0)
    network = FAMILIES[config.kind].network(config)
    for name, weight in network.named_parameters():
        if not name.startswith("trunk.") and weight.ndim > 1 and not weight.any():
            torch.nn.init.normal_(weight, std=0.02)
    return saved(path, Averaged(network), config.kind, config)


def encoder_run(path):
    config = pretrain_recipe("tiny", "hand")
    torch.manual_seed(0)
    return saved(path, CroCo(config.task.model), config.recipe, config)


def classes_config():
    config = finetune_recipe("gesture", "tiny")
    return replace(config, task=replace(config.task, class_names=("fist", "palm", "point")))


MAKERS = {
    "dense-pose": lambda path: finetuned(path, finetune_recipe("dense-pose", "tiny")),
    "classes": lambda path: finetuned(path, classes_config()),
    "encoder": encoder_run,
}


@pytest.mark.usefixtures("few_crops", "onnx")
@pytest.mark.parametrize("kind", MAKERS)
def test_other_networks_leave_as_onnx_with_what_their_numbers_mean(kind, tmp_path):
    written = export.run(MAKERS[kind](tmp_path / "last.safetensors"), "onnx", None, Silent())
    assert written["out"] == str(tmp_path / f"{kind}.onnx")
    assert all(found["max"] < 1e-3 for found in written["parity"]["differences"].values())
    graph = OnnxGraph(tmp_path / f"{kind}.onnx")
    meaning = json.loads(graph.metadata[METADATA])
    size = meaning["image_size"]
    crops = torch.randint(0, 256, (3, 3, size, size), dtype=torch.uint8)
    together, alone = graph(crops), graph(crops[:1])
    assert set(together) == set(meaning["outputs"])
    for name, value in alone.items():
        assert together[name].std(dim=0).max() > 1e-4, "answers do not depend on the picture"
        assert_close(value[0], together[name][0], atol=1e-4, rtol=1e-4)
    names = {"dense-pose": "part_names", "classes": "class_names", "encoder": "model"}[kind]
    assert meaning[names]
    assert meaning["ledger"] == {"data": "made"}


@pytest.mark.usefixtures("few_crops")
@pytest.mark.parametrize("kind", MAKERS)
def test_other_networks_leave_as_torchscript(kind, tmp_path):
    written = export.run(MAKERS[kind](tmp_path / "last.safetensors"), "torchscript", None, Silent())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = torch.jit.load(written["out"])
    size = tiny().image_size
    crops = torch.randint(0, 256, (3, 3, size, size), dtype=torch.uint8)
    for one, other in zip(module(crops[:1]), module(crops), strict=True):
        assert_close(one[0], other[0], atol=1e-4, rtol=1e-4)


def test_weights_of_pre_training_alone_have_layouts_of_their_own(tmp_path):
    with pytest.raises(CheckpointError, match="--to timm or --to croco"):
        export.run(encoder_run(tmp_path / "last.safetensors"), "safetensors", None, Silent())


@pytest.mark.usefixtures("few_crops", "onnx")
def test_licensed_body_models_stay_out_of_the_file_and_make_the_mesh_beside_it(tmp_path, monkeypatch):
    pytest.importorskip("smplx")
    write_npz(tmp_path / "mano" / "MANO_RIGHT.npz", made("mano", load_body_model("anny-hand")))
    monkeypatch.setenv("HUMANPT_BODY_MODELS", str(tmp_path))
    config = finetune_recipe("hand-mesh", "tiny")
    config = replace(config, task=replace(config.task, model="mano"))
    run = finetuned(tmp_path / "last.safetensors", config)
    written = export.run(run, "onnx", None, Silent())
    assert written["outputs"] == ["camera", "pose", "shape"]
    assert "mano is not in it" in written["left_out"]
    assert "faces" not in json.loads(OnnxGraph(tmp_path / "mesh.onnx").metadata[METADATA])
    size = config.encoder.image_size
    crops = np.random.default_rng(0).integers(0, 256, (2, size, size, 3), dtype=np.uint8)
    cameras = np.tile(assumed_intrinsics(size, size), (2, 1, 1))
    found, wanted = (opened(crops, cameras) for opened in (open_recoverer(tmp_path / "mesh.onnx"), open_plain(run)))
    for name in ("vertices", "keypoints", "pixels", "turn", "transl"):
        assert_close(getattr(found, name), getattr(wanted, name), atol=1e-3, rtol=1e-4)
    export.run(run, "torchscript", None, Silent())
    assert (tmp_path / "mesh.pt").stat().st_size < 1.3 * run.stat().st_size / 2  # one network, and no model


@pytest.mark.slow
@pytest.mark.parametrize("subject", ["hand", "body"])
def test_crops_are_of_subjects_found_in_the_example_clips(subject):
    if not export_graph.found_crops(subject, 32):
        pytest.skip("the example clips are not at hand")
    trial = export_graph.trial_crops(subject, 64)
    assert trial.pictures.shape == (export_graph.CROPS, 3, 64, 64)
    assert trial.pictures.std(axis=(1, 2, 3)).min() > 5
    assert "found by our own detector" in trial.origin


@pytest.mark.usefixtures("few_crops")
def test_made_pictures_are_told_where_there_are_no_clips():
    trial = export_graph.trial_crops("hand", 64)
    assert len(trial.pictures) == len(trial.cameras) == 3
    assert trial.origin.startswith("made pictures")
