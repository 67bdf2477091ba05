"""The main job on the clips that come with the project: pairs of people and hands, a network on each, one page.

    python examples/quickstart.py [FOLDER]

Takes a few minutes on two cores. What it runs are the commands of the README, each printed before it starts.
"""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
from html import escape
from pathlib import Path

CLIPS = Path(__file__).parent / "clips"

# The clips are short: more pictures per second and more partners for each than on a real collection.
DENSE = ["every=0.06", "partners=4", "tries=8", "max_uses=8", "novelty=0.01"]

BODY_STEPS, HAND_STEPS = 3000, 2000


def humanpt(*words: object) -> None:
    """Run one command as a user would type it."""
    texts = [str(word) for word in words]
    print(f"\n$ humanpt {shlex.join(texts)}", flush=True)
    subprocess.run([sys.executable, "-m", "humanpt", *texts], check=True)


def train_on(kind: str, clips: list[Path], folder: Path, steps: int) -> None:
    """Pairs from clips, then a network on the pairs."""
    pairs, run = folder / f"{kind}-pairs", folder / f"{kind}-run"
    for old in (pairs, run):
        shutil.rmtree(old, ignore_errors=True)  # of an earlier quickstart
    dense = [word for rule in DENSE for word in ("--set", f"pairs.{rule}")]
    humanpt("mkpairs", *clips, f"--{kind}", "--out", pairs, "--source-licence", "see examples/clips", *dense)
    small = ["--recipe", "tiny", "--steps", steps, "--precision", "fp32"]  # so small a network gains nothing from bf16
    humanpt("pretrain", f"--{kind}", "--data", pairs, "--out", run, *small)


def write_index(folder: Path) -> Path:
    """One page that leads to the others."""
    rows = []
    for kind in ("body", "hand"):
        pairs = json.loads((folder / f"{kind}-pairs" / "summary.json").read_text())
        run = json.loads((folder / f"{kind}-run" / "summary.json").read_text())
        margin = run["figures"].get("heldout_margin")
        told = f"a wrong reference makes it {margin:+.1%} worse" if margin is not None else "nothing was held out"
        rows.append(
            f"<h2>{kind}</h2><p><a href='{kind}-pairs/preview.html'>{pairs['pairs']} pairs</a> from "
            f"{pairs['parts']} clips. <a href='{kind}-run/report.html'>What the network learned</a> in "
            f"{run['steps']} steps: {escape(told)}.</p>"
        )
    page = folder / "index.html"
    page.write_text(
        "<!doctype html><meta charset='utf-8'><title>humanpt quickstart</title>"
        "<body style='font:16px/1.5 system-ui;max-width:44rem;margin:3rem auto;padding:0 1rem'>"
        "<h1>humanpt quickstart</h1>" + "".join(rows) + "</body>\n"
    )
    return page


def main() -> None:
    """Do it all and say where to look."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "quickstart")
    train_on("body", [CLIPS / "pose2sim_single" / "videos"], folder, BODY_STEPS)
    train_on("hand", [CLIPS / "hand"], folder, HAND_STEPS)
    print(f"\nopen {write_index(folder).resolve()}")


if __name__ == "__main__":
    main()
