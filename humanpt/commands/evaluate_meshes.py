"""Predicted hands and bodies against their labels: a stream of both in, figures, predictions and a page out.

Predictions come from a network or from a file; either way they pass once, batch by batch, and only the few that the
page shows are read again.

Letters: B samples, K key points, V vertices.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from humanpt.commands.evaluation_samples import described
from humanpt.commands.evaluation_truth import TruthReader, drawable, make_case, part_errors
from humanpt.data.labelled.record import Labelled, LabelledSet
from humanpt.engine.report import Report
from humanpt.errors import InputError
from humanpt.pages.cases import Case, CasePicker, Standing, SurfaceErrors
from humanpt.pages.evaluation import write_evaluation_report
from humanpt.scoring.benchmarks import (
    OFFICIAL_COUNTS,
    Changes,
    alignment_text,
    gender_text,
    pose_protocol,
    rules_of,
)
from humanpt.scoring.breakdown import by_hidden, by_view_angle, view_angles
from humanpt.scoring.card import Card
from humanpt.scoring.pose import Points, PoseProtocol, PoseResult, PoseScores
from humanpt.scoring.predictions import (
    PredictionBatch,
    PredictionLayout,
    Predictions,
    PredictionWriter,
    write_predictions,
)

PREDICTIONS, REPORT = "predictions.h5", "report.html"
RANKED_BY = "pa_mpjpe_mm"
RANKED_IN_WORDS = "error of the key points after Procrustes"


class MeshSource(Protocol):
    """Where predictions come from."""

    @property
    def layout(self) -> PredictionLayout:
        """What they are told in."""
        ...

    def __len__(self) -> int: ...

    def batches(self) -> Generator[tuple[Sequence[Labelled], PredictionBatch]]:
        """Labels and predictions of all samples, in order; closed where it is left early."""
        ...


@dataclass(frozen=True, kw_only=True)
class MeshEvaluation:
    """What was found."""

    card: Card
    """The protocol."""
    result: PoseResult
    """Figures."""
    details: dict[str, Any]
    """What the page shows besides: `per_joint`, `per_part`, `by_occlusion`, `by_view_angle`, `pck_curve`."""


def evaluate_meshes(
    source: MeshSource,
    data: LabelledSet,
    indices: NDArray[np.int64],
    *,
    benchmark: str,
    split: str,
    changes: Changes,
    out: Path,
    report: Report,
    title: str,
    page: bool = True,
    notes: Sequence[str] = (),
) -> MeshEvaluation:
    """Score predictions, and write them and, if wanted, a page of them.

    Args:
        source: the predictions, one for each of the indices in their order.
        data: the labels.
        indices: which samples.
        benchmark: whose rules count.
        split: what the card calls the samples.
        changes: of the rules.
        out: folder of `predictions.h5` and `report.html`.
        report: told how far it is.
        title: of the page.
        page: whether to write it.
        notes: what a reader should know of the samples, one sentence each.

    Raises:
        HumanptError: of some kind, for whatever a user can mend.
    """
    reader = TruthReader(data.layout, source.layout.model)
    protocol = pose_protocol(benchmark, data.layout, source.layout.keypoint_names, reader.same_mesh, changes)
    measuring = _Measuring(protocol, reader, source.layout.keypoint_names, data.layout.keypoint_names)
    report.stage("evaluating", len(source), "sample")
    with write_predictions(out / PREDICTIONS, source.layout) as writer, closing(source.batches()) as batches:
        for labels, predicted in batches:
            measuring.add(labels, predicted, writer)
            report.advance(len(labels))
        card = _card(source, data, protocol, reader, writer, benchmark, split)
    result, details = measuring.result(), measuring.details()
    notes = [*notes, *_notes(card, benchmark)]
    if np.isnan(result.figures[RANKED_BY]):
        notes.append("Nothing of these samples is labelled, so that nothing is measured; --submission writes a file.")
    per_vertex, body, surface = result.per_vertex_mm, drawable(source.layout.model, "right"), None
    if per_vertex is not None and body is not None:
        surface = SurfaceErrors(
            vertices=body.canonical.numpy(), faces=body.faces.numpy(), errors_mm=per_vertex.float().numpy()
        )
        details["per_part"] = part_errors(body, per_vertex)
    if page:
        write_evaluation_report(
            out / REPORT,
            title=title,
            card=card.document(),
            figures=result.figures,
            cases=_cases(Predictions(out / PREDICTIONS), data, indices, measuring, report),
            surface=surface,
            ranked_by=RANKED_IN_WORDS,
            notes=notes,
            **details,
        )
    return MeshEvaluation(card=card, result=result, details=details | {"notes": notes})


class _Measuring:
    """All that an evaluation keeps of a stream."""

    def __init__(
        self, protocol: PoseProtocol, reader: TruthReader, predicted_names: Sequence[str], true_names: Sequence[str]
    ) -> None:
        self.protocol, self.reader = protocol, reader
        self._predicted_names, self._true_names = predicted_names, true_names
        self.scores, self.picker = PoseScores(protocol), CasePicker()
        self._hidden, self._angle = by_hidden(), by_view_angle(reader.layout.subject)
        self._place = 0

    def add(self, labels: Sequence[Labelled], predicted: PredictionBatch, writer: PredictionWriter) -> None:
        _refuse_strange(predicted)
        truth, names = self.reader(labels), self.protocol.keypoint_names
        true = _chosen(truth.points, self._true_names, names)
        each = self.scores.add(_chosen(_points(predicted), self._predicted_names, names), true, predicted.names)
        errors = each[RANKED_BY]
        self.picker.add(range(self._place, self._place + len(labels)), errors.tolist())
        self._place += len(labels)
        self._hidden.add(truth.hidden, errors)
        self._angle.add(view_angles(true.keypoints, names, truth.left), errors)
        writer.add(replace(predicted, errors={name: values.numpy() for name, values in each.items()}))

    def result(self) -> PoseResult:
        return self.scores.result()

    def details(self) -> dict[str, Any]:
        result = self.result()
        return {
            "per_joint": result.per_keypoint_mm,
            "by_occlusion": self._hidden.result(),
            "by_view_angle": self._angle.result(),
            "pck_curve": result.curves,
        }


def _refuse_strange(predicted: PredictionBatch) -> None:
    """Refuse predictions that are no numbers.

    Raises:
        InputError: naming the first sample that has some.
    """
    for what, points in (("key points", predicted.keypoints), ("vertices", predicted.vertices)):
        if points is not None and not np.isfinite(points).all():
            strange = np.flatnonzero(~np.isfinite(points).all(axis=(1, 2)))
            raise InputError(f"{predicted.names[strange[0]]}: the predicted {what} are not finite; predict it again")


def _card(
    source: MeshSource,
    data: LabelledSet,
    protocol: PoseProtocol,
    reader: TruthReader,
    writer: PredictionWriter,
    benchmark: str,
    split: str,
) -> Card:
    predicted, true = source.layout.model, reader.model
    meshes = predicted or "" if reader.same_mesh else " against ".join(str(name) for name in (predicted, true) if name)
    return Card(
        benchmark=benchmark,
        dataset=described(data),
        split=split,
        count=writer.count,
        samples_sha256=writer.names_sha256,
        subject=data.layout.subject,
        joints=protocol.keypoint_names,
        regressor=f"none; the points of {predicted} by their names" if predicted else "none",
        mesh=meshes,
        gender=gender_text(data.layout, predicted),
        root=protocol.root if "root" in protocol.alignments else (),
        alignment=alignment_text(protocol),
        reflections=protocol.mirror,
        crops=source.layout.crops,
        focal=source.layout.focal,
        rules=rules_of(protocol),
        labels_licence=data.layout.licence,
        predictor=source.layout.predictor,
        predictions_sha256=writer.sha256,
    )


def _notes(card: Card, benchmark: str) -> list[str]:
    official = OFFICIAL_COUNTS.get((benchmark, card.split))
    if official is not None and card.count != official:
        return [f"{card.count:,} of the {official:,} samples of {benchmark}; its published figures are of all of them."]
    return []


def _cases(
    predictions: Predictions, data: LabelledSet, indices: NDArray[np.int64], measuring: _Measuring, report: Report
) -> dict[Standing, list[Case]]:
    """The best, usual and worst samples, read again."""
    chosen = measuring.picker.chosen()
    report.stage("drawing cases", sum(map(len, chosen.values())), "case")
    cases: dict[Standing, list[Case]] = {}
    for standing, places in chosen.items():
        cases[standing] = []
        for place in places:
            cases[standing].append(
                case_at(predictions, place, data, int(indices[place]), measuring.protocol.keypoint_names)
            )
            report.advance()
    return cases


def case_at(predictions: Predictions, place: int, data: LabelledSet, number: int, names: Sequence[str]) -> Case:
    """One sample with its prediction.

    Args:
        predictions: the file.
        place: of the sample in it.
        data: the labels.
        number: of the sample there.
        names: of the key points to show.
    """
    labelled, predicted = data.labels(number), predictions.at([place])
    figures = {name: float(values[0]) for name, values in predicted.errors.items()}
    truth = TruthReader(data.layout, predictions.layout.model)([labelled]).points
    return make_case(
        labelled,
        data.picture(number),
        _chosen(truth, data.layout.keypoint_names, names),
        _chosen(_points(predicted), predictions.layout.keypoint_names, names),
        names,
        predictions.layout.model,
        {RANKED_BY: figures[RANKED_BY]} | figures,
    )


def _points(predicted: PredictionBatch) -> Points:
    mesh = None if predicted.vertices is None else torch.from_numpy(predicted.vertices)
    return Points(torch.from_numpy(predicted.keypoints), mesh)


def _chosen(points: Points, theirs: Sequence[str], names: Sequence[str]) -> Points:
    """Points with the key points of these names, in their order."""
    return Points(points.keypoints[:, [theirs.index(name) for name in names]], points.vertices)
