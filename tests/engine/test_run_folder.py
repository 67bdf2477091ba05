"""Who may write into a folder, and what a lock leaves behind."""

import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from humanpt.engine.run_folder import one_of_several, sole_writer
from humanpt.errors import OutputError

ROOT = Path(__file__).parents[2]


def test_one_writer_or_several_shares_and_the_refused_hears_of_whom(tmp_path):
    out = tmp_path / "pairs"
    with one_of_several(out, "1/2"), one_of_several(out, "2/2"):
        with pytest.raises(OutputError, match=rf"part 1/2 \(process {os.getpid()} on .* writes there; wait"):
            one_of_several(out, "1/2").__enter__()
        with pytest.raises(OutputError, match=r"part ./2 .* writes there; wait"):
            sole_writer(out).__enter__()
    with sole_writer(out), pytest.raises(OutputError, match=r"a command .* writes there; wait"):
        one_of_several(out, "1/2").__enter__()
    assert not out.exists()


def test_a_process_may_take_its_folder_again_and_holds_it_to_the_end(tmp_path):
    with sole_writer(tmp_path):
        with sole_writer(tmp_path):
            pass
        with pytest.raises(OutputError, match="writes there"):
            one_of_several(tmp_path, "1/1").__enter__()
    assert not list(tmp_path.iterdir())


def test_a_folder_that_was_there_or_was_written_to_stays(tmp_path):
    with sole_writer(tmp_path), sole_writer(tmp_path / "run"):
        (tmp_path / "run" / "file").touch()
    assert [path.name for path in tmp_path.rglob("*")] == ["run", "file"]


def test_locks_of_the_killed_are_taken_over_and_go(tmp_path):
    for name in (".lock", ".lock-1-of-2"):
        (tmp_path / name).write_text("part 1/2 (process 1 on a machine)")
    with sole_writer(tmp_path):
        pass
    assert not list(tmp_path.iterdir())


def test_a_file_system_without_locks_is_written_without(tmp_path, monkeypatch):
    def no_locks(descriptor, how):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with sole_writer(tmp_path / "pairs"):
        assert (tmp_path / "pairs").is_dir()


DIES_BEFORE_ITS_WORKER = """
import os, signal, sys
from pathlib import Path
from humanpt.engine.run_folder import sole_writer
begun, tell = os.pipe()
with sole_writer(Path(sys.argv[1])):
    if not os.fork():
        os.write(tell, b".")
        sys.stdin.read()
        os._exit(0)
    os.read(begun, 1)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_worker_that_outlives_its_process_holds_nothing(tmp_path):
    words = [sys.executable, "-c", DIES_BEFORE_ITS_WORKER, str(tmp_path)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, cwd=ROOT) as process:
        assert process.wait(60) == -signal.SIGKILL
        assert (tmp_path / ".lock").exists()
        with sole_writer(tmp_path):
            pass
