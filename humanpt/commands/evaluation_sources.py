"""Predicted meshes and key points to be measured: of a network, of a file of ours, or of a file as a server
takes it.

Letters: B samples, K key points, V vertices.
"""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Dataset

from humanpt.body.skeletons import HAND_21
from humanpt.commands.evaluation_samples import Reading
from humanpt.commands.finetune_config import FinetuneMeshConfig
from humanpt.data.labelled.check import EXTENTS, UNITS, other_unit
from humanpt.data.labelled.ho3d import JOINTS as HO3D_JOINTS
from humanpt.data.labelled.ho3d import OPENGL
from humanpt.data.labelled.number_tables import read_numbers
from humanpt.data.labelled.record import Floats, Labelled, LabelledSet
from humanpt.data.records import SubjectKind
from humanpt.errors import InputError
from humanpt.models.mesh_heads import MeshNetwork
from humanpt.scoring.freihand import MANO_VERTICES
from humanpt.scoring.predictions import PredictionBatch, PredictionLayout, Predictions
from humanpt.tasks.mesh_recovery import Recovered, predict
from humanpt.tasks.mesh_samples import MeshBatch, MeshSample, MeshSamples, collate

TOO_LARGE = 10
"""Times the size of the largest subject, beyond which predicted key points are no mistake but told in another unit."""


class NetworkPredictions:
    """What a fine-tuned network says; a `MeshSource`.

    Args:
        config: of its run.
        network: on the device.
        samples: every one of those to be measured.
        reading: how.
        predictor: what the card calls the network.
    """

    def __init__(
        self, config: FinetuneMeshConfig, network: MeshNetwork, samples: MeshSamples, reading: Reading, predictor: str
    ) -> None:
        second = ", with a second view" if config.task.views == 2 else ""
        self.layout = PredictionLayout(
            subject=config.task.subject,
            keypoint_names=tuple(network.keypoint_names),
            model=config.task.model,
            predictor=predictor,
            crops=f"squares from the labels, times {config.task.margin:g}{second}",
            focal="the labels' camera matrices",
        )
        self._network, self._samples, self._reading = network, samples, reading

    def __len__(self) -> int:
        return len(self._samples)

    def batches(self) -> Generator[tuple[Sequence[Labelled], PredictionBatch]]:
        """Labels and predictions of all samples, in order."""
        with closing(self._reading.batches(_WithLabels(self._samples), _together)) as batches:
            for batch, labels in batches:
                found = predict(self._network, batch.to(self._reading.device))
                yield labels, _as_batch(found, [one.name for one in labels])


class _WithLabels(Dataset[tuple[MeshSample, Labelled]]):
    """Samples as the network sees them, and their labels as they are."""

    def __init__(self, samples: MeshSamples) -> None:
        self._samples = samples

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, place: int) -> tuple[MeshSample, Labelled]:
        return self._samples[place], self._samples.data.labels(self._samples.locate(place))


def _together(pairs: Sequence[tuple[MeshSample, Labelled]]) -> tuple[MeshBatch, list[Labelled]]:
    return collate([sample for sample, _ in pairs]), [labels for _, labels in pairs]


def _as_batch(found: Recovered, names: Sequence[str]) -> PredictionBatch:
    return PredictionBatch(
        names=tuple(names),
        keypoints=found.keypoints.numpy(),
        vertices=found.vertices.numpy(),
        pixels=found.pixels.numpy(),
        pose=None if found.pose is None else found.pose.numpy(),
        shape=None if found.shape is None else found.shape.numpy(),
        transl=None if found.transl is None else found.transl.numpy(),
        focal=found.focal.numpy(),
        focal_assumed=found.focal_assumed.numpy(),
    )


class FilePredictions:
    """What a file says; a `MeshSource`.

    Args:
        predictions: of ours, or those of a `pred.json`.
        data: the labels.
        indices: which samples.
        batch: samples read together.

    Raises:
        InputError: if the file has other samples, or is of another subject.
    """

    def __init__(
        self, predictions: Predictions | PredJson, data: LabelledSet, indices: NDArray[np.int64], batch: int
    ) -> None:
        self.layout = predictions.layout
        self._predictions, self._data, self._indices, self._batch = predictions, data, indices, batch
        if self.layout.subject != data.layout.subject:
            raise InputError(
                f"{predictions.path}: predictions of a {self.layout.subject}, {data.layout.dataset} has labels of a "
                f"{data.layout.subject}; name the data that they are of"
            )
        if len(predictions) != len(indices):
            raise InputError(
                f"{predictions.path}: {len(predictions)} samples are predicted, {data.layout.dataset} "
                f"{data.layout.split} has {len(indices)}; predict all of them, or name the split that they are of"
            )

    def __len__(self) -> int:
        return len(self._indices)

    def batches(self) -> Generator[tuple[Sequence[Labelled], PredictionBatch]]:
        """Labels and predictions of all samples, in order."""
        start = 0
        for found in self._predictions.batches(self._batch):
            numbers = self._indices[start : start + len(found.keypoints)].tolist()
            names = tuple(self._data.name(number) for number in numbers)
            for said, name in zip(found.names, names, strict=True):
                if said and said != name:
                    raise InputError(
                        f"{self._predictions.path}: sample {start} is {said!r}, where the data have {name!r}; "
                        "predict the samples of these data in their order"
                    )
            check_unit(found.keypoints, self._data.layout.subject, str(self._predictions.path), start)
            yield [self._data.labels(number) for number in numbers], _renamed(found, names)
            start += len(numbers)


class PredJson:
    """A server's `pred.json`: a list of key points (N, 21, 3) and one of vertices (N, V, 3), metres.

    Args:
        path: the file.
        benchmark: FreiHAND's has our order and axes; HO-3D's has MANO's joints and then the tips, in OpenGL axes.

    Raises:
        InputError: if it is missing, cut short, has another number of key points, or other axes.
    """

    def __init__(self, path: Path, benchmark: str) -> None:
        self.path = path
        try:
            numbers, lists = read_numbers(path)
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({error.strerror}); name a pred.json") from None
        # Every point is a list of three numbers; every sample has two lists; and there are the two and the one around.
        points, rest = divmod(len(numbers), 3)
        count, odd = divmod(lists - 3 - points, 2)
        if rest or odd or count < 1 or points % count:
            raise InputError(
                f"{path}: is no pair of lists of key points and vertices ({len(numbers)} numbers in {lists} lists); "
                "write it as FreiHAND's pred.py does"
            )
        each = points // count
        if each < len(HAND_21) or (each != len(HAND_21) + MANO_VERTICES and abs(each - MANO_VERTICES) < len(HAND_21)):
            raise InputError(
                f"{path}: {each - MANO_VERTICES} key points and {MANO_VERTICES} vertices for each sample; "
                f"there must be {len(HAND_21)} key points"
            )
        border = 3 * len(HAND_21) * count
        bad = np.flatnonzero(~np.isfinite(numbers))
        if len(bad):
            raise InputError(f"{path}: number {int(bad[0])} of the file is not finite; predict it again")
        opengl = benchmark.startswith("ho3d")
        signs = OPENGL if opengl else np.ones(3, np.float32)
        self._keypoints: Floats = numbers[:border].reshape(count, len(HAND_21), 3) * signs
        self._vertices: Floats = numbers[border:].reshape(count, each - len(HAND_21), 3) * signs
        if opengl and (self._keypoints[..., 2] < 0).all(axis=1).any():
            raise InputError(f"{path}: depths are positive, {benchmark}'s pred.json has OpenGL axes; negate y and z")
        mano = self._vertices.shape[1] == MANO_VERTICES
        digest = hashlib.sha256(numbers.tobytes()).hexdigest()
        self.layout = PredictionLayout(
            subject="hand",
            keypoint_names=HO3D_JOINTS if opengl else HAND_21,
            model="mano" if mano else None,
            predictor=f"{path.name} {digest[:12]}",
        )

    def __len__(self) -> int:
        return len(self._keypoints)

    def batches(self, size: int) -> Iterator[PredictionBatch]:
        """All predictions in order; the file has no names of samples."""
        for start in range(0, len(self), size):
            rows = slice(start, start + size)
            keypoints = self._keypoints[rows]
            vertices = self._vertices[rows] if self._vertices.shape[1] else None
            yield PredictionBatch(names=("",) * len(keypoints), keypoints=keypoints, vertices=vertices)


def check_unit(keypoints: Floats, subject: SubjectKind, where: str, first: int) -> None:
    """Refuse predictions that cannot be metres.

    Args:
        keypoints: (B, K, 3).
        subject: hands or people.
        where: the file, for the message.
        first: number of the first sample.

    Raises:
        InputError: naming the first sample that is far too large; points that all coincide are left alone.
    """
    extent = np.linalg.norm(np.ptp(keypoints, axis=1), axis=1)
    wrong = np.flatnonzero(extent > TOO_LARGE * EXTENTS[subject][1])
    if len(wrong):
        scale = other_unit(extent[wrong[0]], subject)
        unit = "another unit" if scale is None else UNITS[scale]
        raise InputError(
            f"{where}: sample {first + int(wrong[0])} is {extent[wrong[0]]:.0f} m large, so its points are told in "
            f"{unit}; write metres"
        )


def _renamed(found: PredictionBatch, names: tuple[str, ...]) -> PredictionBatch:
    return PredictionBatch(**(vars(found) | {"names": names, "errors": {}}))
