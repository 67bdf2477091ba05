"""Train a classifier on a folder of pictures and count what it takes for what, on pictures that it never saw.

    python examples/classify_gestures.py PICTURES [--init RUN] [--folds N] [--steps N] [--out FOLDER]

PICTURES holds a folder for each class. The pictures are parted into N folds, and each fold is predicted by a network
that was trained on the others, so that even some dozens of pictures give a figure. RUN is what `humanpt pretrain
--hand` wrote; without it the first weights are random.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import typer

from humanpt.cli.console import Bars, print_table
from humanpt.commands import evaluate, finetune
from humanpt.commands.evaluate import EvaluateConfig
from humanpt.recipes.finetune import finetune_recipe


def main(
    pictures: Path,
    init: Path | None = None,
    folds: int = 4,
    steps: int = 150,
    out: Path = Path("gestures"),
) -> None:
    """Train and evaluate once for each fold, and add up."""
    config = finetune_recipe("gesture", "tiny" if init is None else None, init)
    confusion, names = np.zeros(()), list[str]()
    with Bars() as report:
        for fold in range(folds):
            run = out / f"fold-{fold}"
            changes = [f"loop.steps={steps}", "loop.batch_size=16", f"task.folds={folds}", f"task.fold={fold}"]
            trained = finetune.run(config, changes, str(pictures), run, report, init=init)
            if trained["interrupted"]:
                raise typer.Exit(130)
            # The last weights, for the best are chosen by their loss on the very pictures that are counted here.
            details = evaluate.run(Path(trained["last"]), EvaluateConfig(), None, report)["details"]
            confusion, names = confusion + np.array(details["confusion"]), details["class_names"]
    rows = [(name, *counts) for name, counts in zip(names, confusion.astype(int).tolist(), strict=True)]
    print_table("rows are what is shown, columns what was said", ("", *names), rows)
    right, recalls = confusion.trace() / confusion.sum(), confusion.diagonal() / confusion.sum(axis=1)
    print(
        f"right: {right:.0%} of {confusion.sum():.0f} pictures, {recalls.mean():.0%} as a mean over classes; ", end=""
    )
    print(f"chance is {1 / len(names):.0%}. Each fold has its own page: {out}/fold-*/eval-*/report.html")


if __name__ == "__main__":
    typer.run(main)
