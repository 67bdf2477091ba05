"""Starting the toy run in several processes, as torchrun or Slurm would, by a server that has loaded torch before."""

import multiprocessing
import os
import socket
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["tests.engine.toy_run"])


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def be_the_program(words, variables, said):
    """In a child: what the program would do from a shell, with its own session and its words in files."""
    os.setsid()
    os.environ.update(variables)
    for number, name in ((1, "out"), (2, "errors")):
        os.dup2(os.open(f"{said}/{name}", os.O_WRONLY | os.O_CREAT), number)
    from tests.engine.toy_run import main

    sys.exit(main(words))


class Program:
    """One process of a run."""

    all = []  # that were ever started

    def __init__(self, words, variables):
        self.said = Path(tempfile.mkdtemp())
        self.process = FORKS.Process(target=be_the_program, args=(words, variables, str(self.said)))
        self.process.start()
        self.pid = self.process.pid
        Program.all.append(self)

    def running(self):
        return self.process.is_alive()

    def kill(self):
        if self.running():
            self.process.kill()
            self.process.join()

    def finish(self):
        """Its exit code, standard output and standard error, once it has ended."""
        self.process.join(60)
        self.kill()
        return self.process.exitcode, (self.said / "out").read_text(), (self.said / "errors").read_text()


def start(words, size=1):
    """The processes of a run."""
    words, port = [str(word) for word in words], free_port()
    shared = {"WORLD_SIZE": str(size), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    own = [shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)} if size > 1 else {} for rank in range(size)]
    return [Program(words, variables) for variables in own]


def finish(processes):
    """Exit codes, standard outputs and standard errors."""
    codes, outs, errors = zip(*(process.finish() for process in processes), strict=True)
    return list(codes), list(outs), list(errors)


def run(words, size=1):
    return finish(start(words, size))


def wait_for(path, processes):
    while not path.exists():
        assert all(process.running() for process in processes), finish(processes)
        time.sleep(0.002)
