"""mkpairs over several machines: what it leaves is what one machine leaves, also when a machine goes away."""

import dataclasses
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from humanpt.cli.app import app
from humanpt.commands import mkpairs, parts_on_ray
from humanpt.commands.from_clips import ClipMaker
from humanpt.commands.out_folder import prepare_share
from humanpt.commands.parts import Plan, Share
from humanpt.config import override
from humanpt.data.harvest import HarvestConfig
from humanpt.data.shards import verify
from humanpt.engine.report import Silent
from humanpt.errors import ConfigError, InputError, OutputError
from tests.scenes import figure_clip

ROOT = Path(__file__).parents[2]
SPREAD = mkpairs.MkpairsConfig(workers=1, shard_bytes=60_000)  # a few clips to a shard
HARVEST = override(HarvestConfig(detector="motion"), ["pairs.min_size=48", "pairs.min_motion=0.02"])


@pytest.fixture(scope="module")
def maker(tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos")
    for k in range(5):
        figure_clip(folder / f"walk{k}.mp4", seed=k, count=40)
    return ClipMaker(inputs=[folder], config=HARVEST)


@pytest.fixture(scope="module")
def alone(maker, tmp_path_factory):
    """What one machine makes of them."""
    out = tmp_path_factory.mktemp("alone") / "pairs"
    mkpairs.run(maker, out, SPREAD, Silent())
    return out


def content(out):
    """Digest of every shard, and the summary without times and places."""
    timed = ("seconds", "frames_per_second", "out", "preview")
    summary = json.loads((out / "summary.json").read_text())
    summary = {key: value for key, value in summary.items() if key not in timed}
    summary["per_part"] = [{k: v for k, v in part.items() if k != "seconds"} for part in summary["per_part"]]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in out.glob("*.h5")}, summary


def test_shares_joined_are_what_one_machine_makes(maker, alone, tmp_path):
    out = tmp_path / "pairs"
    left = [mkpairs.run_share(maker, out, SPREAD, Silent(), Share(index=i, count=3))["missing"] for i in (2, 3, 1)]
    assert left == [3, 2, 0]
    assert not (out / "summary.json").exists()
    mkpairs.run(maker, out, SPREAD, Silent(), resume=True)
    assert content(out) == content(alone)
    assert not (out / ".mkpairs").exists()
    with pytest.raises(OutputError, match="is complete"):
        mkpairs.run_share(maker, out, SPREAD, Silent(), Share(index=1, count=3))
    assert not (out / ".mkpairs").exists()


def test_joining_makes_what_a_share_that_died_left(maker, alone, tmp_path):
    out = tmp_path / "pairs"
    mkpairs.run_share(maker, out, SPREAD, Silent(), Share(index=1, count=2))
    mkpairs.run(maker, out, SPREAD, Silent(), resume=True)
    assert content(out) == content(alone)


SHARE = """
import sys
from pathlib import Path
from humanpt.commands import mkpairs
from humanpt.commands.from_clips import ClipMaker
from humanpt.commands.parts import Share
from humanpt.engine.report import Silent
from tests.commands.test_mkpairs_machines import HARVEST, SPREAD
if __name__ == "__main__":
    folder, out, share = sys.argv[1:]
    mkpairs.run_share(
        ClipMaker(inputs=[Path(folder)], config=HARVEST), Path(out), SPREAD, Silent(), Share.parse(share)
    )
"""


def test_shares_made_at_once_and_one_killed_tear_nothing(maker, alone, tmp_path):
    out, script = tmp_path / "pairs", tmp_path / "share.py"
    script.write_text(SHARE)
    words = [sys.executable, str(script), str(maker.inputs[0]), str(out)]
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    both = [subprocess.Popen([*words, f"{i}/2"], env=env) for i in (1, 2)]
    until = time.monotonic() + 60
    while not list((out / ".mkpairs").glob("0*.json")) and time.monotonic() < until:
        time.sleep(0.01)
    both[1].send_signal(signal.SIGKILL)
    assert [process.wait(60) for process in both] == [0, -signal.SIGKILL]
    mkpairs.run(maker, out, SPREAD, Silent(), resume=True)
    assert content(out) == content(alone)


def test_every_part_is_in_exactly_one_share():
    shares = [Share(index=i, count=4).of(10) for i in (1, 2, 3, 4)]
    assert sorted(number for share in shares for number in share) == list(range(10))
    assert not Share(index=4, count=4).of(2)


@pytest.mark.parametrize("text", ["0/3", "4/3", "1", "a/b", "1/0", "-1/2", "1/2/3"])
def test_a_part_that_is_none_is_refused(text):
    with pytest.raises(ConfigError, match="--part is"):
        Share.parse(text)


def test_shares_of_other_inputs_or_settings_are_refused(maker, tmp_path):
    out, share = tmp_path / "pairs", Share(index=1, count=2)
    plan = Plan.of(maker, maker.parts(), out, 1)
    prepare_share(plan, plan.promise(1), ("summary.json",), share)
    with pytest.raises(OutputError, match="begun with other settings"):
        prepare_share(plan, plan.promise(2), ("summary.json",), Share(index=2, count=2))
    fewer = Plan.of(maker, maker.parts()[1:], out, 1)
    with pytest.raises(OutputError, match="begun with other clips"):
        prepare_share(fewer, fewer.promise(1), ("summary.json",), Share(index=2, count=2))


def test_a_share_does_not_write_among_other_files(maker, tmp_path):
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(OutputError, match="holds no interrupted run"):
        mkpairs.run_share(maker, tmp_path, SPREAD, Silent(), Share(index=1, count=2))
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_ray_that_is_not_installed_is_one_line(maker, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigError, match=r"pip install 'humanpt\[ray\]'"):
        mkpairs.run(maker, tmp_path / "pairs", SPREAD, Silent(), ray="auto")


class Board:
    """Takes what a part tells, in the place of Ray's."""

    def __init__(self):
        self.told = 0
        self.tell = self

    def remote(self, number, amount):
        self.told += amount


def test_a_machine_without_the_input_or_of_another_version_stops_all(maker, tmp_path):
    part = maker.parts()[0]
    errand = parts_on_ray.Errand(maker=maker, number=0, part=part, folder=str(Path.cwd()), version="0")
    assert "install one version" in parts_on_ray.make_there(errand, Board()).stop
    away = dataclasses.replace(part, content=dataclasses.replace(part.content, path=tmp_path / "away.mp4"))
    errand = dataclasses.replace(errand, part=away, version=mkpairs.__version__)
    assert "away.mp4: is not on" in parts_on_ray.make_there(errand, Board()).stop


def test_a_part_made_on_another_machine_brings_back_its_shard_or_its_problem(maker, tmp_path):
    part, board = maker.parts()[0], Board()
    errand = parts_on_ray.Errand(maker=maker, number=0, part=part, folder=str(Path.cwd()), version=mkpairs.__version__)
    made = parts_on_ray.make_there(errand, board)
    assert made.result.pairs > 0
    assert made.shard.startswith(b"\x89HDF")
    assert board.told == 40
    text = tmp_path / "text.mp4"
    text.write_text("I am no video")
    bad = dataclasses.replace(part, content=dataclasses.replace(part.content, path=text))
    made = parts_on_ray.make_there(dataclasses.replace(errand, part=bad), board)
    assert "not a video" in made.result.problem
    assert made.shard is None
    assert made.stop is None


class TwoMachines:
    """A Ray cluster of two nodes on this machine: the first has no processor to lend, so that all work is elsewhere."""

    def __init__(self):
        cluster_utils = pytest.importorskip("ray.cluster_utils")
        self.cluster = cluster_utils.Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
        self.nodes = [self.cluster.add_node(num_cpus=1), self.cluster.add_node(num_cpus=1)]

    def kill(self, node):
        self.cluster.remove_node(node, allow_graceful=False)


@pytest.fixture
def machines():
    pytest.importorskip("ray")
    machines = TwoMachines()
    yield machines
    machines.cluster.shutdown()


class Telling(Silent):
    """Remembers progress, and calls somebody when the first part is done."""

    def __init__(self, call):
        self.call = call
        self.amount = 0

    def advance(self, amount=1, **figures):
        self.amount += amount
        if figures.get("clips") and self.call:
            self.call, call = None, self.call
            call()


@pytest.mark.slow
def test_a_node_killed_in_the_middle_changes_nothing(maker, alone, tmp_path, machines):
    out = tmp_path / "pairs"
    report = Telling(lambda: machines.kill(machines.nodes[1]))
    mkpairs.run(maker, out, SPREAD, report, ray=machines.cluster.address)
    assert report.call is None
    assert content(out) == content(alone)


@pytest.mark.slow
def test_an_interrupted_run_on_ray_goes_on_with_or_without_it(maker, alone, tmp_path, machines):
    out = tmp_path / "pairs"

    def interrupt():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        mkpairs.run(maker, out, SPREAD, Telling(interrupt), ray=machines.cluster.address)
    assert 0 < len(list((out / ".mkpairs").glob("0*.json"))) < 5
    mkpairs.run(maker, out, SPREAD, Silent(), resume=True)
    assert content(out) == content(alone)


@pytest.mark.slow
def test_ctrl_c_on_ray_leaves_whole_parts_and_the_run_goes_on(maker, tmp_path, machines):
    words = ["mkpairs", str(maker.inputs[0]), "--detector", "motion", "--set", "pairs.min_size=48"]
    words += ["--set", "pairs.min_motion=0.02"]
    out, whole = tmp_path / "pairs", tmp_path / "whole"
    command = [sys.executable, "-m", "humanpt", *words, "--out", str(out), "--ray", machines.cluster.address]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        while not list((out / ".mkpairs").glob("0*.json")):
            assert process.poll() is None, process.communicate()
            time.sleep(0.005)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=120)
    assert process.returncode == 130, said
    assert "Traceback" not in said
    assert "the same command with --resume goes on from here" in said
    done = [path for path in (out / ".mkpairs").iterdir() if re.fullmatch(r"0.*\.h5|0.*\.json", path.name)]
    notes = [path for path in done if path.suffix == ".json"]
    assert 0 < len(notes) < 5
    assert all(json.loads(path.read_text())["pairs"] for path in notes)
    assert all(verify(path).ok for path in done if path.suffix == ".h5")
    for words_of_one in ([*words, "--out", str(out), "--resume"], [*words, "--out", str(whole)]):
        result = CliRunner().invoke(app, [*words_of_one, "--workers", "1"])
        assert result.exit_code == 0, result.output
    assert content(out) == content(whole)
    assert not (out / ".mkpairs").exists()


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1", "nonsense"])
def test_an_address_without_a_cluster_is_one_line(maker, tmp_path, address):
    pytest.importorskip("ray")
    with pytest.raises(InputError, match=f"no Ray cluster at {address} "):
        mkpairs.run(maker, tmp_path / "pairs", SPREAD, Silent(), ray=address)
