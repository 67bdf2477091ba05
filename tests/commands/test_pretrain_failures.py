"""`humanpt pretrain` when its pairs go away while it trains, or were written by several versions of humanpt."""

import json
import os
import shutil

import h5py
import numpy as np
import pytest

from tests.commands.results import one_line_error
from tests.commands.test_pretrain import pretrain
from tests.commands.test_pretrain_processes import FOREVER, error_lines, goes_on, start, wait_for_a_save
from tests.engine.processes import finish
from tests.scenes import write_pairs
from tests.shards import TRUTH, pair, picture, source, truth, write_shard

pytestmark = pytest.mark.usefixtures("nobody_left")


@pytest.fixture
def pairs(tmp_path):
    (tmp_path / "pairs").mkdir()
    for name in ("a", "b"):
        write_pairs(tmp_path / "pairs" / f"{name}.h5", count=15, clips=3, seed=ord(name))
    return tmp_path / "pairs"


@pytest.mark.parametrize("workers", [0, 2])
def test_a_shard_cut_short_ends_the_run_with_one_line_and_brought_back_it_goes_on(pairs, tmp_path, workers):
    out, shard = tmp_path / "run", pairs / "b.h5"
    whole = shard.read_bytes()
    processes = start(["--data", pairs, "--out", out, *FOREVER, "--set", f"workers={workers}"])
    wait_for_a_save(out, processes)
    os.truncate(shard, 4096)
    codes, _, errors = finish(processes)  # with its workers: they would keep it from ending
    assert codes == [2], errors
    assert error_lines(errors) == [
        f"error: {shard}: was cut short while in use; bring it back whole, then go on with --resume"
    ]
    saved = (out / "last.safetensors").read_bytes()
    one_line_error(pretrain("--out", out, "--resume"), "b.h5", "is cut short; copy it again")
    assert (out / "last.safetensors").read_bytes() == saved
    shard.write_bytes(whole)
    goes_on(out)


def test_shards_removed_are_missed_on_resuming_and_brought_back_it_goes_on(pairs, tmp_path):
    out, away = tmp_path / "run", tmp_path / "away"
    assert pretrain("--data", pairs, "--out", out, "--steps", 4).exit_code == 0
    saved = (out / "last.safetensors").read_bytes()
    for gone, words in (
        (pairs, ["pairs: no such folder of pairs"]),
        (pairs / "b.h5", ["not the pairs that this run was begun with", "bring those back"]),
    ):
        shutil.move(gone, away)
        one_line_error(pretrain("--out", out, "--resume", "--steps", 6), *words)
        shutil.move(away, gone)
    assert (out / "last.safetensors").read_bytes() == saved
    result = pretrain("--out", out, "--resume", "--steps", 6, "--json")
    assert json.loads(result.stdout)["steps"] == 6


def make_older(path):
    """Bring a shard to the first schema, which knew neither rendered masks nor truth."""
    newer = path.rename(path.with_suffix(".newer"))
    names = h5py.enum_dtype({"none": 0, "detector": 1, "motion": 2, "box": 3}, basetype="u1")
    with h5py.File(newer) as new, h5py.File(path, "w") as file:
        new.copy("sources", file)
        for name in set(new) - {"sources"}:
            file.create_dataset(name, data=new[name][()], dtype=names if name == "mask_kind" else new[name].dtype)
        file.attrs.update(new.attrs)
        file.attrs["schema_version"] = 1
    newer.unlink()


@pytest.fixture
def mixed(tmp_path):
    """Folders of shards: of the first schema; of the newest without masks; and with truth, of two sizes."""
    old, bare, generated = (tmp_path / name for name in ("old", "bare", "generated"))
    rendered = {"mask_kind": "rendered"}
    none = {"mask_kind": "none", "mask": np.zeros((64, 64), np.bool_)}
    records = {
        old: [pair(k) for k in range(8)],
        bare: [pair(k, image1=picture(2 * k, **none), image2=picture(2 * k + 1, **none)) for k in range(8, 16)],
        generated: [
            pair(
                k,
                image1=picture(2 * k, truth=truth(2 * k), **rendered),
                image2=picture(2 * k + 1, truth=truth(2 * k + 1), **rendered),
            )
            for k in range(16, 24)
        ],
    }
    for folder, those in records.items():
        write_shard(folder / "pairs.h5", those, [source(folder.name)], truth=TRUTH if folder == generated else None)
    make_older(old / "pairs.h5")
    write_pairs(generated / "larger.h5", count=8, clips=2)
    return [word for folder in records for word in ("--data", folder)]


@pytest.mark.parametrize("words", [[], ["task.augment_on_device=true"]])
def test_shards_of_every_schema_train_together_with_and_without_masks_and_truth(mixed, tmp_path, words):
    sets = [word for text in words for word in ("--set", text)]
    result = pretrain(*mixed, "--out", tmp_path / "run", "--steps", 6, "--json", *sets)
    assert result.exit_code == 0, result.output
    data = json.loads(result.stdout)["data"]
    assert data["training"]["pairs"] + data["heldout"]["pairs"] == 32
    assert [shard[:2] for shard in data["shards"]] == [
        ["pairs.h5", 8],
        ["pairs.h5", 8],
        ["larger.h5", 8],
        ["pairs.h5", 8],
    ]


def test_one_shard_of_a_newer_schema_among_others_is_refused_by_name(mixed, tmp_path):
    with h5py.File(tmp_path / "bare" / "pairs.h5", "r+") as file:
        file.attrs["schema_version"] = 99
    result = pretrain(*mixed, "--out", tmp_path / "run", "--steps", 6)
    one_line_error(result, "bare/pairs.h5: has schema 99", "update humanpt")
    assert not (tmp_path / "run" / "last.safetensors").exists()
