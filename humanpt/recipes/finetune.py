"""Fine-tuning recipes: our own detector."""

from __future__ import annotations

from dataclasses import replace

from humanpt.commands.finetune import FinetuneDetectionConfig
from humanpt.data.cutout_people import CutOutConfig
from humanpt.data.detection_pictures import PictureConfig
from humanpt.engine.loop import LoopConfig
from humanpt.engine.optim import OptimConfig
from humanpt.models.heatmap import HeatMapConfig
from humanpt.recipes.pretrain import Subject
from humanpt.tasks.detection import DetectionConfig


def detection(subject: Subject) -> FinetuneDetectionConfig:
    """The recipe of the weights that humanpt ships: about an hour on one core."""
    pictures = PictureConfig(subject=subject)
    if subject == "hand":
        pictures = replace(pictures, shares=(0.06, 0.2, 0.74), near=(0.6, 1.7), min_pixels=16)
    return FinetuneDetectionConfig(
        recipe="detection",
        cutouts=CutOutConfig(people=2000),
        task=DetectionConfig(model=HeatMapConfig(kinds=1 if subject == "body" else 2), pictures=pictures),
        optim=OptimConfig(base_lr=0.024, betas=(0.9, 0.98), warmup_steps=300, cosine_steps=9000),
        loop=LoopConfig(
            steps=9000,
            batch_size=16,
            clip_norm=10.0,
            log_every=50,
            eval_every=500,
            save_every=250,
            tensorboard=False,
        ),
        threads=1,  # two such runs side by side use two cores better than one run with two threads
    )
