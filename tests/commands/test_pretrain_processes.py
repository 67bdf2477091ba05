"""`humanpt pretrain` in several processes: stopped, killed or short of disk, and gone on with in another number."""

import json
import os
import re
import resource
import signal
import subprocess
import sys
import time

import pytest
from safetensors.torch import load_file

from tests.commands.processes import start as command_processes
from tests.engine.processes import ROOT, finish
from tests.scenes import write_pairs

SMALL = ["--recipe", "tiny", "--batch-size", "8", "--precision", "fp32", "--device", "cpu", "--json"]
SMALL += ["--set", "loop.log_every=2", "--set", "loop.save_every=3", "--set", "loop.tensorboard=false"]
SMALL += ["--set", "workers=0", "--set", "probe.pictures=0", "--set", "attention=fused"]
FOREVER = ["--steps", 100_000]


def start(words, size=1):
    """The processes of a run."""
    return command_processes(["pretrain", *SMALL, *words], size)


def step_of(out):
    """The step of the newest checkpoint, which may be replaced meanwhile; 0 before the first."""
    try:
        raw = (out / "last.safetensors").read_bytes()
    except FileNotFoundError:
        return 0
    return int(json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])["__metadata__"]["step"])


def wait_for_a_save(out, processes):
    while not step_of(out):
        assert all(process.running() for process in processes), finish(processes)
        time.sleep(0.005)


def error_lines(errors):
    """The lines that tell a user what went wrong, of all processes."""
    assert "Traceback" not in "".join(errors)
    return [line for text in errors for line in text.splitlines() if line.startswith("error: ")]


def goes_on(out, *words, size=1):
    """See that a run goes on from its last checkpoint, for a few steps, and logs every step once."""
    assert [path.name for path in out.glob("*.safetensors")] == ["last.safetensors"]
    end = step_of(out) + 3
    codes, said, errors = finish(start(["--out", out, "--resume", "--steps", end, *words], size))
    assert codes == [0] * size, errors
    assert json.loads(said[0])["steps"] == end
    steps = [json.loads(line)["step"] for line in (out / "log.jsonl").read_text().splitlines()]
    assert steps == sorted(set(steps))
    assert steps[-1] == end


pytestmark = pytest.mark.usefixtures("nobody_left")


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "pairs"
    folder.mkdir()
    write_pairs(folder / "pairs-00000.h5", count=30, clips=3)
    return folder


def test_two_processes_stop_at_a_signal_with_75_and_one_goes_on(pairs, tmp_path):
    out = tmp_path / "run"
    processes = start(["--data", pairs, "--out", out, *FOREVER], 2)
    wait_for_a_save(out, processes)
    os.kill(processes[1].pid, signal.SIGUSR1)
    codes, said, errors = finish(processes)
    assert codes == [75, 75], errors
    stopped = json.loads(said[0])
    assert said[1] == ""
    assert stopped["interrupted"]
    assert stopped["steps"] == step_of(out)
    goes_on(out)


def test_a_full_disk_ends_both_processes_with_one_line_and_the_run_goes_on(pairs, tmp_path):
    out = tmp_path / "run"
    processes = start(["--data", pairs, "--out", out, *FOREVER], 2)
    wait_for_a_save(out, processes)
    resource.prlimit(processes[0].pid, resource.RLIMIT_FSIZE, (100_000, 100_000))  # far less than a checkpoint
    codes, _, errors = finish(processes)
    assert codes == [2, 1]
    (line,) = error_lines(errors)
    assert "last.safetensors: cannot be written (File too large); what was finished before is intact; make room" in line
    goes_on(out)


@pytest.mark.parametrize(
    ("parallel", "size"), [("fsdp", 1), pytest.param("ddp", 2, marks=pytest.mark.slow)], ids=["fsdp then one", "ddp"]
)
def test_a_process_killed_ends_the_other_with_one_line_and_the_run_goes_on(pairs, tmp_path, parallel, size):
    out = tmp_path / "run"
    processes = start(["--data", pairs, "--out", out, *FOREVER, "--set", f"loop.parallel={parallel}"], 2)
    wait_for_a_save(out, processes)
    os.kill(processes[1].pid, signal.SIGKILL)
    codes, _, errors = finish(processes)
    assert codes == [2, -signal.SIGKILL]
    (line,) = error_lines(errors)
    assert line.startswith("error: another process of this run ended without a word")
    goes_on(out, size=size)


@pytest.mark.slow
def test_the_first_process_killed_ends_the_other_and_the_run_goes_on(pairs, tmp_path):
    out = tmp_path / "run"
    processes = start(["--data", pairs, "--out", out, *FOREVER], 2)
    wait_for_a_save(out, processes)
    os.kill(processes[0].pid, signal.SIGKILL)
    codes, _, errors = finish(processes)
    assert codes == [-signal.SIGKILL, 1]
    assert not error_lines(errors)  # it cannot know whether the first one had its say
    goes_on(out)


def test_a_run_killed_in_one_process_ends_in_two_that_share_its_network_as_if_never_killed(pairs, tmp_path):
    one, whole = tmp_path / "killed", tmp_path / "whole"
    (process,) = start(["--data", pairs, "--out", one, *FOREVER])
    wait_for_a_save(one, [process])
    os.kill(process.pid, signal.SIGKILL)
    finish([process])
    goes_on(one, "--set", "loop.parallel=fsdp", size=2)
    codes, _, errors = finish(start(["--data", pairs, "--out", whole, "--steps", step_of(one)]))
    assert codes == [0], errors
    first, second = (load_file(out / "last.safetensors") for out in (one, whole))
    assert first.keys() == second.keys()
    for name in first:
        if name.startswith("model."):
            assert (first[name] - second[name]).abs().max() < 1e-5, name


@pytest.mark.slow
@pytest.mark.parametrize("how", ["killed", "disk full"])
def test_torchrun_ends_when_a_process_fails_with_one_line_and_the_run_goes_on(pairs, tmp_path, how):
    out = tmp_path / "run"
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command += ["-m", "humanpt", "pretrain", *SMALL, "--data", str(pairs), "--out", str(out), "--steps", "100000"]
    own = {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        command, cwd=ROOT, env=os.environ | own, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    try:
        while not step_of(out):
            assert process.poll() is None, process.communicate()
            time.sleep(0.01)
        first = int(re.search(r"process (\d+)", (out / ".lock").read_text())[1])
        if how == "killed":
            os.kill(first, signal.SIGKILL)
        else:
            resource.prlimit(first, resource.RLIMIT_FSIZE, (100_000, 100_000))
        _, errors = process.communicate(timeout=120)
    finally:
        process.terminate()  # and its children with it
        process.wait()
    assert process.returncode == 1
    words = "another process of this run ended" if how == "killed" else "what was finished before is intact"
    lines = [line for line in errors.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, errors
    assert words in lines[0]
    goes_on(out)
