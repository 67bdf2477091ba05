"""Starting `humanpt` in several processes, as torchrun would, by a server that has loaded torch and its commands."""

import os
import sys
import tempfile
from pathlib import Path

from tests.engine.processes import FORKS, Program, free_port

FORKS.set_forkserver_preload(
    ["tests.engine.toy_run", "humanpt.commands.pretrain", "humanpt.commands.finetune", "humanpt.recipes.finetune"]
)


def be_humanpt(words, variables, said):
    """In a child of a server that has loaded torch: what `humanpt` does from a shell, with its words in files."""
    os.setsid()
    os.environ.update(variables)
    for number, name in ((1, "out"), (2, "errors")):
        os.dup2(os.open(f"{said}/{name}", os.O_WRONLY | os.O_CREAT), number)
    import torch

    from humanpt.cli.app import main

    torch.set_num_threads(1)
    sys.argv = ["humanpt", *words]
    main()


class Command(Program):
    """One process of a command."""

    def __init__(self, words, variables):
        self.said = Path(tempfile.mkdtemp())
        self.process = FORKS.Process(target=be_humanpt, args=(words, variables, str(self.said)))
        self.process.start()
        self.pid = self.process.pid
        Program.all.append(self)


def start(words, size=1):
    """The processes of a command."""
    shared = {"WORLD_SIZE": str(size), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    ranks = [shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)} if size > 1 else {} for rank in range(size)]
    return [Command(list(map(str, words)), variables) for variables in ranks]
