"""A program that trains the toy problem in as many processes as it is started in, so that tests can kill them."""

import argparse
import dataclasses
import json
import os
import signal
import sys
from pathlib import Path

import torch
from torch.utils.data import DataLoader, Dataset

from humanpt.config import to_dict
from humanpt.data.order import Order, StreamBatches
from humanpt.engine.checkpoint import Provenance
from humanpt.engine.distributed import join
from humanpt.engine.loop import LAST, train
from humanpt.engine.runtime import leave_signals_to_the_parent, seed_everything
from humanpt.errors import HumanptError, ShardError
from tests.engine.toy_task import EPOCH, LOOP, OPTIM, ToyBatch, ToyTask


class Blocks(torch.nn.Module):
    """A network with a list of blocks and a method of its own beside forward."""

    def __init__(self):
        super().__init__()
        self.first = torch.nn.Linear(6, 17)
        self.blocks = torch.nn.ModuleList([torch.nn.Linear(17, 17) for _ in range(2)])
        self.last = torch.nn.Linear(17, 1)
        self.register_buffer("scale", torch.full((1,), 1.5))

    def encode(self, x):
        x = self.first(x)
        for block in self.blocks:
            x = x + torch.nn.functional.gelu(block(x))
        return x * self.scale

    def forward(self, x):
        return self.last(self.encode(x))


class BlocksTask(ToyTask):
    """The toy problem without dropout, whose figures need a part of the network alone."""

    def __init__(self):
        super().__init__()
        self.model = Blocks()

    def evaluate(self):
        x = torch.randn(32, 6, generator=torch.Generator().manual_seed(9))
        encoded = self.model.encode(x)
        return {"loss": (self.model(x) - x[:, :1]).square().mean().item(), "size": encoded.abs().mean().item()}


class Failing(BlocksTask):
    """On one process something goes wrong in the third step."""

    def __init__(self, rank, how):
        super().__init__()
        self.fails, self.how = int(os.environ.get("RANK", "0")) == rank, how

    def loss(self, batch):
        loss, figures = super().loss(batch)
        if self.calls == 3 and self.fails:
            if self.how == "error":
                raise ShardError("pairs/03.h5: row 7 is damaged; write it again")
            if self.how == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            loss = loss * float("nan")
        return loss, figures


class Samples(Dataset):
    """Sample p of a stream; each position that is asked for is written down."""

    def __init__(self, seen: Path | None) -> None:
        self.order, self.seen = Order(EPOCH, 0), seen

    def __getitem__(self, position):
        epoch, index = self.order.locate(position)
        if self.seen is not None:
            with self.seen.open("a") as file:
                file.write(f"{position} {index}\n")
        x = torch.randn(6, generator=torch.Generator().manual_seed(index))
        return x, x[:1] - x[1:2].sin() + epoch


def collate(rows):
    return ToyBatch(*(torch.stack(column) for column in zip(*rows, strict=True)))


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--fails", nargs=2)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--seen", action="store_true")
    parser.add_argument("--loop", type=json.loads, default={})
    given = parser.parse_args(words)
    torch.set_num_threads(1)
    loop = dataclasses.replace(LOOP, **given.loop)
    try:
        with join() as world:
            seed_everything(0)
            task = Failing(int(given.fails[0]), given.fails[1]) if given.fails else BlocksTask()
            samples = Samples(given.out.with_name(f"{given.out.name}.seen.{world.rank}") if given.seen else None)

            def batches(first_step):
                stream = StreamBatches(
                    loop.batch_size,
                    start_step=first_step,
                    rank=world.rank,
                    world_size=world.size,
                    accumulate=loop.accumulate,
                )
                loader = DataLoader(
                    samples,
                    batch_sampler=stream,
                    collate_fn=collate,
                    num_workers=given.workers,
                    worker_init_fn=leave_signals_to_the_parent,
                )
                return iter(loader)

            result = train(
                task,
                batches,
                loop=loop,
                optim=OPTIM,
                epoch_size=EPOCH,
                out=given.out,
                provenance=Provenance(recipe="toy", config={"loop": to_dict(loop)}),
                device=torch.device("cpu"),
                resume=given.out / LAST if given.resume else None,
                world=world,
            )
            if world.is_first:
                told = {"steps": result.steps, "stopped_by": result.stopped_by, "figures": dict(result.figures)}
                print(json.dumps(told))
            return 75 if result.stopped_by in ("SIGTERM", "SIGUSR1") else 0
    except HumanptError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
