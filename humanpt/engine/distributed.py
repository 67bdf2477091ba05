"""Several processes that train one model together, by torch.distributed alone.

Whoever starts the processes (torchrun, or Slurm by the same variables) says in RANK, WORLD_SIZE and LOCAL_RANK who each
of them is. Figures for the program travel by gloo between CPUs, gradients of a CUDA device by NCCL.

Every process does the same at the same time; the first alone writes and speaks. What fails in one ends all of them: the
first to fail has the word, the others leave without another.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal, TypeAlias, TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn

from humanpt.errors import ConfigError, HumanptError, TrainingError

Parallel: TypeAlias = Literal["auto", "ddp", "fsdp"]
T = TypeVar("T")

PATIENCE = timedelta(minutes=30)
"""How long a process waits for the others; the first may evaluate, save or generate data meanwhile."""


@dataclass(frozen=True, kw_only=True)
class World:
    """Which of how many processes this is. Its methods are called by all processes alike."""

    rank: int = 0
    """This process, from 0."""

    size: int = 1
    """Processes that train together."""

    local_rank: int = 0
    """This process among those on the same machine, from 0; the CUDA device it takes."""

    @property
    def neighbours(self) -> int:
        """Processes on this machine, itself among them; all of them where nobody counted."""
        return int(os.environ.get("LOCAL_WORLD_SIZE", self.size)) if self.size > 1 else 1

    @property
    def is_first(self) -> bool:
        """Whether this process writes and speaks for all."""
        return self.rank == 0

    def own(self, device: torch.device) -> torch.device:
        """The device of this process, when `device` was chosen for the run.

        Raises:
            ConfigError: if the machine has fewer CUDA devices than processes.
        """
        if self.size == 1 or device.type != "cuda":
            return device
        if self.local_rank >= (count := torch.cuda.device_count()):
            raise ConfigError(
                f"process {self.local_rank + 1} of this machine has no CUDA device of its own, torch sees {count}; "
                f"start {count} processes per machine, or choose --device cpu"
            )
        torch.cuda.set_device(self.local_rank)
        return torch.device("cuda", self.local_rank)

    def share(self, value: T) -> T:
        """What the first process has, in all of them."""
        if self.size == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box, src=0)
        return box[0]

    def gather(self, value: T) -> list[T]:
        """What every process has, by rank, in all of them."""
        if self.size == 1:
            return [value]
        boxes: list[Any] = [None] * self.size
        dist.all_gather_object(boxes, value)
        return boxes

    def largest(self, numbers: Sequence[float]) -> list[float]:
        """Of each number the largest that any process has."""
        if self.size == 1:
            return list(numbers)
        tensor = torch.tensor(numbers, dtype=torch.float64)
        dist.all_reduce(tensor, dist.ReduceOp.MAX)
        return tensor.tolist()

    def agree(self, flag: bool) -> bool:
        """Whether any process says so."""
        return bool(self.largest([float(flag)])[0])

    @contextmanager
    def first_alone(self) -> Iterator[None]:
        """Let the first process through the block before the others, who then find what it made."""
        if not self.is_first:
            self.agree(False)
        yield
        if self.is_first:
            self.agree(False)


ALONE = World()


def world_of(environment: Mapping[str, str] | None = None) -> World:
    """Who this process is, by the variables that torchrun sets; alone without them.

    Raises:
        ConfigError: if they contradict each other, or a number is none.
    """
    given = os.environ if environment is None else environment
    if "WORLD_SIZE" not in given and "RANK" not in given:
        return ALONE
    try:
        rank, size, local = (int(given[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"))
    except (KeyError, ValueError) as error:
        raise ConfigError(
            f"RANK, WORLD_SIZE and LOCAL_RANK must all be set, to whole numbers ({error}); start with torchrun, or "
            "unset them to train in one process"
        ) from None
    if not 0 <= local <= rank < size:
        raise ConfigError(f"RANK {rank}, LOCAL_RANK {local} and WORLD_SIZE {size} contradict; start with torchrun")
    return World(rank=rank, size=size, local_rank=local)


@contextmanager
def join(environment: Mapping[str, str] | None = None) -> Iterator[World]:
    """Inside, this process works together with those that were started with it; alone it costs nothing.

    Whatever is raised inside ends all processes. The first to raise passes its error on; in the others, which cannot go
    on without it, that becomes a SystemExit of the same meaning and no words.

    Raises:
        ConfigError: as `world_of`; or if the others cannot be reached.
        TrainingError: if another process died without a word.
    """
    world = world_of(environment)
    if world.size == 1:
        yield world
        return
    if missing := [name for name in ("MASTER_ADDR", "MASTER_PORT") if not os.environ.get(name)]:
        raise ConfigError(f"{missing[0]} is not set, so the other processes cannot be found; start with torchrun")
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    try:
        dist.init_process_group(backend, rank=world.rank, world_size=world.size, timeout=PATIENCE)
    except (dist.DistError, RuntimeError) as error:
        where = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
        raise ConfigError(
            f"process {world.rank} of {world.size} cannot reach the others at {where} ({_first_line(error)})"
        ) from None
    try:
        world.agree(False)  # or one that ended at once would seem unreachable to one that has not quite arrived
        yield world
    except Exception as error:
        if not _has_the_word(world):
            raise SystemExit(error.exit_code if isinstance(error, HumanptError) else 1) from None
        if _is_of_the_connection(error):
            raise TrainingError(
                "another process of this run ended without a word, perhaps for want of memory or because its machine "
                "went down; what was saved is intact; go on with --resume"
            ) from error
        raise
    else:
        dist.destroy_process_group()


def _has_the_word(world: World) -> bool:
    """Whether this process is the first that failed."""
    store = dist.distributed_c10d._get_default_store()
    try:
        return bool(store.compare_set("humanpt/failed", "", str(world.rank)) == str(world.rank).encode())
    except (dist.DistError, RuntimeError):  # it lived in the first process, which is gone and spoke for itself
        return False


def _is_of_the_connection(error: Exception) -> bool:
    if isinstance(error, HumanptError):
        return False
    return isinstance(error, dist.DistError) or (isinstance(error, RuntimeError) and "gloo" in str(error).lower())


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


def shard(model: nn.Module, world: World, device: torch.device) -> None:
    """Spread a model's parameters, their gradients and moments over the processes, by torch's `fully_shard` (FSDP2).

    Each module of a ModuleList (a transformer's blocks) is gathered for itself when it is its turn. A model may also be
    entered by its own public methods besides `forward`.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method

    mesh = init_device_mesh(device.type, (world.size,))
    for blocks in [module for module in model.modules() if isinstance(module, nn.ModuleList)]:
        for block in blocks:
            fully_shard(block, mesh=mesh)
    entries = [name for name, kind in vars(type(model)).items() if inspect.isfunction(kind) and name[0] != "_"]
    fully_shard(model, mesh=mesh)
    for name in entries:
        if name != "forward":
            register_fsdp_forward_method(model, name)


def whole(tensor: Tensor) -> Tensor:
    """The whole of a tensor that may be spread over processes, in each of them."""
    gather = getattr(tensor, "full_tensor", None)  # a DTensor's; its module takes long to load and is seldom needed
    return tensor if gather is None else cast(Tensor, gather())


def spread_like(tensor: Tensor, pattern: Tensor) -> Tensor:
    """A whole tensor, which every process has, spread over them as `pattern` is."""
    if not hasattr(pattern, "full_tensor"):
        return tensor
    from torch.distributed.tensor import DTensor, distribute_tensor

    assert isinstance(pattern, DTensor)
    # No process need send what all of them have.
    return distribute_tensor(tensor.to(pattern.device), pattern.device_mesh, pattern.placements, src_data_rank=None)


class LossOf(nn.Module):
    """A task's loss as a module around its model, so that torch's DistributedDataParallel can stand around both."""

    def __init__(self, task: Any) -> None:
        super().__init__()
        self.model: nn.Module = task.model
        self.loss = task.loss

    def forward(self, batch: Any) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss and figures of a batch."""
        result: tuple[Tensor, dict[str, Tensor]] = self.loss(batch)
        return result
