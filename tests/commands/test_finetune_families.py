"""What recipes and data decide of a fine-tuning run."""

from dataclasses import asdict, replace
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import save_file

from humanpt.commands.finetune_families import FAMILIES
from humanpt.commands.finetune_network import with_encoder_of
from humanpt.engine.checkpoint import Provenance, save_checkpoint
from humanpt.engine.optim import OptimConfig, make_optimizer
from humanpt.engine.report import Silent
from humanpt.errors import CheckpointError
from humanpt.models.croco import CroCo, tiny, vitb16_base
from humanpt.models.weights import to_croco
from humanpt.recipes.finetune import SIZES, finetune_recipe


class Heard(Silent):
    """A report that remembers its notes."""

    def __init__(self):
        self.notes = []

    def note(self, text):
        self.notes.append(text)


def checkpoint(path, config):
    model = CroCo(config)
    provenance = Provenance(recipe="toy", config={"task": {"model": asdict(config)}})
    optimizer = make_optimizer(model, OptimConfig())
    save_checkpoint(path, model, optimizer, device=torch.device("cpu"), step=1, provenance=provenance)
    return path


@pytest.mark.parametrize("kind", FAMILIES)
@pytest.mark.parametrize("size", SIZES)
def test_every_task_has_a_recipe_at_every_size(kind, size):
    config = finetune_recipe(kind, size)
    assert (config.kind, config.recipe) == (kind, size)
    assert config.encoder == SIZES[size]()
    assert isinstance(config, FAMILIES[kind].config_type)
    assert config.loop.steps > 0


@pytest.mark.parametrize(("changes", "size"), [({"enc_dim": 128, "dec_dim": 96}, "tiny"), ({}, "tiny")])
def test_weights_of_ours_choose_the_recipe_and_bring_their_sizes(tmp_path, changes, size):
    sizes = replace(tiny(), patch_size=8, **changes)
    init = checkpoint(tmp_path / "last.safetensors", sizes)
    config = finetune_recipe("hand-mesh", None, init)
    assert config.recipe == size
    assert with_encoder_of(init, config, []).encoder == sizes
    larger = with_encoder_of(init, config, ["encoder.image_size=128", "seed=3"])
    assert larger.encoder == replace(sizes, image_size=128)  # rotary positions know no size of pictures
    assert larger.seed == 0  # other changes are not this function's


def test_weights_of_others_need_their_size_and_bring_their_positions(tmp_path):
    model = CroCo(replace(tiny(), positions="cosine"))
    tensors, _ = to_croco(model.state_dict(), model.config)
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, tmp_path / "croco.safetensors")
    config = finetune_recipe("body-mesh", "tiny")
    assert with_encoder_of(tmp_path / "croco.safetensors", config, []).encoder.positions == "cosine"
    with pytest.raises(CheckpointError, match="another network"):
        with_encoder_of(tmp_path / "croco.safetensors", finetune_recipe("body-mesh", "vits16_small"), [])


def test_the_largest_decoder_is_told_from_the_small_one_of_the_same_encoder(tmp_path):
    with torch.device("meta"):
        names = {name: tuple(value.shape) for name, value in CroCo(vitb16_base()).state_dict().items()}
    wanted = ("encoder.patch_embed.proj.weight", "to_decoder.weight", "decoder.blocks.0.norm1.weight")
    assert set(wanted) <= set(names)
    theirs, _ = to_croco({name: torch.zeros(names[name]) for name in wanted}, vitb16_base())
    theirs["enc_blocks.0.norm1.weight"] = torch.zeros(768)
    save_file(theirs, tmp_path / "croco.safetensors")
    assert finetune_recipe("hand-mesh", None, tmp_path / "croco.safetensors").recipe == "vitb16_base"


def settled(kind, model, chosen=()):
    heard = Heard()
    config = finetune_recipe(kind, "tiny")
    data = SimpleNamespace(layout=SimpleNamespace(model=model))
    return FAMILIES[kind].settle(config, data, chosen, heard).task.model, heard.notes


def test_the_body_model_is_that_of_the_labels_unless_the_user_chose_one(monkeypatch, tmp_path):
    monkeypatch.setenv("HUMANPT_BODY_MODELS", str(tmp_path))
    monkeypatch.setenv("HUMANPT_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    assert settled("body-mesh", "anny-body-small") == ("anny-body-small", [])
    assert settled("body-mesh", "anny-body-small", ["task.model"]) == ("anny-body", [])
    assert settled("hand-mesh", None) == ("anny-hand", [])
    assert settled("hand-mesh", "smplx") == ("anny-hand", [])  # which has no hands alone
    model, notes = settled("hand-mesh", "mano")
    assert model == "anny-hand"
    assert len(notes) == 1
    assert "mano.is.tue.mpg.de" in notes[0]
