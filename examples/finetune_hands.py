"""Fine-tune a small network for hand meshes on generated hands, then draw what it sees in a picture of yours.

    python examples/finetune_hands.py PICTURE [--init RUN] [--pairs FOLDER] [--steps N] [--out FOLDER]

RUN is what `humanpt pretrain --hand` wrote; without it the first weights are random. FOLDER is what `humanpt mkpairs
synthetic --hand` wrote; without it a thousand pairs are generated, which takes a few minutes. Leaves OUT/run, with a
report of its own, and OUT/overlay.png.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import torch
import typer

from humanpt.cli.console import Bars
from humanpt.commands import finetune
from humanpt.commands.finetune import load_finetuned
from humanpt.commands.finetune_config import FinetuneMeshConfig
from humanpt.data.frame import ArrayFrame
from humanpt.data.harvest import side_of
from humanpt.data.image import Rgb, read_image
from humanpt.detect.heatmap import OwnDetector
from humanpt.models.mesh_heads import MeshNetwork
from humanpt.recipes.finetune import finetune_recipe
from humanpt.render.overlay import draw_boxes, draw_mesh
from humanpt.tasks.mesh_pictures import recover


def main(
    picture: Path,
    init: Path | None = None,
    pairs: Path | None = None,
    steps: int = 1000,
    out: Path = Path("finetuned-hands"),
) -> None:
    """Fine-tune, look at the picture, draw."""
    config = finetune_recipe("hand-mesh", "tiny" if init is None else None, init)
    with Bars() as report:
        data = None if pairs is None else str(pairs)
        summary = finetune.run(config, [f"loop.steps={steps}"], data, out / "run", report, init=init)
    figures = summary["best_figures"]
    print(
        f"held-out hands, after a similarity fit: {figures['heldout_pa_mpjpe_mm']:.1f} mm, where the mean pose scores "
        f"{figures['heldout_mean_pa_mpjpe_mm']:.1f} mm; see {summary['report']}"
    )
    rgb = read_image(picture)
    (drawn,) = overlays(out / "run", [rgb])
    overlay = out / "overlay.png"
    cv2.imwrite(str(overlay), cv2.cvtColor(drawn, cv2.COLOR_RGB2BGR))
    print(f"open {overlay}")


def overlays(run: Path, pictures: Sequence[Rgb]) -> list[Rgb]:
    """Pictures (H, W, 3) with the hands that our own detector finds, and the meshes that the network of a run sees."""
    config, network, _ = load_finetuned(run, torch.device("cpu"), ["hand-mesh"])
    assert isinstance(config, FinetuneMeshConfig)
    assert isinstance(network, MeshNetwork)
    detector, drawn = OwnDetector("hand"), []
    for rgb in pictures:
        found = detector.detect(ArrayFrame(0, 0.0, rgb))
        meshes = recover(network, config.task, rgb, found.boxes, [side_of(kind) for kind in found.kinds])
        if meshes:
            vertices, faces = [mesh.vertices for mesh in meshes], [mesh.faces for mesh in meshes]
            rgb = draw_mesh(rgb, vertices, faces, meshes[0].intrinsics)
        drawn.append(draw_boxes(rgb, found.boxes, labels=[f"{score:.0%}" for score in found.scores]))
    return drawn


if __name__ == "__main__":
    typer.run(main)
