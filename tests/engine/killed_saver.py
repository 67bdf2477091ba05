"""A program that kills savers at random moments and looks at what each left: prints how many died in the middle."""

import os
import random
import signal
import sys
import time
from pathlib import Path

import torch
from torch import nn

from humanpt.engine.checkpoint import Provenance, load_weights, read_header, save_checkpoint
from humanpt.engine.optim import OptimConfig, make_optimizer

path, kills = Path(sys.argv[1]), int(sys.argv[2])
torch.set_num_threads(1)
model = nn.Linear(1000, 300)
optimizer = make_optimizer(model, OptimConfig())
partial, halfway = path.with_name(f".{path.name}.partial"), 0


def save_for_ever(step: int) -> None:
    while True:
        step += 1
        nn.init.constant_(model.weight, step)
        save_checkpoint(
            path,
            model,
            optimizer,
            device=torch.device("cpu"),
            step=step,
            provenance=Provenance(recipe="toy", config={}),
        )


last = 0
for kill in range(kills):
    child = os.fork()
    if child == 0:
        save_for_ever(last)
    while kill == 0 and not path.exists():
        time.sleep(0.001)
    time.sleep(random.uniform(0.005, 0.03))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    halfway += partial.exists()
    header = read_header(path)
    load_weights(path, model)
    assert header.step >= last, (header.step, last)
    assert bool((model.weight == header.step).all())
    last = header.step
print(halfway, last)
