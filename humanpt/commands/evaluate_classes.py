"""Gestures and grasps against their labels: figures, confusion and a page.

Letters: B pictures, C classes.
"""

from __future__ import annotations

import hashlib
import heapq
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from humanpt.commands.evaluation_samples import Chosen, Reading
from humanpt.commands.finetune_config import FinetuneClassesConfig
from humanpt.data.image import Rgb
from humanpt.data.labelled.class_folders import ClassSet
from humanpt.engine.report import Report
from humanpt.errors import InputError
from humanpt.pages.evaluation import ClassCase, write_class_report
from humanpt.scoring.card import Card
from humanpt.scoring.classes import ClassScores
from humanpt.tasks.classification import collate, predict

SHOWN = 50  # mistakes on the page


@torch.no_grad()
def evaluate_classes(
    config: FinetuneClassesConfig,
    network: nn.Module,
    chosen: Chosen,
    reading: Reading,
    page: Path | None,
    report: Report,
    predictor: str,
) -> tuple[Card, dict[str, float], dict[str, Any]]:
    """Score a classifier and write a page of it.

    Args:
        config: of its run.
        network: on the device.
        chosen: the pictures.
        reading: how.
        page: where a page is written; None writes none.
        report: told how far it is.
        predictor: what the card calls the network.

    Returns:
        The card, the figures, and `confusion`, `calibration`, `class_names` and `notes`.

    Raises:
        InputError: if the pictures are of other classes than the network knows, or one cannot be read.
    """
    data: ClassSet = chosen.data
    known = config.task.class_names
    strange = [name for name in data.class_names if name not in known]
    if strange:
        raise InputError(f"{chosen.spec}: has the class {strange[0]}, the network knows {', '.join(known)}")
    place_of = torch.tensor([known.index(name) for name in data.class_names])
    scores, mistakes, digest = ClassScores(known), list[tuple[float, int, ClassCase]](), hashlib.sha256()
    report.stage("evaluating", len(chosen.indices), "picture")
    with closing(reading.batches(chosen.samples(config), collate)) as batches:
        for batch in batches:
            chances = predict(network, batch.to(reading.device)).cpu()
            digest.update(chances.numpy().tobytes())
            confidence, predicted = chances.max(dim=1)
            true = place_of[batch.label]
            scores.add(predicted, true, confidence)
            for row in (predicted != true).nonzero()[:, 0].tolist():
                case = ClassCase(
                    name=data.name(int(batch.number[row])),
                    picture=_picture(batch.pictures[row]),
                    true=known[int(true[row])],
                    predicted=known[int(predicted[row])],
                    confidence=float(confidence[row]),
                )
                heapq.heappush(mistakes, (case.confidence, int(batch.number[row]), case))
                if len(mistakes) > SHOWN:
                    heapq.heappop(mistakes)
            report.advance(len(batch))
    result = scores.result()
    card = _card(config, chosen, predictor, digest.hexdigest())
    if page is not None:
        write_class_report(
            page,
            title=f"{config.kind} on {chosen.dataset}",
            card=card.document(),
            figures=result.figures,
            class_names=known,
            confusion=result.confusion.numpy(),
            worst=[case for _, _, case in sorted(mistakes, key=lambda one: -one[0])],
            calibration=result.calibration,
            notes=chosen.notes,
        )
    details = {"class_names": known, "confusion": result.confusion.tolist(), "calibration": result.calibration}
    return card, result.figures, details | {"notes": list(chosen.notes)}


def _card(config: FinetuneClassesConfig, chosen: Chosen, predictor: str, predictions_sha256: str) -> Card:
    return Card(
        benchmark="classes",
        dataset=chosen.dataset,
        split=chosen.split,
        count=len(chosen.indices),
        samples_sha256=chosen.sha256,
        subject="hand" if config.kind in ("gesture", "grasp") else "body",
        crops={"picture": "whole pictures"}.get(config.task.crop, f"our detector of a {config.task.crop}"),
        rules={"classes": list(config.task.class_names)},
        predictor=predictor,
        predictions_sha256=predictions_sha256,
    )


def _picture(rgb: torch.Tensor) -> Rgb:
    return np.ascontiguousarray(rgb.permute(1, 2, 0).cpu().numpy())
