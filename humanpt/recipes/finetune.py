"""Fine-tuning recipes: our own detector."""

from __future__ import annotations

from dataclasses import replace

from humanpt.commands.finetune_detection import FinetuneDetectionConfig
from humanpt.data.detection.cutout_people import CutOutConfig
from humanpt.data.detection.pictures import PictureConfig
from humanpt.engine.loop_config import LoopConfig
from humanpt.engine.optim import OptimConfig
from humanpt.models.heatmap import HeatMapConfig
from humanpt.recipes.pretrain import Subject
from humanpt.tasks.detection import DetectionConfig


def detection(subject: Subject) -> FinetuneDetectionConfig:
    """What the shipped weights taught, in one run: small pictures, as many as one core sees in two hours.

    The shipped weights were made in stages that led here; docs/detector.md lists them.
    """
    pictures = PictureConfig(subject=subject, size=128, figures=(0.16, 1.3), near=(0.5, 1.5))
    if subject == "hand":
        pictures = replace(pictures, shares=(0.06, 0.2, 0.74), near=(0.6, 1.7))
    model = HeatMapConfig(kinds=1 if subject == "body" else 2)
    return FinetuneDetectionConfig(
        recipe="detection",
        cutouts=CutOutConfig(people=1500),
        task=DetectionConfig(model=model, pictures=pictures, kind_weight=1.0),
        optim=OptimConfig(
            base_lr=0.0128, betas=(0.9, 0.98), warmup_steps=300, cosine_steps=20_000, average_decay=0.999
        ),
        loop=LoopConfig(
            steps=20_000,
            batch_size=32,
            clip_norm=10.0,
            log_every=50,
            eval_every=500,
            save_every=250,
            tensorboard=False,
        ),
        threads=1,  # two such runs side by side use two cores better than one run with two threads
    )
