"""Networks of the recipe `live` leave as ONNX and as weights, and say the same of one crop as of three."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from humanpt.commands import export, export_graph
from humanpt.commands.finetune_families import FAMILIES
from humanpt.commands.recoverers import open_plain, open_recoverer, shipped_weights
from humanpt.config import to_dict
from humanpt.engine.average import Averaged
from humanpt.engine.checkpoint import Provenance, save_checkpoint
from humanpt.engine.optim import OptimConfig, make_optimizer
from humanpt.engine.report import Silent
from humanpt.errors import CheckpointError
from humanpt.models.mesh_heads import MeshPrediction
from humanpt.recipes.finetune import finetune_recipe
from humanpt.tasks.mesh_pictures import assumed_intrinsics

SIZE = 96


def test_shipped_networks_say_how_they_are_stored_and_have_no_layout_of_a_vit(tmp_path, monkeypatch):
    monkeypatch.setattr(export_graph, "found_crops", lambda subject, size: [])
    shipped = shipped_weights("hand")
    written = export.run(shipped, "safetensors", tmp_path / "again.safetensors", Silent())
    assert "float16" in written["weights"]
    for layout in ("timm", "croco"):
        with pytest.raises(CheckpointError, match="has no such encoder"):
            export.run(shipped, layout, tmp_path / layout, Silent())
    assert [path.name for path in tmp_path.iterdir()] == ["again.safetensors"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["hand-mesh", "body-mesh"])
@pytest.mark.parametrize("to", ["onnx", "safetensors"])
def test_live_networks_answer_as_before_for_one_crop_and_for_three(kind, to, tmp_path, monkeypatch):
    if to == "onnx":
        pytest.importorskip("onnxruntime", reason="ONNX Runtime is the extra onnx")
        pytest.importorskip("onnx", reason="ONNX is the extra onnx")
    config = finetune_recipe(kind, "live")
    torch.manual_seed(0)
    model = Averaged(FAMILIES[kind].network(config))
    torch.nn.init.normal_(model.average.head.out.weight, std=0.02)
    optimizer = make_optimizer(model, OptimConfig())
    run, out = tmp_path / "last.safetensors", tmp_path / f"mesh.{to}"
    provenance = Provenance(recipe=kind, config=to_dict(config))
    save_checkpoint(run, model, optimizer, device=torch.device("cpu"), step=1, provenance=provenance)
    crops = np.random.default_rng(0).integers(0, 256, (3, SIZE, SIZE, 3), dtype=np.uint8)
    monkeypatch.setattr(export_graph, "found_crops", lambda subject, size: [])
    export.run(run, to, out, Silent())
    cameras = np.tile(assumed_intrinsics(SIZE, SIZE), (3, 1, 1))
    original, exported = open_plain(run, device="cpu"), open_recoverer(out, device="cpu", precision="fp32")
    for count in (1, 3):
        found, wanted = exported(crops[:count], cameras[:count]), original(crops[:count], cameras[:count])
        for name in set(MeshPrediction._fields) - {"heat"}:
            assert_close(getattr(found, name), getattr(wanted, name), atol=1e-3, rtol=1e-3, msg=name)
    assert (found.side is not None) == (kind == "hand-mesh")
