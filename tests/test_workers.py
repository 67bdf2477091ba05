"""Jobs here are plain functions of this module: workers import them by name."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from humanpt.errors import InputError, OutputError
from humanpt.workers import Ended, Progress, run_jobs


def work(job, tell):
    if job == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if job == "bad":
        raise InputError("bad.mp4: no video")
    if job == "full":
        raise OutputError("out: the disk is full")
    tell(3)


def crash(job, tell):
    os._exit(7)


def linger(job, tell):
    Path(job).write_text(str(os.getpid()))
    tell(1)
    time.sleep(60)


def outcome(jobs, workers, work=work):
    events = list(run_jobs(work, jobs, workers, ["humanpt.errors"]))
    ended = {event.job: event.problem for event in events if isinstance(event, Ended)}
    return ended, sum(event.amount for event in events if isinstance(event, Progress))


@pytest.mark.parametrize("workers", [1, 3])
def test_a_worker_that_dies_costs_its_job_alone(workers):
    ended, done = outcome(["a", "die", "b", "bad", "c"], workers)
    assert ended == {
        "a": None,
        "b": None,
        "c": None,
        "die": "its worker process died (killed by SIGKILL)",
        "bad": "bad.mp4: no video",
    }
    assert done == 9


def test_an_exit_without_a_word_is_named():
    assert outcome(["a"], 1, crash)[0] == {"a": "its worker process died (exit code 7)"}


def test_trouble_with_the_output_ends_everything():
    with pytest.raises(OutputError, match="disk is full"):
        outcome(["full", "a"], 1)


def test_closing_the_iterator_ends_the_workers(tmp_path):
    jobs = run_jobs(linger, [str(tmp_path / "pid")], 1, ["humanpt.errors"])
    next(jobs)
    jobs.close()
    assert gone(int((tmp_path / "pid").read_text()))


def test_workers_end_with_a_parent_that_was_killed(tmp_path):
    code = f"""
from humanpt.workers import run_jobs
from tests.test_workers import linger
for event in run_jobs(linger, [{str(tmp_path / "pid")!r}], 1, ["humanpt.errors"]):
    print("running", flush=True)
"""
    root = Path(__file__).parents[1]
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, cwd=root) as parent:
        assert parent.stdout.readline() == b"running\n"
        parent.kill()
    assert gone(int((tmp_path / "pid").read_text()))


def gone(pid, patience=10.0):
    """Whether a process ends within a while."""
    until = time.monotonic() + patience
    while time.monotonic() < until:
        stat = Path(f"/proc/{pid}/stat")
        if not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "Z":
            return True
        time.sleep(0.05)
    return False
