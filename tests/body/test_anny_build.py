"""Building the compact files; a stand-in for the process that would take minutes, and (slow) the real thing."""

import os
import shutil
import sys
import time
from collections import namedtuple

import pytest
import torch
from torch.testing import assert_close

from humanpt.body import anny, anny_build, anny_convert, anny_files
from humanpt.body.anny import built_file, shipped_file
from humanpt.body.model import load_body_model
from humanpt.errors import InputError, OutputError
from humanpt.geometry.rotations import rotvec_to_rotmat
from tests.body.random_people import random_people

NAME = "anny-body-full"


class Steps:
    """A report that remembers."""

    def __init__(self):
        self.stages, self.steps = [], []

    def stage(self, name, total, unit):
        self.stages.append((name, total, unit))

    def advance(self, amount=1, **figures):
        self.steps += [amount] if amount else []

    def note(self, text):
        pass


@pytest.fixture
def cache(tmp_path, monkeypatch):
    folder = tmp_path / "cache"
    monkeypatch.setenv("HUMANPT_CACHE", str(folder))
    return folder


@pytest.fixture
def builder(tmp_path, monkeypatch):
    """Lets a shell script stand for Python in the building process; $3 is the model's name, $4 the file to write."""

    def stand_in(script):
        program = tmp_path / "builder"
        program.write_text("#!/bin/sh\n" + script)
        program.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(program))

    return stand_in


LEAVES_MUCH = f"""
mkdir -p "$ANNY_CACHE_DIR/v14"
echo chatter; echo chatter >&2
printf 12345 > "$ANNY_CACHE_DIR/read"; sleep 0.7
for file in load_data_1 build_model_data_2 build_compact_model_data_3; do echo x > "$ANNY_CACHE_DIR/v14/$file"; done
cp "{shipped_file("anny-body-small")}" "$4"
"""


def test_a_build_leaves_the_model_alone_and_says_how_far_it_is(cache, builder, capfd):
    builder(LEAVES_MUCH)
    report = Steps()
    model = load_body_model(NAME, report=report)
    assert len(model.canonical) == 1229
    assert [path.name for path in cache.rglob("*") if path.is_file()] == [built_file(NAME).name]
    assert not [path for path in built_file(NAME).parent.iterdir() if path.is_dir()]
    assert report.stages == [(f"building {NAME}, once", anny_build.TARGETS, "file")]
    assert report.steps == [5, anny_build.TARGETS - 5]
    assert capfd.readouterr() == ("", "")


def test_the_last_part_of_a_build_has_a_bar_of_its_own(cache, builder):
    builder(LEAVES_MUCH.replace("printf 12345", f"printf %{anny_build.TARGETS}s x"))
    report = Steps()
    load_body_model(NAME, report=report)
    assert [stage[0] for stage in report.stages] == [f"building {NAME}, once", f"packing {NAME}"]
    assert report.steps == [anny_build.TARGETS, 1]


def test_a_second_load_builds_nothing(cache, builder):
    builder(LEAVES_MUCH)
    load_body_model(NAME)
    builder("exit 1")
    assert len(load_body_model(NAME).canonical) == 1229


def test_a_failed_build_is_one_line_and_leaves_nothing(cache, builder):
    builder("echo Traceback; echo \"ModuleNotFoundError: No module named 'anny'\" >&2; exit 1")
    with pytest.raises(InputError, match=r"No module named 'anny'.*pip install 'humanpt\[anny\]'") as caught:
        load_body_model(NAME)
    assert "\n" not in str(caught.value)
    assert not [path for path in cache.rglob("*") if path.is_file()]


def test_a_build_that_is_killed_says_what_it_needs(cache, builder):
    builder("kill -9 $$")
    with pytest.raises(InputError, match="stopped by signal 9; it takes 2 GB of memory"):
        load_body_model(NAME)


def test_what_killed_builds_have_left_is_removed_after_an_hour(cache, builder):
    builder(LEAVES_MUCH)
    folder = built_file(NAME).parent
    for name, age in (("old", 7200), ("new", 60)):
        (folder / f".building-{name}").mkdir(parents=True)
        os.utime(folder / f".building-{name}", (time.time() - age,) * 2)
    load_body_model(NAME)
    assert [path.name for path in folder.glob(".*")] == [".building-new"]


def test_a_disk_that_fills_up_is_told_as_such(cache, builder):
    builder("echo 'OSError: [Errno 28] No space left on device' >&2; exit 1")
    with pytest.raises(OutputError, match="no room to build anny-body-full; make room or set HUMANPT_CACHE"):
        load_body_model(NAME)


def test_a_full_disk_is_told_before_the_work_begins(cache, builder, monkeypatch):
    builder("exit 1")
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage(10**9, 10**9, 10**7))
    with pytest.raises(OutputError, match=r"needs 1 GB for a while, 0.01 GB are free"):
        load_body_model(NAME)


def test_a_cache_that_cannot_be_written_is_one_line(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("HUMANPT_CACHE", str(tmp_path / "file"))
    with pytest.raises(OutputError, match=r"cannot keep anny-body-full there .*; set HUMANPT_CACHE"):
        load_body_model(NAME)


def test_what_is_there_is_listed(cache):
    assert anny.available() == {
        "anny-body": "in the package",
        "anny-body-small": "in the package",
        "anny-hand": "in the package",
        "anny-body-full": "built at first use",
    }


def test_a_built_model_is_listed_with_its_file(cache, builder):
    builder(LEAVES_MUCH)
    load_body_model(NAME)
    assert anny.available()[NAME] == f"built at {built_file(NAME)}"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["anny-hand", "anny-body", "anny-body-small"])
def test_shipped_models_equal_the_package_anny(name):
    """Needs the package; the first run builds its own cache, which takes minutes."""
    pytest.importorskip("anny")
    source = anny_convert.load_anny(anny_convert.RECIPES[name])
    model = load_body_model(name).double()
    shape, pose, _ = random_people(model, 20, dtype=torch.float64)
    axes = torch.from_numpy(anny_convert._HAND_AXES if name == "anny-hand" else anny_convert._BODY_AXES)
    turn = axes @ source.reference_bone_orientations[0].T
    theirs = torch.eye(4, dtype=torch.float64).repeat(20, pose.shape[1], 1, 1)
    theirs[..., :3, :3] = turn.T @ pose @ turn
    wanted = source(pose_parameters=theirs, phenotype_kwargs=shape)
    mesh = model(shape, pose, torch.zeros(1, 3, dtype=torch.float64))
    assert_close(mesh.vertices, wanted["vertices"] @ axes.T, atol=1e-5, rtol=0)
    assert_close(mesh.joints, wanted["bone_poses"][..., :3, 3] @ axes.T, atol=1e-6, rtol=0)


@pytest.mark.slow
def test_a_cached_model_equals_a_fresh_one(tmp_path):
    pytest.importorskip("anny")
    anny_convert.make("anny-hand", tmp_path / "hand.npz")
    fresh, cached = anny_files.read(tmp_path / "hand.npz"), anny_files.read(shipped_file("anny-hand"))
    assert fresh.layout.__dict__ == cached.layout.__dict__
    pose = rotvec_to_rotmat(torch.full((1, 21, 3), 0.1))
    zero = torch.zeros(1, 3)
    first, second = (anny.AnnyModel(file)(torch.full((1, 6), 0.6), pose, zero) for file in (fresh, cached))
    assert_close(first.vertices, second.vertices, atol=3e-6, rtol=0)
