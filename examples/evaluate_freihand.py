"""Evaluate a fine-tuned run of hands by FreiHAND's rules, on FreiHAND or on a folder written in its layout.

    python examples/evaluate_freihand.py RUN --root FREIHAND
    python examples/evaluate_freihand.py RUN --pairs PAIRS [--count N]

FREIHAND is the folder into which FreiHAND_pub_v2_eval was unpacked. Without it N generated hands of PAIRS, which
`humanpt mkpairs synthetic --hand` wrote, become a folder of that layout first: a pattern for your own recordings. Make
PAIRS with a seed of their own, as a network knows those that it was trained on. The folder's vertices are some of
Anny's in the place of MANO's, so only key points are measured.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
import typer

from humanpt.body.model import load_body_model
from humanpt.cli.console import Bars, print_table
from humanpt.commands import evaluate
from humanpt.commands.evaluate import EvaluateConfig
from humanpt.data.image import encode_jpeg, resize_square
from humanpt.data.labelled.freihand import SIZE
from humanpt.data.labelled.generated import GeneratedSet
from humanpt.data.labelled.mano_labels import VERTICES
from humanpt.data.labelled.record import mirrored
from humanpt.geometry.cameras import crop_intrinsics


def main(run: Path, root: Path | None = None, pairs: Path | None = None, count: int = 100) -> None:
    """Write the folder if there is none, evaluate, and show figures and protocol."""
    if root is None:
        if pairs is None:
            raise typer.BadParameter("give --root, or --pairs to make one from")
        root = run / "freihand-layout"
        write_hands(root, pairs, count)
    with Bars() as report:
        found = evaluate.run(run, EvaluateConfig(benchmark="freihand", data=str(root)), None, report)
    figures = [(name, f"{value:.4g}") for name, value in found["figures"].items()]
    print_table(f"{found['samples']} samples, FreiHAND's rules", ("", ""), figures)
    card = [(name, json.dumps(value)) for name, value in found["card"].items()]
    print_table("the protocol; figures with another one do not compare", ("", ""), card)
    print(f"open {found['report']}")


def write_hands(root: Path, pairs: Path, count: int) -> None:
    """Write generated hands in the layout of FreiHAND's evaluation part; left hands mirrored, as it has right ones."""
    data = GeneratedSet.open([pairs], subject="hand")
    body = load_body_model(data.layout.model or "")
    tables = dict[str, list[object]](K=[], xyz=[], verts=[], mano=[], scale=[])
    folder = root / "evaluation" / "rgb"
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(min(count, len(data))):
        labels, rgb = data.labels(number), data.picture(number)
        if labels.side == "left":
            labels, rgb = mirrored(labels, rgb.shape[1]), np.ascontiguousarray(rgb[:, ::-1])
        (folder / f"{number:08d}.jpg").write_bytes(encode_jpeg(resize_square(rgb, SIZE), quality=95))
        numbers = (labels.shape, labels.pose, labels.transl)
        mesh = body(*(torch.from_numpy(one)[None] for one in numbers if one is not None))
        intrinsics = crop_intrinsics(torch.from_numpy(labels.intrinsics), torch.from_numpy(labels.square), SIZE)
        tables["K"].append(intrinsics.tolist())
        tables["xyz"].append(labels.keypoints.tolist())
        tables["verts"].append(mesh.vertices[0, ::2][:VERTICES].tolist())
        tables["mano"].append([[0.0] * 61])
        tables["scale"].append(float(np.linalg.norm(labels.keypoints[10] - labels.keypoints[9])))
    for name, table in tables.items():
        (root / f"evaluation_{name}.json").write_text(json.dumps(table))


if __name__ == "__main__":
    typer.run(main)
