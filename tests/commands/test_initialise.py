import argparse
import math
import os
import resource
from dataclasses import asdict, replace

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import nn
from torch.testing import assert_close

from humanpt.commands import export
from humanpt.commands.initialise import decided_by, initialise
from humanpt.engine.checkpoint import Provenance, save_checkpoint
from humanpt.engine.optim import OptimConfig, make_optimizer
from humanpt.engine.report import Silent
from humanpt.engine.weight_files import read_weight_file
from humanpt.errors import CheckpointError, OutputError
from humanpt.models.croco import CroCo, tiny, vits16_small
from humanpt.models.weights import to_croco
from tests.models.croco_files import random_tensors

KWARGS = {"enc_num_heads": 4, "dec_num_heads": 2, "pos_embed": "RoPE100"}


class Heard(Silent):
    """A report that remembers its notes."""

    def __init__(self):
        self.notes = []

    def note(self, text):
        self.notes.append(text)


def network(config, seed=0):
    torch.manual_seed(seed)
    model = CroCo(config).eval()
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.1)
    return model


def checkpoint(path, model, ledger=None):
    config = {"task": {"model": asdict(model.config)}} if isinstance(model, CroCo) else {}
    provenance = Provenance(recipe="toy", config=config, ledger=ledger or {})
    optimizer = make_optimizer(model, OptimConfig())
    save_checkpoint(path, model, optimizer, device=torch.device("cpu"), step=3, provenance=provenance)
    return path


def start(path, config):
    """What pretrain does with --init: the network, the ledger, what was told."""
    heard = Heard()
    torch.manual_seed(1)
    model = CroCo(decided_by(path, config)).eval()
    return model, initialise(model, path, heard), heard.notes


def refused(path, config, *parts):
    with pytest.raises(CheckpointError) as error:
        start(path, config)
    line = str(error.value)
    assert str(path) in line
    assert "\n" not in line
    for part in parts:
        assert part in line


@pytest.fixture
def views():
    generator = torch.Generator().manual_seed(1)
    image1, image2 = torch.randn(2, 2, 3, 64, 64, generator=generator).unbind()
    return image1, image2, torch.arange(16).expand(2, 16) < 14


@pytest.mark.parametrize("positions", ["rope", "cosine", "learned"])
@pytest.mark.parametrize("into", ["rope", "cosine"])
def test_a_run_of_ours_continues_with_its_own_positions(tmp_path, views, positions, into):
    first = network(replace(tiny(), positions=positions, rope_base=50.0))
    checkpoint(tmp_path / "best.safetensors", first, {"sources": [{"licence": "CC0"}]})
    model, ledger, notes = start(tmp_path, replace(tiny(), positions=into))
    assert torch.equal(model(*views), first(*views))
    assert (ledger["file"], ledger["kind"]) == (str(tmp_path / "best.safetensors"), "humanpt")
    assert (ledger["licence"], ledger["ledger"]["sources"]) == ("CC0", [{"licence": "CC0"}])
    assert not ledger["missing"] + ledger["unexpected"] + ledger["resized"]
    assert len(notes) == 1


def test_an_original_network_starts_ours_and_its_licence_is_told(tmp_path, views):
    first = network(tiny())
    torch.save({"model": to_croco(first.state_dict(), tiny())[0], "croco_kwargs": KWARGS}, tmp_path / "v2.pth")
    model, ledger, notes = start(tmp_path / "v2.pth", replace(tiny(), positions="cosine"))
    assert torch.equal(model(*views), first(*views))
    assert "CC BY-NC-SA" in ledger["licence"]
    assert len(ledger["matched"]) == len(random_tensors(tiny()))
    assert len(notes) == 2
    assert "83 weights matched" in notes[0]
    assert "CC BY-NC-SA" in notes[1]


def test_a_network_of_dust3rs_kind_gives_encoder_and_first_decoder_and_names_the_rest(tmp_path):
    weights = random_tensors(tiny())
    del weights["prediction_head.weight"], weights["prediction_head.bias"]
    second = {name.replace("dec_blocks.", "dec_blocks2."): value for name, value in weights.items()}
    second = {name: value for name, value in second.items() if name.startswith("dec_blocks2.")}
    heads = {"downstream_head1.dpt.act.weight": torch.ones(2), "downstream_head2.dpt.act.weight": torch.ones(2)}
    args = argparse.Namespace(
        model="AsymmetricCroCo3DStereo(enc_num_heads=4, dec_num_heads=2, pos_embed='RoPE100', "
        "img_size=(512, 512), head_type='dpt', depth_mode=('exp', -inf, inf), patch_embed_cls='PatchEmbedDust3R')"
    )
    torch.save({"model": weights | second | heads, "args": args, "best_so_far": math.inf}, tmp_path / "dust3r.pth")
    model, ledger, _ = start(tmp_path / "dust3r.pth", tiny())
    assert ledger["kind"] == "dust3r"
    assert set(ledger["unexpected"]) == set(second) | set(heads)
    assert ledger["missing"] == ["to_pixels.weight", "to_pixels.bias"]
    assert torch.equal(model.decoder.blocks[1].norm3.bias, weights["dec_blocks.1.norm3.bias"])


def test_a_stereo_network_gives_what_it_has(tmp_path):
    weights = {name: value for name, value in random_tensors(tiny()).items() if not name.startswith("prediction")}
    del weights["mask_token"]
    weights["head.dpt.head.0.weight"] = torch.ones(3)
    args = argparse.Namespace(croco_args=KWARGS | {"img_size": (352, 704)}, task="stereo")
    torch.save({"model": weights, "args": args}, tmp_path / "stereo.pth")
    _, ledger, _ = start(tmp_path / "stereo.pth", tiny())
    assert ledger["kind"] == "croco-finetuned"
    assert ledger["unexpected"] == ["head.dpt.head.0.weight"]
    assert ledger["missing"] == ["mask_token", "to_pixels.weight", "to_pixels.bias"]


def test_tables_for_another_size_of_picture_are_resized_and_told(tmp_path):
    first = network(replace(tiny(), positions="cosine"))
    named, _ = to_croco(first.state_dict(), first.config)
    kwargs = KWARGS | {"pos_embed": "cosine"}
    torch.save({"model": named, "croco_kwargs": kwargs}, tmp_path / "v1.pth")
    model, ledger, notes = start(tmp_path / "v1.pth", replace(tiny(), image_size=96))
    for table, stack in (("enc_pos_embed", model.encoder), ("dec_pos_embed", model.decoder)):
        square = named[table].T.reshape(1, -1, 4, 4)
        resized = nn.functional.interpolate(square, size=(6, 6), mode="bicubic").flatten(2)[0].T
        assert_close(stack.positions.added, resized)
    assert ledger["resized"] == ["enc_pos_embed of 16 to 36 patches", "dec_pos_embed of 16 to 36 patches"]
    assert "2 resized" in notes[0]
    # The tables are no weights, so a checkpoint must bring them back from its config alone.
    again, _, _ = start(checkpoint(tmp_path / "last.safetensors", model), replace(tiny(), image_size=96))
    assert torch.equal(again.encoder.positions.added, model.encoder.positions.added)


@pytest.mark.parametrize("image_size", [64, 96])
def test_mae_weights_start_the_encoder_alone(tmp_path, image_size):
    torch.manual_seed(0)
    sizes = {"img_size": 64, "embed_dim": 64, "depth": 2, "num_heads": 4}
    weights = timm.create_model("vit_base_patch16_224", pretrained=False, **sizes).state_dict()
    weights |= {"mask_token": torch.full((1, 1, 32), 9.0), "decoder_embed.weight": torch.zeros(32, 64)}
    torch.save({"model": weights}, tmp_path / "mae.pth")
    config = replace(tiny(), image_size=image_size)
    model, ledger, _ = start(tmp_path / "mae.pth", config)
    assert (model.config.positions, ledger["kind"]) == ("learned", "vit")
    assert torch.equal(model.encoder.blocks[1].mlp.fc2.weight, weights["blocks.1.mlp.fc2.weight"])
    assert set(ledger["unexpected"]) == {"cls_token", "head.weight", "head.bias", "mask_token", "decoder_embed.weight"}
    assert "decoder.norm.weight" in ledger["missing"]
    assert model.mask_token.detach().abs().max() < 1  # MAE's own is of another decoder
    assert ledger["resized"] == ([] if image_size == 64 else ["pos_embed (16, 64) to (36, 64)"])


@pytest.mark.parametrize("to", ["croco", "timm"])
@pytest.mark.parametrize("positions", ["rope", "cosine"])
def test_an_exported_run_comes_back_with_its_ledger(tmp_path, views, to, positions):
    first = network(replace(tiny(), positions=positions))
    checkpoint(tmp_path / "last.safetensors", first, {"sources": [{"licence": "CC0"}]})
    summary = export.run(tmp_path, to, None, Silent())
    written = tmp_path / export.NAMES[to]
    assert summary["out"] == str(written)
    outputs = {"tokens", "pixels"} if to == "croco" else {"tokens"}
    assert summary["parity"]["differences"].keys() == outputs
    assert all(found["max"] < 1e-4 for found in summary["parity"]["differences"].values())
    assert export.PARITY_KEY in read_weight_file(written).saved_with
    model, ledger, _ = start(written, tiny())
    assert (ledger["licence"], ledger["sha256"]) == ("CC0", summary["sha256"])
    assert torch.equal(model.encoder(views[0]), first.encoder(views[0]))
    if to == "croco":
        assert torch.equal(model(*views), first(*views))
        assert written.stat().st_size < 1.5 * 4 * 210_944  # the weights alone, not the file they were read from


def test_timm_makes_an_exported_encoder_by_the_name_that_is_told(tmp_path, views):
    first = network(tiny())
    checkpoint(tmp_path / "last.safetensors", first)
    summary = export.run(tmp_path / "last.safetensors", "timm", tmp_path / "new" / "encoder.safetensors", Silent())
    encoder = timm.create_model(
        summary["timm_model"], **summary["timm_arguments"], checkpoint_path=summary["out"]
    ).eval()
    assert_close(encoder(views[0]), first.encoder(views[0]), atol=1e-5, rtol=0)


def test_nothing_is_written_over_or_exported_that_is_no_whole_run(tmp_path):
    path = checkpoint(tmp_path / "last.safetensors", network(tiny()))
    with pytest.raises(OutputError, match="exists already"):
        export.run(path, "croco", path, Silent())
    torch.save({"model": random_tensors(tiny()), "croco_kwargs": KWARGS}, tmp_path / "v2.pth")
    with pytest.raises(CheckpointError, match="no checkpoint of humanpt"):
        export.run(tmp_path / "v2.pth", "timm", None, Silent())
    single = checkpoint(tmp_path / "mae.safetensors", network(replace(tiny(), cross_attention=False)))
    with pytest.raises(CheckpointError, match=r"cross-attention.*--to timm"):
        export.run(single, "croco", None, Silent())
    broken = network(tiny())
    broken.mask_token.data[0, 0, 0] = math.nan
    with pytest.raises(CheckpointError, match="mask_token holds NaN"):
        export.run(checkpoint(tmp_path / "nan.safetensors", broken), "croco", None, Silent())
    assert not list(tmp_path.glob("*.pth.partial")) + list(tmp_path.glob("croco.pth"))


@pytest.mark.parametrize("to", ["croco", "timm"])
def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path, to):
    path = checkpoint(tmp_path / "last.safetensors", network(tiny()))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(OutputError) as error:
            export.run(path, to, tmp_path / "out.file", Silent())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert str(error.value).startswith(f"{tmp_path / 'out.file'}: cannot be written (File too large)")
    assert "\n" not in str(error.value)
    assert [file.name for file in tmp_path.iterdir()] == ["last.safetensors"]


def test_another_width_names_the_recipe_or_the_settings_that_fit(tmp_path):
    path = checkpoint(tmp_path / "last.safetensors", network(tiny()))
    refused(path, vits16_small(), "enc_dim 64 (here 384)", "--recipe tiny")
    deeper = checkpoint(tmp_path / "deep.safetensors", network(replace(tiny(), dec_depth=3)))
    refused(deeper, tiny(), "dec_depth 3 (here 2)", "--set task.model.dec_depth=3")
    torch.save({"model": random_tensors(tiny()), "croco_kwargs": KWARGS | {"enc_num_heads": 2}}, tmp_path / "v2.pth")
    refused(tmp_path / "v2.pth", tiny(), "enc_heads 2 (here 4)")


def test_a_weight_that_is_no_number_is_refused(tmp_path):
    weights = random_tensors(tiny())
    weights["dec_blocks.1.mlp.fc1.weight"][3, 3] = math.inf
    torch.save({"model": weights, "croco_kwargs": KWARGS}, tmp_path / "v2.pth")
    refused(tmp_path / "v2.pth", tiny(), "decoder.blocks.1.mlp.fc1.weight holds NaN or infinity")


def test_weights_of_another_shape_under_the_same_name_are_refused(tmp_path):
    weights = random_tensors(tiny()) | {"enc_blocks.0.mlp.fc1.weight": torch.zeros(128, 64)}
    torch.save({"model": weights, "croco_kwargs": KWARGS}, tmp_path / "v2.pth")
    refused(tmp_path / "v2.pth", tiny(), "mlp.fc1.weight (128, 64) for (256, 64)")


def test_networks_of_other_kinds_are_refused(tmp_path):
    refused(checkpoint(tmp_path / "toy.safetensors", nn.Linear(2, 2)), tiny(), "recipe toy", "no such encoder")
    torch.save({"conv1.weight": torch.ones(3)}, tmp_path / "resnet.pth")
    refused(tmp_path / "resnet.pth", tiny(), "conv1.weight", "no")
    save_file({"conv1.weight": torch.ones(3)}, tmp_path / "resnet.safetensors")
    refused(tmp_path / "resnet.safetensors", tiny(), "conv1.weight")
    torch.save({"model": random_tensors(tiny()), "croco_kwargs": {"pos_embed": "sine"}}, tmp_path / "odd.pth")
    refused(tmp_path / "odd.pth", tiny(), "sine", "take another file")


class Malice:
    def __reduce__(self):
        return os.mkdir, ("it-ran",)


def test_code_in_a_file_is_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"model": random_tensors(tiny()), "args": Malice()}, tmp_path / "v2.pth")
    refused(tmp_path / "v2.pth", tiny(), "mkdir", "nothing in it was run")
    model = "CroCoNet(enc_depth=__import__('os').mkdir('it-ran'))"
    torch.save({"model": random_tensors(tiny()), "args": argparse.Namespace(model=model)}, tmp_path / "v2.pth")
    refused(tmp_path / "v2.pth", tiny(), "enc_depth", "not evaluated")
    assert not (tmp_path / "it-ran").exists()


def test_an_empty_folder_is_no_run(tmp_path):
    refused(tmp_path, tiny(), "no such file")
