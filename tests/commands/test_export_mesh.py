"""Exported mesh networks answer as the original does, and say what their numbers mean."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest
import torch
from safetensors import safe_open
from torch.testing import assert_close

from humanpt.commands import export, export_graph, export_network
from humanpt.commands.finetune_families import FAMILIES
from humanpt.commands.recoverers import open_recoverer
from humanpt.config import to_dict
from humanpt.engine.average import Averaged
from humanpt.engine.checkpoint import Provenance, save_checkpoint
from humanpt.engine.optim import OptimConfig, make_optimizer
from humanpt.engine.report import Silent
from humanpt.errors import CheckpointError, ConfigError, InputError, OutputError
from humanpt.live.exported import METADATA
from humanpt.recipes.finetune import finetune_recipe
from humanpt.tasks.mesh_pictures import assumed_intrinsics, recover_boxes

PICTURE = np.random.default_rng(0).integers(0, 256, (120, 160, 3), dtype=np.uint8)
BOXES = np.array([[20.0, 16.0, 52.0, 56.0], [100.0, 40.0, 150.0, 96.0], [10.0, 10.0, 90.0, 90.0]])


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run's folder with a network whose answers depend on what it sees."""
    config = finetune_recipe("hand-mesh", "tiny")
    torch.manual_seed(0)
    network = FAMILIES["hand-mesh"].network(config)
    torch.nn.init.normal_(network.head.out.weight, std=0.05)
    model = Averaged(network)
    folder = tmp_path_factory.mktemp("run")
    provenance = Provenance(recipe="hand-mesh", config=to_dict(config), ledger={"data": "made"})
    optimizer = make_optimizer(model, OptimConfig())
    save_checkpoint(
        folder / "best.safetensors", model, optimizer, device=torch.device("cpu"), step=7, provenance=provenance
    )
    return folder


@pytest.fixture(autouse=True)
def few_crops(monkeypatch):
    """Decoding clips is no part of these facts."""
    monkeypatch.setattr(export_graph, "found_crops", lambda subject, size: [])
    monkeypatch.setattr(export_graph, "CROPS", 3)


def meshes(path):
    recoverer = open_recoverer(path, precision="fp32")
    return recover_boxes(recoverer, PICTURE, assumed_intrinsics(160, 120), BOXES, ["right", "left", "unknown"])


def same(found, wanted):
    for one, other in zip(found, wanted, strict=True):
        for name in ("vertices", "keypoints", "pose", "shape", "transl"):
            assert_close(getattr(one, name), getattr(other, name), atol=1e-4, rtol=0)


def test_weights_alone_are_read_as_a_run_is_and_hold_no_others(run, tmp_path):
    written = export.run(run, "safetensors", tmp_path / "mesh.safetensors", Silent())
    assert all(found["max"] == 0 for found in written["parity"]["differences"].values())
    same(meshes(tmp_path / "mesh.safetensors"), meshes(run))
    with safe_open(tmp_path / "mesh.safetensors", framework="pt") as file:
        assert all(name.startswith("model.average.") for name in file.keys())  # noqa: SIM118 - it is no mapping
        meaning = json.loads(file.metadata()[METADATA])
    assert meaning["body"]["rig"]
    assert meaning["ledger"] == {"data": "made"}
    assert meaning["parity"]["crops"] == 3


def test_weights_of_half_the_size_move_meshes_by_less_than_a_millimetre(run, tmp_path):
    half, whole = tmp_path / "half.safetensors", tmp_path / "whole.safetensors"
    written = export.run(run, "safetensors", half, Silent(), half=True)
    export.run(run, "safetensors", whole, Silent())
    assert half.stat().st_size < 0.6 * whole.stat().st_size
    for one, other in zip(meshes(half), meshes(run), strict=True):
        assert 0 < (one.vertices - other.vertices).abs().mean() < 1e-3
    with safe_open(half, framework="pt") as file:
        assert json.loads(file.metadata()[METADATA])["parity"] == written["parity"]
    with pytest.raises(ConfigError, match="leave it out of --to onnx"):
        export.run(run, "onnx", tmp_path / "mesh.onnx", Silent(), half=True)


def test_torchscript_takes_batches_of_any_size_and_says_what_it_takes(run, tmp_path):
    out = tmp_path / "mesh.pt"
    export.run(run, "torchscript", out, Silent())
    extra = {f"{METADATA}.json": ""}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = torch.jit.load(str(out), _extra_files=extra)
    meaning = json.loads(extra[f"{METADATA}.json"])
    size = meaning["image_size"]
    pictures = torch.randint(0, 256, (4, 3, size, size), dtype=torch.uint8)
    cameras = torch.tensor([[100.0, 0, 31.5], [0, 100, 31.5], [0, 0, 1]]).repeat(4, 1, 1)
    together, alone = module(pictures, cameras), module(pictures[:1], cameras[:1])
    assert len(together) == len(meaning["outputs"])
    for one, other in zip(alone, together, strict=True):
        assert_close(one[0], other[0], atol=1e-4, rtol=1e-4)


def test_onnx_answers_as_the_run_does_from_the_file_alone(run, tmp_path):
    pytest.importorskip("onnxruntime", reason="ONNX Runtime is the extra onnx")
    pytest.importorskip("onnx", reason="ONNX is the extra onnx")
    written = export.run(run, "onnx", tmp_path / "mesh.onnx", Silent())
    assert written["parity"]["differences"]["vertices"]["max"] < 1e-4
    same(meshes(tmp_path / "mesh.onnx"), meshes(run))


def test_what_differs_from_the_original_is_not_written(run, tmp_path, monkeypatch):
    monkeypatch.setitem(export_network.BOUNDS, "vertices", -1.0)
    with pytest.raises(CheckpointError, match="its vertices differ by up to 0; nothing was written"):
        export.run(run, "safetensors", tmp_path / "mesh.safetensors", Silent())
    assert not list(tmp_path.glob("mesh*"))


def test_a_file_is_not_written_over_and_others_are_no_exports(run, tmp_path):
    out = tmp_path / "mesh.onnx"
    out.write_bytes(b"mine")
    with pytest.raises(OutputError, match="exists already"):
        export.run(run, "onnx", out, Silent())
    pytest.importorskip("onnxruntime", reason="ONNX Runtime is the extra onnx")
    with pytest.raises(InputError, match="is no ONNX model"):
        open_recoverer(out)
    with pytest.raises(ConfigError, match="computes in fp32"):
        open_recoverer(out, precision="bf16")
    with pytest.raises(OutputError, match=r"let --out end in \.onnx"):
        export.run(run, "onnx", tmp_path / "mesh", Silent())
