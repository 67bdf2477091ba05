"""Pre-training for real on shards: pairs per second and the share of time spent waiting for data. Not a test.

    python tests/benchmarks/end_to_end.py --workers 0 1 2 --json end.json

Each row is one `humanpt pretrain` in a process of its own; its figures are those of its summary. The share of waiting
is that of the last lines of its log, when the loader has got under way.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any


def pretrain(recipe: str, workers: int, options: argparse.Namespace, out: Path) -> dict[str, Any]:
    """Run the command; its summary, or the end of what it said."""
    steps = options.steps
    changes = [f"workers={workers}", f"loop.log_every={max(1, steps // 4)}", "heldout=0", "probe.pictures=0"]
    command = [
        *(sys.executable, "-m", "humanpt", "pretrain", "--recipe", recipe, f"--{options.subject}"),
        *(("--data", options.data) if options.data else ()),
        *("--out", out, "--steps", steps, "--batch-size", options.batch_size),
        *(word for change in (*changes, *options.set) for word in ("--set", change)),
    ]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{recipe} with {workers} workers failed:\n{done.stderr[-2000:]}")
    summary: dict[str, Any] = json.loads((out / "summary.json").read_text())
    return summary


def main() -> None:
    """Measure and print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of shards; else `humanpt pretrain` finds or generates them")
    parser.add_argument("--subject", choices=("body", "hand"), default="body")
    parser.add_argument("--recipes", nargs="+", default=["tiny", "vits16"])
    parser.add_argument("--workers", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--set", nargs="*", default=[], help="more changes, as task.augment_on_device=true")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    options = parser.parse_args()
    rows = []
    print(f"{'recipe':12}{'workers':>10}{'pairs/s':>12}{'waiting':>12}{'device':>24}{'precision':>12}")
    with tempfile.TemporaryDirectory() as temporary:
        for recipe in options.recipes:
            for workers in options.workers:
                summary = pretrain(recipe, workers, options, Path(temporary) / f"{recipe}-{workers}")
                waiting, speed = summary["figures"]["waiting"], summary["pairs_per_second"]
                where = str(summary["device"])[:22], summary["precision"]
                rows.append({"recipe": recipe, "workers": workers, "pairs_per_second": speed, "waiting": waiting})
                print(f"{recipe:12}{workers:>10}{speed:>12.1f}{waiting:>12.1%}{where[0]:>24}{where[1]:>12}", flush=True)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2))


if __name__ == "__main__":
    main()
