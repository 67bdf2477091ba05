"""`humanpt pretrain --dry-run`: what a run would cost, from its own network, samples and device; nothing is written.

Counted: parameters, and the operations and the memory of a real step on a few pairs. Measured: short stretches of
training and of reading, after a warm-up. The rest is scaled from these.
"""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from humanpt import __version__
from humanpt.data.worker_memory import free_memory
from humanpt.engine.held_memory import Held, most_held
from humanpt.engine.optim import make_optimizer
from humanpt.engine.report import Report
from humanpt.engine.runtime import Precision, autocast, describe_device
from humanpt.tasks.completion import CompletionSamples, CompletionTask, collate
from humanpt.workers import cores

if TYPE_CHECKING:
    from humanpt.commands.pretrain import PretrainConfig

FEW = 4  # pairs that are counted on, enough for both kinds to be among them
STRETCH = 1.0  # seconds that a timed step should take, so that the clock and the first launch do not matter
BUDGET = 20.0  # seconds after which no further step is timed
CHECKPOINTS = 2  # last and best; while one is written, it is there twice


def dry_run(
    config: PretrainConfig,
    task: CompletionTask,
    samples: CompletionSamples,
    out: Path,
    report: Report,
    *,
    device: torch.device,
    precision: Precision,
    processes: int = 1,
) -> dict[str, Any]:
    """Say what a run would cost; the weights stay as they are, and evaluations and saves are not in its time.

    Args:
        config: of the run.
        task: whose model is measured on the device.
        samples: what would be trained on.
        out: where the run would be written, for the room there is.
        processes: that the run would be shared by.

    Returns:
        `parameters`, `flops` per pair, `memory` and `disk` in bytes, `steps`, `epochs`, `seconds_per_step`, `seconds`
        of the whole run, what `limits` it, and `advice`, a line for each thing that will not go well.
    """
    report.stage("measuring a step", 4, "part")
    task.model.to(device).train()
    pairs = config.loop.batch_size // processes  # of a step, in one process
    at_once = max(1, pairs // config.loop.accumulate)
    flops = _count_operations(task, samples, device, precision)
    report.advance()
    memory = _estimate_memory(task, samples, at_once, device, precision)
    report.advance()
    compute = _time_step(task, samples, config, pairs, at_once, device, precision)
    report.advance()
    reading = _time_reading(samples) * pairs
    report.advance()
    seconds, limits = _expected(compute, reading, config, device)
    steps = config.loop.total_steps(len(samples))
    disk = _disk(task.model, out)
    return {
        "command": "pretrain",
        "dry_run": True,
        "version": __version__,
        "recipe": config.recipe,
        "subject": config.subject,
        "device": describe_device(device),
        "precision": precision,
        "processes": processes,
        "parameters": _count_parameters(task.model),
        "flops": flops | {"step": flops["step_per_pair"] * config.loop.batch_size},
        "memory": memory,
        "disk": disk,
        "training_pairs": len(samples),
        "batch_size": config.loop.batch_size,
        "pairs_at_once": at_once,
        "steps": steps,
        "epochs": steps * config.loop.batch_size / len(samples),
        "seconds_per_step": {"expected": seconds, "training": compute, "reading": reading},
        "pairs_per_second": config.loop.batch_size / seconds,
        "seconds": steps * seconds,
        "limits": limits,
        "advice": _advice(config, memory, disk, limits, at_once, pairs, device),
    }


def _count_parameters(model: nn.Module) -> dict[str, int]:
    """Of the encoder, of what follows it, and of all."""
    encoder = sum(p.numel() for name, p in model.named_parameters() if name.startswith("encoder."))
    total = sum(p.numel() for p in model.parameters())
    return {"encoder": encoder, "decoder": total - encoder, "total": total}


def _count_operations(
    task: CompletionTask, samples: CompletionSamples, device: torch.device, precision: Precision
) -> dict[str, float]:
    """Floating-point operations of matrix products, two to a multiplication with its addition, per pair."""
    batch = collate([samples[position] for position in range(FEW)]).to(device)
    counter = FlopCounterMode(display=False)
    with counter:
        with autocast(device, precision):
            loss, _ = task.loss(batch)
        forward = counter.get_total_flops()
        loss.backward()  # type: ignore[no-untyped-call]
    task.model.zero_grad(set_to_none=True)
    return {"forward_per_pair": forward / FEW, "step_per_pair": counter.get_total_flops() / FEW}


def _estimate_memory(
    task: CompletionTask, samples: CompletionSamples, at_once: int, device: torch.device, precision: Precision
) -> dict[str, int | None]:
    """Bytes that a step holds on its device, by what they are for; `available` is what there is, None if unknown."""
    parameters = [p for p in task.model.parameters() if p.requires_grad]
    for parameter in parameters:  # they are there all the time, so that what is measured beside them is the rest
        parameter.grad = torch.zeros_like(parameter)
    few, more = (_held_by_step(task, samples, count, device, precision) for count in (FEW, FEW + 2))
    task.model.zero_grad(set_to_none=True)
    activations = most_held(few, more, (at_once - FEW) / 2)
    weights = sum(p.nbytes for p in (*task.model.parameters(), *task.model.buffers()))
    trained = sum(p.nbytes for p in parameters)
    parts = {"weights": weights, "gradients": trained, "moments": 2 * trained, "activations": activations}
    return {**parts, "total": sum(parts.values()), "available": _memory_of(device)}


def _held_by_step(
    task: CompletionTask, samples: CompletionSamples, count: int, device: torch.device, precision: Precision
) -> list[int]:
    """As `Held`, of a step of so many pairs, beside weights, gradients and pictures as they are stored.

    The pairs are the same two over and over, so that the operations are the same whatever their number.
    """
    batch = collate([samples[place % 2] for place in range(count)]).to(device)
    held = Held()
    with held:
        with autocast(device, precision):
            loss, _ = task.loss(batch)
        loss.backward()  # type: ignore[no-untyped-call]
    return held.after


def _memory_of(device: torch.device) -> int | None:
    """Bytes of memory that a run could have: all of a CUDA device, what is free for programs on a Linux machine."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[1])
    return free_memory() if device.type == "cpu" else None


def _time_step(
    task: CompletionTask,
    samples: CompletionSamples,
    config: PretrainConfig,
    pairs: int,
    at_once: int,
    device: torch.device,
    precision: Precision,
) -> float:
    """Seconds of a step of so many pairs without its reading, from batches of `at_once` or as many as time allows."""
    optimizer = make_optimizer(task.model, config.optim)  # its rate is 0, so that no weight changes

    def timed(work: Callable[[], None]) -> float:
        _wait_for(device)
        began = time.perf_counter()
        work()
        _wait_for(device)
        return time.perf_counter() - began

    size = min(FEW, at_once)
    started = time.perf_counter()
    while True:
        batch = collate([samples[position] for position in range(size)]).to(device)

        def once(batch: Any = batch) -> None:
            optimizer.zero_grad(set_to_none=True)
            with autocast(device, precision):
                loss, _ = task.loss(batch)
            loss.backward()  # type: ignore[no-untyped-call]

        timed(once)  # warms up: memory, kernels and caches of this size
        taken = timed(once)
        spent = time.perf_counter() - started
        if taken >= STRETCH or size == at_once or spent + 6 * taken > BUDGET:
            break
        size = min(2 * size, at_once)
    repeats = max(0, min(4, int((BUDGET - spent) / max(taken, 1e-9))))
    per_pair = median([taken, *(timed(once) for _ in range(repeats))]) / size
    timed(optimizer.step)  # makes the moments
    update = min(timed(optimizer.step) for _ in range(3))
    optimizer.zero_grad(set_to_none=True)
    return per_pair * pairs + update


def _wait_for(device: torch.device) -> None:
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


def _time_reading(samples: CompletionSamples) -> float:
    """Seconds of one process to read and augment a pair, after the first few."""
    began, count = time.perf_counter(), 0
    while count < 16 or (time.perf_counter() - began < STRETCH and count < 512):
        if count == FEW:
            began = time.perf_counter()
        samples[count]
        count += 1
    return (time.perf_counter() - began) / (count - FEW)


def _expected(compute: float, reading: float, config: PretrainConfig, device: torch.device) -> tuple[float, str]:
    """Seconds of a step, given those of its training and those of one process to read it, and which of them limits."""
    if config.workers == 0:
        return compute + reading, "reading, as no workers do it meanwhile" if reading > compute else "training"
    load = reading / config.workers
    if device.type == "cpu":  # the workers take cores from the network
        threads = torch.get_num_threads()
        both = (compute * threads + reading) / max(cores(), 1)
        if both > max(compute, load):
            return both, "the cores, which training and its workers share"
    return max(compute, load), "reading" if load > compute else "training"


def _disk(model: nn.Module, out: Path) -> dict[str, int]:
    """Bytes of a checkpoint, of the most that lie there at once, and of the room where the run would be written."""
    state = sum(value.nbytes for value in model.state_dict().values())
    checkpoint = state + 2 * sum(p.nbytes for p in model.parameters() if p.requires_grad)
    there = next(folder for folder in (out.absolute(), *out.absolute().parents) if folder.is_dir())
    most = (CHECKPOINTS + 1) * checkpoint
    return {"checkpoint": checkpoint, "most": most, "free": shutil.disk_usage(there).free}


def _advice(
    config: PretrainConfig,
    memory: dict[str, int | None],
    disk: dict[str, int],
    limits: str,
    at_once: int,
    pairs: int,
    device: torch.device,
) -> list[str]:
    told = []
    available, total, activations = memory["available"], memory["total"], memory["activations"]
    assert total is not None
    assert activations is not None
    if available is not None and total > available:
        room = (available - (total - activations)) / (activations / at_once)  # pairs at once that would fit
        fitting = [n for n in range(1, pairs + 1) if pairs % n == 0 and pairs // n <= room]
        what = f"take loop.accumulate={fitting[0]}" if fitting else "take a smaller network"
        told.append(f"a step needs about {size_text(total)}, and {device} has {size_text(available)}; {what}")
    if disk["most"] > disk["free"]:
        told.append(
            f"checkpoints need up to {size_text(disk['most'])}, and {size_text(disk['free'])} are free; make room, or "
            "choose another --out"
        )
    if limits.startswith("reading"):
        told.append(
            f"reading takes longer than training; try more workers (--set workers=N; now {config.workers} on {cores()} "
            "cores) or --set task.augment_on_device=true"
        )
    return told


def size_text(size: float) -> str:
    """Bytes as text."""
    power = min(3, int(math.log(max(size, 1), 1024)))
    return f"{size / 1024**power:.{0 if power < 2 else 2}f} {('bytes', 'KiB', 'MiB', 'GiB')[power]}"
