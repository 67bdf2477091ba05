"""Dense pose against its labels: GPS and average precision where distances along the surface are known, and pixels.

People are found in crops around their labelled boxes, so nobody is found twice or where nobody is; but what is found in
a crop may be more like a neighbour, and average precision then gives it to the neighbour, as its owners do.

Letters: B pictures, S side of a crop, P points.
"""

from __future__ import annotations

import hashlib
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from humanpt.body.geodesics import Distances, surface_distances
from humanpt.commands.evaluation_samples import Chosen, Reading, described
from humanpt.commands.finetune_config import FinetuneDensePoseConfig
from humanpt.data.labelled.densepose_distances import SITE, DensePoseDistances, missing_file
from humanpt.engine.report import Report
from humanpt.errors import ConfigError, InputError
from humanpt.metrics.dense import MOST_DETECTIONS, ONE_K, RECALLS, THRESHOLDS, Variant
from humanpt.pages.cases import CasePicker, Standing
from humanpt.pages.dense_pictures import DenseCase
from humanpt.pages.evaluation import write_dense_report
from humanpt.scoring.card import Card
from humanpt.scoring.dense import DenseScores
from humanpt.scoring.dense_crops import CropAnswer, in_company, person_found
from humanpt.tasks.dense_pose import answers
from humanpt.tasks.dense_samples import POINTS, SOME_PART, collate

NO_DISTANCES = "No GPS: {} is missing, of the files for evaluation that DensePose's owners publish at " + SITE + "."

OF_HANDS = "GPS is made for people: its k of 25.5 cm is longer than a hand, so on hands it hardly tells places apart."


@torch.no_grad()
def evaluate_dense(
    config: FinetuneDensePoseConfig,
    network: nn.Module,
    chosen: Chosen,
    variant: Variant,
    reading: Reading,
    page: Path | None,
    report: Report,
    predictor: str,
) -> tuple[Card, dict[str, float], dict[str, Any]]:
    """Score a network of dense pose and write a page of it.

    Args:
        config: of its run.
        network: on the device.
        chosen: the pictures.
        variant: of GPS.
        reading: how.
        page: where a page is written; None writes none.
        report: told how far it is.
        predictor: what the card calls the network.

    Returns:
        The card, the figures, and `per_part`.

    Raises:
        InputError: if the labels are of other parts or charts than the network's, or the owners' files of distances are
            damaged.
        ConfigError: if a k for each part of the body is asked for of hands.
    """
    layout, task = chosen.data.layout, config.task
    if config.subject == "hand" and variant == "k-per-part":
        raise ConfigError("--gps k-per-part is of parts of the body; leave it out for hands")
    if tuple(layout.part_names) != tuple(task.part_names) or layout.charts != task.charts:
        raise InputError(f"{chosen.spec}: labels on charts of {layout.charts}, the network answers on {task.charts}")
    distances, lacking = _distances(chosen)
    scores, picker, digest = DenseScores(variant, len(task.part_names)), CasePicker(), hashlib.sha256()
    counted = frozenset(chosen.indices.tolist())
    samples, place = chosen.samples(config), 0
    report.stage("evaluating", len(samples), "picture")
    with closing(reading.batches(samples, collate)) as batches:
        for batch in batches:
            found = answers(network, batch.pictures.to(reading.device))
            part, uv, sure = found.part.cpu(), found.uv.cpu(), found.confidence.cpu()
            digest.update(torch.cat((part[:, None], uv, sure[:, None]), dim=1).float().numpy().tobytes())
            named = batch.label < SOME_PART
            if batch.uv.any():  # otherwise only points have parts
                scores.add_pixels(part[named], batch.label[named], sure[named])
            for row in range(len(batch)):
                answer = CropAnswer(part[row], uv[row], sure[row], batch.square[row].numpy())
                person = person_found(answer, batch, row, distances)
                person = in_company(person, answer, chosen.data, counted, distances)
                similarity = scores.add(person)
                ranked = person.overlap if distances is None else similarity
                picker.add([place], [1 - ranked])
                place += 1
            report.advance(len(batch))
    result = scores.result()
    card = _card(config, chosen, variant, distances, predictor, digest.hexdigest())
    notes = [*chosen.notes, *([] if lacking is None else [NO_DISTANCES.format(lacking)])]
    notes += [OF_HANDS] if config.subject == "hand" else []
    per_part = {task.part_names[number - 1]: value for number, value in result.per_part.items()}
    if page is not None:
        write_dense_report(
            page,
            title=f"dense pose on {chosen.dataset}",
            card=card.document(),
            figures=result.figures,
            cases=_cases(network, samples, picker, reading),
            part_names=task.part_names,
            per_part=per_part or None,
            calibration=result.calibration or None,
            notes=notes,
        )
    return card, result.figures, {"per_part": per_part, "calibration": result.calibration, "notes": notes}


def _distances(chosen: Chosen) -> tuple[Distances | None, Path | None]:
    """What measures along the surface, or the file that is missing for it."""
    kind, _, model = chosen.data.layout.charts.partition(":")
    if kind == "canonical":
        return surface_distances(model), None
    lacking = missing_file(chosen.data.root)
    return (DensePoseDistances(chosen.data.root) if lacking is None else None), lacking


def _cases(network: nn.Module, samples: Any, picker: CasePicker, reading: Reading) -> dict[Standing, list[DenseCase]]:
    """The best, usual and worst pictures, looked at again."""
    return {
        standing: [_case(network, samples, place, reading) for place in places]
        for standing, places in picker.chosen().items()
    }


def _case(network: nn.Module, samples: Any, place: int, reading: Reading) -> DenseCase:
    batch = collate([samples[place]])
    found = answers(network, batch.pictures.to(reading.device))
    part, uv = found.part[0].cpu(), found.uv[0].cpu()
    label = batch.label[0].long()
    full = bool(((label > 0) & (label < SOME_PART)).any())
    there = batch.points_part[0] > 0
    return DenseCase(
        name=samples.data.name(int(batch.number[0])),
        picture=np.ascontiguousarray(batch.pictures[0].permute(1, 2, 0).numpy()),
        predicted_part=part.numpy(),
        predicted_uv=uv.permute(1, 2, 0).float().numpy(),
        true_part=label.masked_fill(label >= SOME_PART, 0).numpy() if full else None,
        true_uv=batch.uv[0].permute(1, 2, 0).float().numpy() if full else None,
        points=batch.points[0][there].numpy() if there.any() else None,
        points_part=batch.points_part[0][there].numpy() if there.any() else None,
        errors={"mask_iou": _overlap(part, label)},
    )


def _overlap(part: Tensor, label: Tensor) -> float:
    known = label <= SOME_PART
    either = (((part > 0) | (label > 0)) & known).sum()
    return float((((part > 0) & (label > 0)) & known).sum() / either) if either else float("nan")


def _card(
    config: FinetuneDensePoseConfig,
    chosen: Chosen,
    variant: Variant,
    distances: Distances | None,
    predictor: str,
    predictions_sha256: str,
) -> Card:
    layout = chosen.data.layout
    return Card(
        benchmark="dense-pose",
        dataset=described(chosen.data),
        split=chosen.split,
        count=len(chosen.indices),
        samples_sha256=chosen.sha256,
        subject=config.subject,
        mesh=layout.charts,
        crops="squares from the labels, one person each",
        rules={
            "picture size": f"{config.encoder.image_size} px, in which figures are taken",
            "gps": {"one-k": f"one k of {ONE_K} m", "k-per-part": "a k for each coarse part"}[variant],
            "geodesics": "none" if distances is None else distances.origin,
            "points": f"the labelled ones, or {POINTS} pixels spread over the body",
            "average precision": f"similarities from {THRESHOLDS[0]} to {THRESHOLDS[-1]}, {RECALLS} levels of recall",
            "matching": "what is found in each labelled person's crop, against all labelled people of its picture, "
            f"the {MOST_DETECTIONS} most confident of a picture; people elsewhere are not looked for",
            "sizes": "medium from 32^2 to 96^2 square pixels, by the owners' areas or else the masks'",
        },
        labels_licence=layout.licence,
        predictor=predictor,
        predictions_sha256=predictions_sha256,
    )
