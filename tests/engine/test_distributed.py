"""Several processes equal one, whatever happens to them."""

import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest
import torch
from safetensors.torch import load_file

from humanpt.engine.checkpoint import read_header
from humanpt.engine.distributed import ALONE, World, join, world_of
from humanpt.errors import ConfigError
from tests.engine.processes import ROOT, finish, run, start, wait_for
from tests.engine.toy_task import log_of

FOREVER = ["--loop", json.dumps({"steps": 1_000_000, "save_every": 3})]

pytestmark = pytest.mark.usefixtures("nobody_left")


def words(out, resume=False, **loop):
    return [out, "--loop", json.dumps(loop), *(["--resume"] if resume else [])]


def done(result):
    codes, _, errors = result
    assert set(codes) == {0}, errors


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """A run of twelve steps in one process, with the positions that it saw."""
    out = tmp_path_factory.mktemp("alone") / "run"
    done(run([*words(out, clip_norm=2.0, eval_every=5, eval_first=True), "--seen"]))
    return out


def same_training(one, other):
    """Whether two runs have the same weights, moments, figures and lines, but for the order of sums."""
    a, b = load_file(one / "last.safetensors"), load_file(other / "last.safetensors")
    names = [name for name in a if not name.startswith("random")]
    assert a.keys() == b.keys()
    torch.testing.assert_close([a[n] for n in names], [b[n] for n in names], rtol=1e-4, atol=1e-6)
    ours, theirs = log_of(one), log_of(other)
    assert [line["step"] for line in ours] == [line["step"] for line in theirs]
    for line, match in zip(ours, theirs, strict=True):
        line.pop("seldom", None), match.pop("seldom", None)  # of a batch's first sample, so other batches say other
        assert line == pytest.approx(match, rel=1e-4)


@pytest.mark.parametrize(
    ("size", "how"),
    [(2, {}), (4, {"accumulate": 1}), (2, {"parallel": "fsdp"})],
    ids=["ddp", "ddp of four, one batch each", "fsdp"],
)
def test_a_step_is_the_same_however_it_is_shared(alone, tmp_path, size, how):
    done(run(words(tmp_path / "run", clip_norm=2.0, eval_every=5, eval_first=True, **how), size))
    same_training(alone, tmp_path / "run")


@pytest.mark.parametrize(
    ("first", "before", "then", "after"), [(2, "ddp", 1, "ddp"), (1, "ddp", 2, "fsdp"), (2, "fsdp", 2, "ddp")]
)
def test_a_run_goes_on_in_another_number_of_processes(alone, tmp_path, first, then, before, after):
    out = tmp_path / "run"
    how = {"clip_norm": 2.0, "eval_every": 5, "eval_first": True, "log_every": 2}
    done(run([*words(out, steps=6, parallel=before, **how), "--seen"], first))
    done(run([*words(out, resume=True, parallel=after, **how), "--seen"], then))
    # The first part ended at step 6 and measured there; take that measurement out of the comparison.
    log = [{k: v for k, v in line.items() if not (line["step"] == 6 and k.startswith("held"))} for line in log_of(out)]
    (out / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in log))
    same_training(alone, out)
    assert positions(out) == positions(alone) == list(range(12 * 8))


def positions(out):
    """The stream positions that any process of a run read, in order."""
    lines = [line for path in out.parent.glob(f"{out.name}.seen.*") for line in path.read_text().splitlines()]
    return sorted(int(line.split()[0]) for line in lines)[: 12 * 8]


@pytest.mark.parametrize(
    ("name", "code", "size"), [("SIGTERM", 75, 1), ("SIGTERM", 75, 2), ("SIGUSR1", 75, 2), ("SIGINT", 0, 2)]
)
def test_a_signal_to_one_process_saves_and_ends_all_at_the_same_step(tmp_path, name, code, size):
    processes = start([tmp_path / "run", *FOREVER, "--workers", "1"], size)
    wait_for(tmp_path / "run" / "last.safetensors", processes)
    os.killpg(processes[-1].pid, getattr(signal, name))  # with its workers, as torchrun does
    codes, out, errors = finish(processes)
    assert codes == [code] * size, errors
    told = json.loads(out[0])
    assert told["stopped_by"] == name
    assert read_header(tmp_path / "run" / "last.safetensors").step == told["steps"]


def test_torchrun_passes_slurms_warning_on_and_the_run_is_saved(tmp_path):
    out = tmp_path / "run"
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command += ["--signals-to-handle", "SIGTERM,SIGINT,SIGUSR1"]
    own = {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [*command, "-m", "tests.engine.toy_run", str(out), *FOREVER],
        cwd=ROOT,
        env=os.environ | own,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        while not (out / "last.safetensors").exists():
            assert process.poll() is None, process.communicate()
            time.sleep(0.01)
        process.send_signal(signal.SIGUSR1)
        said, _ = process.communicate(timeout=60)
    told = json.loads(said.splitlines()[-1])
    assert told["stopped_by"] == "SIGUSR1"
    assert read_header(out / "last.safetensors").step == told["steps"]


@pytest.mark.parametrize(
    ("how", "rank", "word"),
    [
        ("error", 0, "error: pairs/03.h5: row 7 is damaged; write it again"),
        ("error", 1, "error: pairs/03.h5: row 7 is damaged; write it again"),
        ("loss", 1, "error: step 2: the "),
        ("kill", 1, "error: another process of this run ended without a word"),
    ],
)
def test_what_fails_in_one_process_ends_all_with_one_line(tmp_path, how, rank, word):
    codes, _, errors = run([*words(tmp_path / "run", save_every=1), "--fails", rank, how], 2)
    assert 0 not in codes
    lines = [line for text in errors for line in text.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, errors
    assert lines[0].startswith(word)
    assert "Traceback" not in "".join(errors)
    assert read_header(tmp_path / "run" / "last.safetensors").step == 1


def test_the_others_end_when_the_first_process_is_killed(tmp_path):
    codes, _, errors = run([*words(tmp_path / "run", save_every=1), "--fails", 0, "kill"], 2)
    assert codes == [-signal.SIGKILL, 1]
    assert "Traceback" not in "".join(errors)
    assert read_header(tmp_path / "run" / "last.safetensors").step == 1


def step_at(out):
    """The step of a checkpoint that may be replaced meanwhile: of the one that was there when it was opened."""
    raw = (out / "last.safetensors").read_bytes()
    return int(json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])["__metadata__"]["step"])


def test_processes_killed_at_any_moment_lose_only_the_steps_since_the_last_save(alone, tmp_path):
    out, reached = tmp_path / "run", 0
    for attempt in range(2):
        resume = ["--resume"] if attempt else []
        processes = start([out, "--loop", json.dumps({"steps": 1_000_000, "save_every": 1}), *resume], 2)
        wait_for(out / "last.safetensors", processes)
        while step_at(out) <= reached:
            time.sleep(0.005)
        time.sleep(random.uniform(0, 0.1))
        os.kill(random.choice(processes).pid, signal.SIGKILL)
        codes, _, errors = finish(processes)
        assert -signal.SIGKILL in codes, errors
        steps = [line["step"] for line in log_of(out)]
        now = step_at(out)
        assert now > reached
        assert max(steps, default=0) <= now + 1
        reached = now


def test_a_second_command_on_the_same_run_is_refused(tmp_path):
    out = tmp_path / "run"
    processes = start([out, *FOREVER])
    wait_for(out / "last.safetensors", processes)
    codes, _, errors = run([out, *FOREVER, "--resume"])
    assert codes == [2]
    assert f"{out}: a command (process {processes[0].pid} on" in errors[0]
    assert "writes there" in errors[0]
    os.kill(processes[0].pid, signal.SIGKILL)
    finish(processes)
    steps = read_header(out / "last.safetensors").step
    done(run([out, "--loop", json.dumps({"steps": steps}), "--resume"]))  # the lock went with its process


def test_a_batch_that_the_processes_cannot_share_is_one_line(tmp_path):
    codes, _, errors = run(words(tmp_path / "run", batch_size=10), 2)
    assert codes == [2, 2]
    lines = "".join(errors).splitlines()
    assert [line for line in lines if line.startswith("error: ")] == [
        "error: batch_size is 10; it must be a multiple of 2 processes x 2 accumulated batches; choose another "
        "--batch-size, or start another number of processes"
    ]


def test_torchruns_variables_say_who_a_process_is():
    assert world_of({}) is ALONE
    assert world_of({"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1"}) == World(rank=5, size=8, local_rank=1)


@pytest.mark.parametrize(
    ("given", "part"),
    [
        ({"RANK": "0", "WORLD_SIZE": "2"}, "LOCAL_RANK"),
        ({"RANK": "a", "WORLD_SIZE": "2", "LOCAL_RANK": "0"}, "'a'"),
        ({"RANK": "2", "WORLD_SIZE": "2", "LOCAL_RANK": "0"}, "contradict"),
    ],
)
def test_variables_that_make_no_sense_are_one_line(given, part):
    with pytest.raises(ConfigError, match=part) as error:
        world_of(given)
    assert "\n" not in str(error.value)


def test_without_torchrun_a_process_is_alone_and_agrees_with_itself():
    with join({}) as world:
        assert (world.is_first, world.share("a"), world.gather(3), world.largest([1, 2])) == (True, "a", [3], [1, 2])
        assert not world.agree(False)
        with world.first_alone():
            pass
