"""Our training step against that of naver/croco's network and criterion, from the same weights. A script, not a test.

    python tests/benchmarks/step_speed.py [--croco CHECKOUT] [--presets NAME...] [--batch N] [--rounds N] [--json FILE]

A step is forward, loss, backward, the gradients' norm and AdamW. CHECKOUT is a clone of github.com/naver/croco, whose
code is never part of ours; without one the baseline is our own network as one would first write it: plain attention in
float32, an AdamW that is not fused. Losses are compared before anything is timed.

Every variant is a process of its own, so that its peak memory is its own. On a CPU the variants of a group take turns
step by step: CPU seconds of one thread, least of the rounds. On a GPU they follow one another: seconds of 10 steps,
median of the rounds; the reference in float16 with a scaler, as it trains. "of peak" is the share of the matrix product
that this GPU was measured to make in bfloat16; operations are those of the step with everything withheld predicted.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from humanpt.engine.optim import OptimConfig, make_optimizer, parameter_groups, set_rate
from humanpt.losses import normalise_patches, pair_errors, patchify
from humanpt.models import croco
from humanpt.models.attention import AttentionKernel, fastest_attention
from humanpt.models.croco import CroCo, CroCoConfig
from humanpt.models.positions import kept

MASK_RATIO = 0.9
GPU_STEPS = 10
RATE = 1.5e-4
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
TOLERANCES = {"fp32": 1e-5, "bf16": 1e-2, "fp16": 1e-2}
"""Largest relative difference of two networks' first losses."""


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One way to make a step."""

    name: str
    preset: str
    batch: int
    device: str
    precision: str
    croco: str | None = None
    """Checkout of the reference to run; None runs ours."""
    attention: AttentionKernel | None = None
    """None measures which is faster."""
    fused_optimizer: bool = True
    decode_share: float = 1.0
    checkpointing: bool = False
    compiled: bool = False
    one_picture: bool = False


def config_of(variant: Variant) -> CroCoConfig:
    """Sizes of the network."""
    return replace(getattr(croco, variant.preset)(), cross_attention=not variant.one_picture)


class Batch:
    """Pictures and masks, the same for every variant: on the CPU where the loader leaves them."""

    def __init__(self, variant: Variant) -> None:
        side, patches = config_of(variant).image_size, config_of(variant).num_patches
        generator = torch.Generator().manual_seed(0)
        device = torch.device(variant.device)
        images = torch.randn(2, variant.batch, 3, side, side, generator=generator).to(device)
        self.image1, self.image2 = images.unbind()
        ranks = torch.rand(variant.batch, patches, generator=generator).argsort(dim=1)
        withheld = int(MASK_RATIO * patches)
        self.mask = ranks < withheld
        count = round(variant.decode_share * withheld)
        self.predicted = None if count == withheld else ranks < count


class Ours(nn.Module):
    """Our network and loss."""

    def __init__(self, variant: Variant) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.model = CroCo(config_of(variant)).to(variant.device)
        dtype, device = DTYPES[variant.precision], torch.device(variant.device)
        self.model.attention = variant.attention or fastest_attention(self.model.config, device, dtype)
        self.model.checkpoint_activations = variant.checkpointing
        if variant.compiled:
            self.model.compile_blocks()

    def forward(self, batch: Batch) -> Tensor:
        """Mean squared error of the patches to predict."""
        image2 = batch.image2 if self.model.config.cross_attention else None
        predictions = self.model(batch.image1, image2, batch.mask, batch.predicted)
        wanted = batch.mask if batch.predicted is None else batch.predicted
        targets = normalise_patches(kept(patchify(batch.image1, self.model.config.patch_size), wanted))
        return pair_errors(predictions, targets).mean()


class Reference(nn.Module):
    """The reference's network and criterion with our weights and masks."""

    def __init__(self, variant: Variant) -> None:
        super().__init__()
        assert variant.croco is not None
        sys.path.insert(0, variant.croco)
        from models.criterion import MaskedMSE
        from models.croco import CroCoNet

        config = config_of(variant)
        self.model = CroCoNet(
            img_size=config.image_size,
            patch_size=config.patch_size,
            enc_embed_dim=config.enc_dim,
            enc_depth=config.enc_depth,
            enc_num_heads=config.enc_heads,
            dec_embed_dim=config.dec_dim,
            dec_depth=config.dec_depth,
            dec_num_heads=config.dec_heads,
            pos_embed=f"RoPE{config.rope_base:g}",
        )
        self.model.mask_generator = nn.Identity()
        torch.manual_seed(0)
        self.model.load_state_dict(dict(renamed(CroCo(config).state_dict())))
        self.model.to(variant.device)
        self.criterion = MaskedMSE(norm_pix_loss=True)

    def forward(self, batch: Batch) -> Tensor:
        """Its loss."""
        mask = batch.mask.to(batch.image1.device)
        self.model.mask_generator.forward = lambda tokens: mask
        loss: Tensor = self.criterion(*self.model(batch.image1, batch.image2))
        return loss


def renamed(weights: dict[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    """Our names of weights to the reference's."""
    names = {
        "encoder.patch_embed": "patch_embed",
        "encoder.blocks": "enc_blocks",
        "encoder.norm": "enc_norm",
        "to_decoder": "decoder_embed",
        "decoder.blocks": "dec_blocks",
        "decoder.norm": "dec_norm",
        "to_pixels": "prediction_head",
    }
    for name, weight in weights.items():
        start = next((start for start in names if name.startswith(f"{start}.")), "")
        yield names.get(start, "") + name.removeprefix(start), weight


class Step:
    """A network in training."""

    def __init__(self, variant: Variant) -> None:
        self.variant, self.device = variant, torch.device(variant.device)
        self.network = Ours(variant) if variant.croco is None else Reference(variant)
        self.batch = Batch(variant)
        if variant.croco is None and variant.fused_optimizer:
            self.optimizer = make_optimizer(self.network, OptimConfig())
        else:
            self.optimizer = torch.optim.AdamW(parameter_groups(self.network, 0.05), betas=(0.9, 0.95))
        set_rate(self.optimizer, RATE)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=variant.precision == "fp16")

    def __call__(self) -> Tensor:
        """One step; the loss before it."""
        self.optimizer.zero_grad(set_to_none=True)
        dtype = DTYPES[self.variant.precision]
        half = dtype != torch.float32
        with torch.autocast(self.device.type, dtype) if half else nullcontext():
            loss: Tensor = self.network(self.batch)
        if self.variant.croco is not None:
            loss.item()  # it looks whether each loss is finite
        self.scaler.scale(loss).backward()
        self.scaler.unscale_(self.optimizer)
        torch.nn.utils.get_total_norm([value.grad for value in self.network.parameters() if value.grad is not None])
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return loss.detach()

    def seconds(self) -> float:
        """Of one step: CPU time on a CPU, time on a GPU."""
        if self.device.type == "cpu":
            start = time.process_time()
            self()
            return time.process_time() - start
        torch.cuda.synchronize()
        start = time.perf_counter()
        for _ in range(GPU_STEPS):
            self()
        torch.cuda.synchronize()
        return (time.perf_counter() - start) / GPU_STEPS

    def peak_memory(self) -> float:
        """GiB so far: of the process on a CPU, of the tensors on a GPU."""
        if self.device.type == "cpu":
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        return torch.cuda.max_memory_allocated() / 2**30


def work(variant: Variant) -> None:
    """Be the process of a variant: say the first loss, then make a step for each line read, then say the memory."""
    torch.set_num_threads(1)
    torch.set_float32_matmul_precision("high")  # TF32 on a GPU, which the reference asks for as well
    step = Step(variant)
    first = float(step())
    step()
    kernel = step.network.model.attention if variant.croco is None else "plain"
    print(json.dumps({"loss": first, "attention": kernel}), flush=True)
    for _ in sys.stdin:
        print(json.dumps({"seconds": step.seconds(), "GiB": step.peak_memory()}), flush=True)


class Process:
    """A variant at work elsewhere."""

    def __init__(self, variant: Variant) -> None:
        self.variant = variant
        command = [sys.executable, __file__, "--work", json.dumps(asdict(variant))]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.first = self.read()
        self.times: list[float] = []
        self.memory = 0.0

    def read(self) -> dict[str, float]:
        """The next line in JSON; others (the reference prints some) are passed over."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("{"):
                return dict(json.loads(line))
        sys.exit(f"{self.variant.name}: ended with exit code {self.process.wait()}")

    def step(self) -> None:
        """Let it make and time a step."""
        assert self.process.stdin is not None
        self.process.stdin.write("step\n")
        self.process.stdin.flush()
        answer = self.read()
        self.times.append(answer["seconds"])
        self.memory = answer["GiB"]

    def end(self) -> None:
        """Let it end."""
        self.process.communicate()


def measure(group: list[Variant], rounds: int) -> list[dict[str, object]]:
    """Figures of some variants, the first of which is the baseline."""
    on_cpu = group[0].device == "cpu"
    processes: list[Process] = []
    for variant in group:
        process = Process(variant)
        processes.append(process)
        if not on_cpu:
            for _ in range(rounds):
                process.step()
            process.end()
    for _ in range(rounds if on_cpu else 0):
        for process in processes:
            process.step()
    rows = []
    for process in processes:
        if on_cpu:
            process.end()
        seconds = min(process.times) if on_cpu else statistics.median(process.times)
        rows.append(asdict(process.variant) | process.first | {"seconds": seconds, "GiB": process.memory})
    for row, variant in zip(rows, group, strict=True):
        whole = variant.decode_share == 1 and not variant.one_picture
        tolerance = max(TOLERANCES[variant.precision], TOLERANCES[group[0].precision])
        if whole and abs(row["loss"] / rows[0]["loss"] - 1) > tolerance:
            sys.exit(f"{variant.name}: the loss is {row['loss']}, that of {group[0].name} {rows[0]['loss']}")
    return rows


def groups(preset: str, batch: int, device: str, checkout: str | None) -> Iterator[list[Variant]]:
    """What is compared with what; the first of each group is the baseline."""
    if checkout is None:
        first = Variant(
            name="first version",
            preset=preset,
            batch=batch,
            device=device,
            precision="fp32",
            attention="plain",
            fused_optimizer=False,
        )
    else:
        first = Variant(name="naver/croco", preset=preset, batch=batch, device=device, precision="fp32", croco=checkout)
    ours = replace(first, name="ours", croco=None, attention=None, fused_optimizer=True)
    mixed = replace(first, precision="bf16" if device == "cpu" else "fp16" if checkout else "bf16")
    ours_mixed = replace(ours, precision="bf16")
    compiled = [replace(ours_mixed, name="ours, compiled", compiled=True)] if device == "cuda" else []
    yield [first, ours]
    yield [mixed, ours_mixed, *compiled, first]
    usual = replace(compiled[0] if compiled else ours_mixed, name="ours, as above")
    yield [
        usual,
        replace(usual, name="fused attention", attention="fused"),
        replace(usual, name="plain attention", attention="plain"),
        replace(usual, name="half predicted", decode_share=0.5),
        replace(usual, name="quarter predicted", decode_share=0.25),
        replace(usual, name="one picture (MAE)", one_picture=True),
        replace(usual, name="checkpointing", checkpointing=True),
    ]


def operations(preset: str) -> int:
    """Of the multiplications and additions of one pair, forward and backward."""
    variant = Variant(name="", preset=preset, batch=1, device="meta", precision="fp32", attention="plain")
    network, batch = Ours(variant), Batch(variant)
    with FlopCounterMode(display=False) as counter:
        network(batch).backward()
    return int(counter.get_total_flops())


def matrix_peak() -> float:
    """Operations a second of a large bfloat16 matrix product on the GPU."""
    left = torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16)
    best = 0.0
    for _ in range(6):
        torch.cuda.synchronize()
        start = time.perf_counter()
        for _ in range(20):
            left @ left
        torch.cuda.synchronize()
        best = max(best, 20 * 2 * 8192**3 / (time.perf_counter() - start))
    return best


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--croco", type=Path, help="a clone of github.com/naver/croco")
    parser.add_argument("--presets", nargs="+", default=["vits16_small", "vitb16_small"])
    parser.add_argument("--batch", type=int, help="pairs of a step; 4 on a CPU and 256 on a GPU unless given")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--work", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work(Variant(**json.loads(options.work)))
        return
    if options.croco is None:
        print("no --croco CHECKOUT: compared with our own network as first written, not with naver/croco")
    elif not (options.croco / "models" / "criterion.py").is_file():
        sys.exit(f"{options.croco}: no clone of naver/croco, which has models/criterion.py")
    batch = options.batch or (4 if options.device == "cpu" else 256)
    checkout = None if options.croco is None else str(options.croco.resolve())
    peak = matrix_peak() if options.device == "cuda" else None
    figures: dict[str, object] = {"torch": torch.__version__, "device": options.device, "peak": peak}
    if peak is not None:
        print(f"{torch.cuda.get_device_name()}: {peak / 1e12:.0f} TFLOP/s in a bfloat16 matrix product")
    for preset in options.presets:
        flops = operations(preset)
        print(f"\n{preset}, batch {batch}, {flops / 1e9:.1f} GFLOP a pair forward and backward")
        titles = f"{'attention':9} {'s/step':>8} {'pairs/s':>8} {'times':>6} {'GiB':>6} {'GFLOP/s':>8}  of peak"
        print(f"  {'':20} {'':5} {titles}")
        for group in groups(preset, batch, options.device, checkout):
            rows = measure(group, options.rounds)
            figures.setdefault(preset, []).append(rows)
            for row in rows:
                times, rate = rows[0]["seconds"] / row["seconds"], batch / row["seconds"]
                whole = row["decode_share"] == 1 and not row["one_picture"]
                speed = f"{flops * rate / 1e9:8.0f}" if whole else ""
                share = f"{flops * rate / peak:8.1%}" if whole and peak is not None else ""
                print(
                    f"  {row['name']:20} {row['precision']:5} {row['attention']:9} {row['seconds']:8.3f} {rate:8.1f} "
                    f"{times:6.2f} {row['GiB']:6.2f} {speed} {share}",
                    flush=True,
                )
            print()
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
