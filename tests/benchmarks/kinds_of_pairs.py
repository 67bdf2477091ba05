"""What a network learns of 3D poses from cross-view pairs, cross-pose pairs, both, and single pictures. Not a test.

    python tests/benchmarks/kinds_of_pairs.py --out runs/kinds --seeds 0 1 --subjects hand body

Generates pairs once, then pre-trains a small network on them for as many steps in each way, with the same seed
for weights and order; the probe reads 3D key points of other people from the frozen encoder at every evaluation. Runs
that are finished are taken as they are, broken off ones go on, so the same command ends what it began. It prints a
table and draws the curves. About ten minutes of one core for each way and seed, five for single pictures.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt

from humanpt.engine.journal import read_log
from humanpt.engine.loop import LOG

WAYS = {
    "both": (),
    "cross-view": ("--kinds", "view"),
    "cross-pose": ("--kinds", "pose"),
    "MAE": ("--objective", "mae"),
    "both, a quarter decoded": ("--set", "task.decode_share=0.25"),
}
COLOURS = dict(zip(WAYS, ("#2563eb", "#d97706", "#059669", "#b91c1c", "#7c3aed"), strict=True))
SETTINGS = {
    **{"task.model.patch_size": 8, "task.model.enc_depth": 4, "task.model.enc_dim": 128},
    **{"task.model.dec_depth": 3, "task.model.dec_dim": 96, "task.heldout_pairs": 256},
    **{"optim.base_lr": 2e-3, "optim.warmup_steps": 100, "loop.tensorboard": "false"},
    **{"probe.pictures": 2400, "workers": 1, "threads": 1},
}
PROBE = "heldout_probe_mpjpe_mm"


def humanpt(*words: object) -> None:
    """Run a command; its progress is shown, and its failure ends the whole."""
    if subprocess.run([sys.executable, "-m", "humanpt", *map(str, words)], stdout=subprocess.DEVNULL).returncode:
        sys.exit(1)


def pairs_of(subject: str, options: argparse.Namespace) -> Path:
    """Generated pairs, one of each kind from every scene."""
    folder: Path = options.out / f"{subject}-pairs"
    if not (folder / "summary.json").is_file():
        on = ("--resume",) if folder.is_dir() else ()
        words = ("--count", options.pairs, "--set", "pairs_per_scene=2", "--out", folder)
        humanpt("mkpairs", "synthetic", f"--{subject}", *words, *on)
    return folder


def log_of(subject: str, way: str, seed: int, options: argparse.Namespace) -> list[dict[str, Any]]:
    """The measurements of a run, which is made or ended now if need be."""
    out: Path = options.out / f"{subject}-{way.replace(', ', '-').replace(' ', '-')}-{seed}"
    finished = (out / "summary.json").is_file() and not json.loads((out / "summary.json").read_text())["interrupted"]
    if options.finished and not finished:
        return []
    if not finished:
        settings = {
            **SETTINGS,
            "seed": seed,
            "optim.cosine_steps": options.steps,
            "loop.eval_every": max(1, options.steps // 5),
        }
        words = [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]
        on = ("--resume",) if (out / "last.safetensors").is_file() else ("--data", pairs_of(subject, options))
        words += [f"--{subject}", "--recipe", "tiny", "--batch-size", "64", "--steps", options.steps, "--out", out]
        humanpt("pretrain", *on, *words, *WAYS[way])
    return [line for line in read_log(out / LOG) if PROBE in line]


def draw(logs: dict[tuple[str, str, int], list[dict[str, Any]]], path: Path) -> None:
    """The probe's curve of every run, a panel for each subject."""
    subjects = list(dict.fromkeys(subject for subject, _, _ in logs))
    size = 5 * len(subjects), 3.6
    figure, panels = plt.subplots(1, len(subjects), figsize=size, squeeze=False, layout="constrained")
    for panel, subject in zip(panels[0], subjects, strict=True):
        for (of, way, seed), lines in logs.items():
            if of == subject:
                label = way if seed == min(s for o, w, s in logs if (o, w) == (of, way)) else None
                style = "-" if label else "--"
                steps, errors = [line["step"] for line in lines], [line[PROBE] for line in lines]
                panel.plot(steps, errors, style, color=COLOURS[way], marker="o", markersize=3, label=label)
        panel.set(xlabel="step", ylabel="linear probe of 3D key points, MPJPE (mm)", title=subject)
        panel.grid(alpha=0.3)
    panels[0][-1].legend(frameon=False)
    figure.savefig(path, dpi=110)


def main() -> None:
    """Make what is missing, print one table and draw one picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/kinds"), help="folder of pairs and runs")
    parser.add_argument("--subjects", nargs="+", choices=("hand", "body"), default=["hand", "body"])
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), default=list(WAYS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--pairs", type=int, default=6000, help="pairs to generate")
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--finished", action="store_true", help="make nothing, show the runs that are finished")
    parser.add_argument("--picture", type=Path, help="where to draw the curves; else in the folder")
    options = parser.parse_args()
    runs = [(s, way, seed) for s in options.subjects for way in options.ways for seed in options.seeds]
    logs = {run: lines for run in runs if (lines := log_of(*run, options))}
    print(f"{'':44}{'probe, mm':>12}{'at first':>12}{'margin':>10}{'view':>9}{'pose':>9}")
    for (subject, way, seed), lines in logs.items():
        last = lines[-1]
        cells = [f"{last[PROBE]:12.1f}", f"{lines[0][PROBE]:12.1f}"]
        margin = last.get("heldout_margin")
        cells.append(f"{'-':>10}" if margin is None else f"{margin:10.1%}")
        terms = (last.get(f"heldout_{name}") for name in ("cross_view", "cross_pose"))
        cells += [f"{'-':>9}" if term is None else f"{term:9.3f}" for term in terms]
        print(f"{f'{subject}, {way}, seed {seed}':44}" + "".join(cells))
    draw(logs, options.picture or options.out / "probe.png")


if __name__ == "__main__":
    main()
