import json
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from humanpt.engine.checkpoint import (
    Provenance,
    first_not_finite,
    load_weights,
    read_header,
    resume_checkpoint,
    save_checkpoint,
)
from humanpt.engine.optim import OptimConfig, make_optimizer, set_rate
from humanpt.errors import CheckpointError, OutputError

CPU = torch.device("cpu")
PROVENANCE = Provenance(recipe="toy", config={"loop": {"steps": 3}, "tuple": (1, 2)}, ledger={"clips": ["a", "b"]})


def make_model(seed=0, width=4):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, width), nn.BatchNorm1d(width), nn.Linear(width, 2))


def trained(seed=0):
    model = make_model(seed)
    optimizer = make_optimizer(model, OptimConfig())
    set_rate(optimizer, 0.1)
    for _ in range(2):
        optimizer.zero_grad()
        model(torch.randn(5, 3)).square().mean().backward()
        optimizer.step()
    return model, optimizer


def save(path, model=None, optimizer=None, **fields):
    if model is None:
        model, optimizer = trained()
    save_checkpoint(path, model, optimizer, device=CPU, **({"step": 2, "provenance": PROVENANCE} | fields))
    return path


@pytest.fixture
def kept(tmp_path):
    return save(tmp_path / "last.safetensors")


def resume(path, model=None, recipe="toy"):
    model = model or make_model(seed=1)
    optimizer = make_optimizer(model, OptimConfig())
    resume_checkpoint(path, model, optimizer, device=CPU, recipe=recipe)
    return model, optimizer


def refused(path, match, action=read_header):
    with pytest.raises(CheckpointError, match=match) as error:
        action(path)
    assert str(error.value).startswith(str(path))
    assert "\n" not in str(error.value)


def test_what_a_checkpoint_says_of_itself_comes_back(tmp_path):
    path = save(tmp_path / "a" / "b.safetensors", metrics={"loss": 0.1, "odd": float("nan")}, counters={"samples": 7})
    header = read_header(path)
    assert (header.step, header.provenance.recipe, header.counters) == (2, "toy", {"samples": 7})
    assert header.provenance.config == {"loop": {"steps": 3}, "tuple": [1, 2]}
    assert header.provenance.ledger == {"clips": ["a", "b"]}
    assert header.metrics == {"loss": 0.1, "odd": None}
    assert [group["names"] for group in header.param_groups] == [
        ["0.weight", "2.weight"],
        ["0.bias", "1.weight", "1.bias", "2.bias"],
    ]


def test_a_checkpoint_is_an_ordinary_safetensors_file_with_documented_names(kept):
    tensors = load_file(kept)
    assert {name.split(".")[0] for name in tensors} == {"model", "optim", "random"}
    assert {"model.1.running_mean", "optim.0.weight.exp_avg", "optim.2.bias.step", "random.torch"} <= set(tensors)


def test_weights_moments_and_random_states_come_back_to_the_bit(tmp_path):
    model, optimizer = trained()
    path = save(tmp_path / "last.safetensors", model, optimizer)
    drawn = [random.random(), torch.rand(()).item()]
    model2, optimizer2 = resume(path)
    assert [random.random(), torch.rand(()).item()] == drawn
    for name, value in model.state_dict().items():
        assert torch.equal(model2.state_dict()[name], value), name
    states, states2 = optimizer.state_dict()["state"], optimizer2.state_dict()["state"]
    assert states.keys() == states2.keys()
    for place, state in states.items():
        for key, value in state.items():
            assert torch.equal(states2[place][key], value), (place, key)


def test_resuming_keeps_the_hyper_parameters_of_the_run_at_hand(kept):
    model = make_model()
    optimizer = make_optimizer(model, OptimConfig(weight_decay=0.2))
    resume_checkpoint(kept, model, optimizer, device=CPU, recipe="toy")
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.2, 0.0]


def test_tied_weights_are_saved_under_both_names_and_stay_tied(tmp_path):
    def tied():
        model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
        model[1].weight = model[0].weight
        return model, make_optimizer(model, OptimConfig())

    path = save(tmp_path / "tied.safetensors", *tied(), step=0)
    model, _ = resume_into = tied()
    resume_checkpoint(path, *resume_into, device=CPU, recipe="toy")
    assert torch.equal(load_file(path)["model.0.weight"], load_file(path)["model.1.weight"])
    assert model[0].weight is model[1].weight


def test_the_file_is_readable_as_the_umask_says(kept, tmp_path):
    plain = tmp_path / "plain"
    plain.touch()
    assert kept.stat().st_mode == plain.stat().st_mode


def test_a_missing_checkpoint_is_refused(tmp_path):
    refused(tmp_path / "none.safetensors", "no such file")


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickled_file_is_refused_without_being_opened(tmp_path, zipped):
    path = tmp_path / "croco.pth"
    torch.save({"model": {}}, path, _use_new_zipfile_serialization=zipped)
    refused(path, "pickled file.*not opened")


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.999])
def test_a_truncated_checkpoint_is_refused(kept, share):
    whole = kept.read_bytes()
    kept.write_bytes(whole[: int(len(whole) * share)])
    refused(kept, "cut short, damaged or no safetensors file")


def test_a_text_file_is_refused(tmp_path):
    path = tmp_path / "notes.safetensors"
    path.write_text("these are notes, and rather long ones")
    refused(path, "no safetensors file")


def test_a_safetensors_file_of_another_kind_is_refused(tmp_path):
    path = tmp_path / "other.safetensors"
    save_file({"weight": torch.zeros(2)}, path)
    refused(path, "no humanpt checkpoint")


def rewrite(path, tensors=None, **metadata):
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        old = file.metadata()
    save_file(tensors or load_file(path), path, old | metadata)


def test_a_newer_schema_is_refused_with_the_version_that_wrote_it(kept):
    rewrite(kept, schema_version="2", humanpt_version="9.9")
    refused(kept, "schema version 2, this humanpt reads 1; use humanpt 9.9")


def test_damaged_metadata_are_refused(kept):
    rewrite(kept, counters="{")
    refused(kept, "metadata are damaged")


def test_another_recipe_is_refused_with_both_names(kept):
    refused(kept, "recipe toy, not croco_hand.*--init", lambda path: resume(path, recipe="croco_hand"))


def test_another_model_is_refused_with_the_first_few_names_and_nothing_changes(kept):
    model = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Linear(4, 5), nn.Linear(5, 5))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    refused(kept, "another model", lambda path: resume(path, model))
    refused(kept, r"2 not in the file \(3.weight, 3.bias\)", lambda path: resume(path, model))
    refused(kept, r"3 not in the model \(1.num_batches_tracked, ", lambda path: resume(path, model))
    refused(kept, r"2 of another shape \(2.weight \(2, 4\) for \(5, 4\)", lambda path: resume(path, model))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_weight_that_is_not_a_number_is_refused_by_name(kept):
    tensors = load_file(kept)
    tensors["model.2.weight"][0, 0] = float("nan")
    rewrite(kept, tensors)
    refused(kept, "2.weight holds NaN", resume)
    refused(kept, "2.weight holds NaN", lambda path: load_weights(path, make_model()))


def test_an_optimiser_without_its_moments_is_refused(kept):
    rewrite(kept, {name: value for name, value in load_file(kept).items() if "optim.2.bias" not in name})
    refused(kept, "optimiser trained other parameters", resume)


def test_starting_from_weights_reports_what_did_not_match(kept):
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 7))
    untouched = model[2].weight.detach().clone()
    report = load_weights(kept, model)
    assert torch.equal(model[0].weight, load_file(kept)["model.0.weight"])
    assert torch.equal(model[2].weight, untouched)
    assert (len(report.matched), report.missing, report.unexpected, len(report.misshaped)) == (7, (), (), 2)
    expected = "7 weights matched, 2 of another shape (2.weight (2, 4) for (7, 4), 2.bias (2,) for (7,))"
    assert report.summary() == expected


def test_starting_from_weights_of_which_none_fits_is_refused(kept):
    refused(kept, "not one of its weights fits", lambda path: load_weights(path, nn.Conv2d(1, 1, 1)))


def test_the_first_tensor_that_is_not_finite_is_named():
    tensors = {
        "a": torch.ones(2),
        "count": torch.tensor(1),
        "b": torch.tensor([1, float("inf")]),
        "c": torch.tensor(float("nan")),
    }
    assert first_not_finite(tensors.items()) == "b"
    assert first_not_finite(list(tensors.items())[:2]) is None


def test_a_full_disk_is_one_line_and_leaves_the_checkpoint_before_intact(kept, small_disk):
    before = kept.read_bytes()
    big = nn.Linear(100, 100)
    refusal = pytest.raises(OutputError, match=r"cannot be written.*what was finished before is intact")
    with small_disk(20_000), refusal as error:
        save(kept, big, make_optimizer(big, OptimConfig()))
    assert "\n" not in str(error.value)
    assert kept.read_bytes() == before
    assert [path.name for path in kept.parent.iterdir()] == [kept.name]


def test_a_place_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"cannot be written"):
        save(tmp_path / "file" / "last.safetensors")


def test_whatever_a_killed_saver_leaves_under_the_final_name_loads(tmp_path):
    program = Path(__file__).parent / "killed_saver.py"
    path = tmp_path / "last.safetensors"
    done = subprocess.run([sys.executable, program, path, "12"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    halfway, saves = map(int, done.stdout.split())
    assert halfway > 0, "no kill hit a save; the test proved nothing"
    assert saves > 1
    shutil.rmtree(path.with_name(f".{path.name}.partial"), ignore_errors=True)
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_the_header_alone_tells_the_story_without_torch(kept):
    raw = kept.read_bytes()
    header = json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])
    assert header["__metadata__"]["schema"] == "humanpt.checkpoint"
    assert json.loads(header["__metadata__"]["step"]) == 2


def test_a_header_whose_length_looks_like_a_pickle_is_read_all_the_same(kept):
    """The first bytes of a safetensors file are the length of its header; 0x80 is also how a pickle begins."""
    data = kept.read_bytes()
    length = int.from_bytes(data[:8], "little")
    longer = (length // 256 + 1) * 256 + 0x80
    kept.write_bytes(longer.to_bytes(8, "little") + data[8 : 8 + length].ljust(longer) + data[8 + length :])
    assert kept.read_bytes()[:1] == b"\x80"
    assert read_header(kept).step >= 0
