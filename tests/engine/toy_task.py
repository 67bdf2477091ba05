"""A small problem that meets the engine's protocol, and a program that trains on it so that tests can kill it.

The network has dropout, so that the global random generator matters, and figures that come and go.
"""

import argparse
import dataclasses
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from humanpt.config import to_dict
from humanpt.engine.checkpoint import Provenance
from humanpt.engine.loop import TrainResult, Watch, train
from humanpt.engine.loop_config import LoopConfig
from humanpt.engine.optim import OptimConfig
from humanpt.engine.report import Report
from humanpt.engine.runtime import seed_everything

LOOP = LoopConfig(
    steps=12,
    batch_size=8,
    accumulate=2,
    log_every=2,
    save_every=3,
    save_seconds=None,
    tensorboard=False,
    eval_first=False,
)
OPTIM = OptimConfig(base_lr=0.32, warmup_steps=2, cosine_steps=100)
EPOCH = 64
EVAL_EVERY = 5


@dataclasses.dataclass
class ToyBatch:
    x: Tensor
    y: Tensor

    def to(self, device: torch.device) -> "ToyBatch":
        return ToyBatch(self.x.to(device), self.y.to(device))

    def __len__(self) -> int:
        return len(self.x)


class Noise(Dataset[ToyBatch]):
    """Batch number n is noise from seed n, so that nothing but n decides it."""

    def __init__(self, size: int) -> None:
        self.size = size

    def __getitem__(self, number: int) -> ToyBatch:
        x = torch.randn(self.size, 6, generator=torch.Generator().manual_seed(number))
        return ToyBatch(x, x[:, :1] - x[:, 1:2].sin())


class Counting:
    """All batch numbers from one on."""

    def __init__(self, first: int) -> None:
        self.first = first

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.first, 1_000_000))


def make_batches(loop: LoopConfig = LOOP, workers: int = 0) -> Callable[[int], Iterator[ToyBatch]]:
    def batches(first_step: int) -> Iterator[ToyBatch]:
        numbers = Counting(first_step * loop.accumulate)
        noise = Noise(loop.micro_batch)
        return iter(DataLoader(noise, batch_size=None, sampler=numbers, num_workers=workers))

    return batches


class ToyTask:
    def __init__(self, heldout: bool = True) -> None:
        self.model = nn.Sequential(nn.Linear(6, 16), nn.GELU(), nn.Dropout(0.2), nn.LayerNorm(16), nn.Linear(16, 1))
        self.heldout = heldout
        self.calls = 0

    def loss(self, batch: ToyBatch) -> tuple[Tensor, dict[str, Tensor]]:
        self.calls += 1
        error = (self.model(batch.x) - batch.y).float()
        figures = {"absolute": error.detach().abs().mean()}
        if batch.x[0, 0] > 0:
            figures["seldom"] = error.detach().amax()
        return error.square().mean(), figures

    def evaluate(self) -> dict[str, float]:
        if not self.heldout:
            return {}
        torch.rand(3)  # a careless task; training must not notice
        batch = Noise(32)[999_999_999].to(next(self.model.parameters()).device)
        return {"loss": nn.functional.mse_loss(self.model(batch.x).float(), batch.y).item()}

    def pictures(self) -> dict[str, NDArray[np.uint8]]:
        return {}


def run_toy(
    out: Path,
    loop: LoopConfig = LOOP,
    *,
    task: Callable[[], ToyTask] = ToyTask,
    workers: int = 0,
    precision: str = "fp32",
    device: str = "cpu",
    resume: Path | None = None,
    report: Report | None = None,
    batches: Callable[[int], Iterator[ToyBatch]] | None = None,
    watch: Watch | None = None,
    **changes: object,
) -> TrainResult:
    """Train from seed 0, or from a checkpoint; `changes` are fields of the loop's config."""
    loop = dataclasses.replace(loop, **changes)
    seed_everything(0)
    return train(
        task(),
        batches or make_batches(loop, workers),
        loop=loop,
        optim=OPTIM,
        epoch_size=EPOCH,
        out=out,
        provenance=Provenance(recipe="toy", config={"loop": to_dict(loop)}, ledger={"noise": "made here"}),
        device=torch.device(device),
        precision=precision,
        report=report,
        resume=resume,
        watch=watch,
    )


def same_tensors(one: Path, other: Path) -> bool:
    """Whether two checkpoints hold the same tensors to the last bit."""
    a, b = load_file(one), load_file(other)
    return a.keys() == b.keys() and all(
        torch.equal(a[name].view(-1), b[name].view(-1)) for name in a if not nan(a[name])
    )


def nan(tensor: Tensor) -> bool:
    return tensor.ndim == 0 and bool(tensor.isnan())  # the empty half-draw of a generator


def log_of(out: Path, timed: bool = False) -> list[dict[str, float]]:
    """The lines of a run's log, without what depends on the clock unless asked for."""
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    timely = () if timed else ("pairs_per_second", "waiting", "peak_memory_gib")
    return [{name: value for name, value in line.items() if name not in timely} for line in lines]


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--precision", default="fp32")
    given = parser.parse_args()
    torch.set_num_threads(1)
    finished = run_toy(
        given.out,
        steps=1_000_000,
        eval_every=EVAL_EVERY,
        workers=given.workers,
        precision=given.precision,
    )
    print(json.dumps({"steps": finished.steps, "interrupted": finished.interrupted}))
