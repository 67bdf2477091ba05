import argparse
import functools
import os
import pathlib

import pytest
import torch
from safetensors.torch import save_file

from humanpt.engine.weight_files import read_weight_file, sha256
from humanpt.errors import CheckpointError

WEIGHTS = {"a.weight": torch.ones(2, 3), "a.bias": torch.zeros(2)}


class Malice:
    """A pickle that runs a command on being read."""

    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


def refused(path, *parts):
    with pytest.raises(CheckpointError) as error:
        read_weight_file(path)
    line = str(error.value)
    assert line.startswith(str(path))
    assert "\n" not in line
    for part in parts:
        assert part in line


def same(read):
    assert read.keys() == WEIGHTS.keys()
    assert all(torch.equal(read[name], value) for name, value in WEIGHTS.items())


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("key", ["model", "state_dict", None])
@pytest.mark.parametrize("wrapper", ["", "module.", "module._orig_mod."])
def test_weights_are_found_under_any_key_and_wrapper(tmp_path, zipped, key, wrapper):
    weights = {f"{wrapper}{name}": value for name, value in WEIGHTS.items()}
    path = tmp_path / "weights.pth"
    torch.save({key: weights, "epoch": 3} if key else weights, path, _use_new_zipfile_serialization=zipped)
    same(read_weight_file(path).weights)


def test_safetensors_are_read_with_their_texts(tmp_path):
    save_file(WEIGHTS, tmp_path / "weights.safetensors", {"made": "here"})
    read = read_weight_file(tmp_path / "weights.safetensors")
    same(read.weights)
    assert read.saved_with == {"made": "here"}


def test_settings_in_a_namespace_are_read_as_a_dictionary(tmp_path):
    path = tmp_path / "weights.pth"
    torch.save({"model": WEIGHTS, "args": argparse.Namespace(model="Net(depth=2)", lr=0.1), "epoch": 3}, path)
    assert read_weight_file(path).saved_with == {"args": {"model": "Net(depth=2)", "lr": 0.1}, "epoch": 3}


@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_a_pickle_is_named_and_never_run(tmp_path, zipped):
    path, trace = tmp_path / "weights.pth", tmp_path / "it-ran"
    contents = {"model": WEIGHTS, "extra": Malice(f"touch {trace}")}
    torch.save(contents, path, _use_new_zipfile_serialization=zipped)
    refused(path, "system", "nothing in it was run")
    assert not trace.exists()


@pytest.mark.parametrize(
    ("contents", "part"),
    [
        (torch.nn.Linear(1, 1), "torch.nn.modules.linear.Linear"),
        ({"model": WEIGHTS, "norm": functools.partial(print)}, "functools.partial"),
        ({"model": WEIGHTS, "out": pathlib.PurePosixPath("x")}, "PurePosixPath"),
        ([torch.ones(1)], "list"),
        ({"epoch": 3}, "no weights"),
    ],
    ids=["module", "partial", "path", "list", "empty"],
)
def test_what_is_no_plain_weights_is_refused(tmp_path, contents, part):
    torch.save(contents, tmp_path / "weights.pth")
    refused(tmp_path / "weights.pth", part)


@pytest.mark.parametrize(
    "odd", [torch.ones(2, dtype=torch.complex64), torch.ones(2, device="meta")], ids=["complex", "meta"]
)
def test_weights_that_are_no_plain_numbers_are_refused_by_name(tmp_path, odd):
    torch.save({"model": WEIGHTS | {"last.odd": odd}}, tmp_path / "weights.pth")
    refused(tmp_path / "weights.pth", "last.odd", "plain numbers")


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("share", [0.0, 0.01, 0.4, 0.95])
def test_a_file_cut_short_is_refused(tmp_path, zipped, share):
    path = tmp_path / "weights.pth"
    torch.save({"model": WEIGHTS}, path, _use_new_zipfile_serialization=zipped)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    refused(path)


def test_a_text_a_folder_and_nothing_are_refused(tmp_path):
    (tmp_path / "notes.pth").write_text("these are notes, and rather long ones")
    refused(tmp_path / "notes.pth", "no file of weights")
    refused(tmp_path, "no such file")
    refused(tmp_path / "none.pth", "no such file")


def test_the_checksum_is_that_of_the_bytes(tmp_path):
    (tmp_path / "abc").write_bytes(b"abc")  # the known answer of FIPS 180-2, appendix B.1
    assert sha256(tmp_path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
