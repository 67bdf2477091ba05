"""What each family of tasks brings to fine-tuning: its data, its network on a trunk, its samples, its loss.

A family is asked for its parts in this order: data, the config with what the data decide, the split, the network, the
samples, the task.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import nn
from torch.utils.data import Dataset

from humanpt.body.model import load_body_model
from humanpt.commands.finetune_config import (
    AnyConfig,
    FinetuneClassesConfig,
    FinetuneDensePoseConfig,
    FinetuneMeshConfig,
    Kind,
)
from humanpt.commands.generated_pairs import generated_pairs
from humanpt.data.labelled import open_labelled
from humanpt.data.labelled.class_folders import ClassSet, open_classes
from humanpt.data.labelled.dense import DenseSet
from humanpt.data.labelled.open_dense import open_dense
from humanpt.data.labelled.record import LabelledSet
from humanpt.data.split import split_groups, spread
from humanpt.engine.average import Averaged
from humanpt.engine.report import Report
from humanpt.engine.task import AnyTask
from humanpt.errors import ConfigError, InputError
from humanpt.models.conv_trunk import ConvTrunk
from humanpt.models.mesh_heads import BODY_MODELS, HAND_MODELS, MeshNetwork
from humanpt.models.trunk import Trunk
from humanpt.tasks import classification, dense_pose, mesh_recovery

Indices = NDArray[np.int64]
ConfigT = TypeVar("ConfigT", bound=AnyConfig)
DataT = TypeVar("DataT", LabelledSet, DenseSet, ClassSet)


class Family(ABC, Generic[ConfigT, DataT]):
    """Tasks that share a head and the form of their labels."""

    config_type: type[ConfigT]
    """The class of its configs."""
    collate: Callable[..., Any]
    """Makes a batch of samples."""
    samples_type: type[Dataset[Any]]
    """Samples of the data: (data, indices, config of the task, image size, seed, training=)."""
    task_type: Callable[..., AnyTask]
    """Loss, figures and pictures: (config of the task, model, held-out samples)."""

    @abstractmethod
    def open(self, config: ConfigT, spec: str | None, report: Report) -> tuple[str, DataT]:
        """Find the data, or generate some where none are named; and what they are named by."""

    @abstractmethod
    def settle(self, config: ConfigT, data: DataT, chosen: Collection[str], report: Report) -> ConfigT:
        """The config with what the data decide; `chosen` are the fields that the user set."""

    def split(self, config: ConfigT, data: DataT) -> tuple[Indices, Indices]:
        """Sorted indices for training and of what is held out."""
        return split_groups(data.groups, config.heldout, config.seed)

    def classes(self, data: DataT) -> Indices | None:
        """What a share of labels is taken of separately; None where they have no classes."""
        return None

    def views(self, config: ConfigT) -> int:
        """Pictures of a sample."""
        return 1

    @abstractmethod
    def network(self, config: ConfigT) -> nn.Module:
        """The network, its first weights drawn from torch's generator; `trunk` is what pre-trained weights are for."""

    def samples(self, config: ConfigT, data: DataT, indices: Indices, *, training: bool) -> Dataset[Any]:
        """The samples of a run, at stream positions in training and at places otherwise."""
        make: Callable[..., Dataset[Any]] = self.samples_type
        return make(data, indices, config.task, config.image_size, config.seed, training=training)

    def start(self, network: nn.Module, samples: Dataset[Any]) -> None:
        """Let predictions begin at what the labels are about, where the head is made for that."""

    def task(self, config: ConfigT, model: Averaged[nn.Module], heldout: Dataset[Any] | None) -> AnyTask:
        """Loss, figures and pictures."""
        assert heldout is None or isinstance(heldout, self.samples_type)
        return self.task_type(config.task, model, heldout)

    @abstractmethod
    def about(self, data: DataT) -> Mapping[str, Any]:
        """Name, terms and meaning of the data, for the ledger; `licence` among it."""


class MeshFamily(Family[FinetuneMeshConfig, LabelledSet]):
    """Meshes of hands and bodies."""

    config_type = FinetuneMeshConfig
    collate = staticmethod(mesh_recovery.collate)
    samples_type, task_type = mesh_recovery.MeshSamples, mesh_recovery.MeshTask

    def open(self, config: FinetuneMeshConfig, spec: str | None, report: Report) -> tuple[str, LabelledSet]:
        """A data set by NAME:ROOT or folder."""
        if spec is None:
            load_body_model(config.task.model)  # a missing file is told before pairs are generated
            spec = str(generated_pairs(config.task.subject, report))
        return spec, open_labelled(spec, config.split, subject=config.task.subject)

    def settle(
        self, config: FinetuneMeshConfig, data: LabelledSet, chosen: Collection[str], report: Report
    ) -> FinetuneMeshConfig:
        """Take the body model of the labels, where the user chose none and it is at hand."""
        theirs, ours = data.layout.model, config.task.model
        fitting = HAND_MODELS if config.task.subject == "hand" else BODY_MODELS
        if theirs == ours or theirs not in fitting or "task.model" in chosen:
            return config
        try:
            load_body_model(theirs)
        except InputError as error:
            report.note(f"labels are of {theirs}, which is not at hand, so key points alone train {ours} ({error})")
            return config
        return replace(config, task=replace(config.task, model=theirs))

    def views(self, config: FinetuneMeshConfig) -> int:
        """As its head reads them."""
        return config.task.views

    def network(self, config: FinetuneMeshConfig) -> nn.Module:
        """Trunk and mesh head."""
        body = load_body_model(config.task.model)
        trunk = ConvTrunk(config.conv) if config.trunk == "conv" else Trunk(config.encoder, config.task.views)
        return MeshNetwork(trunk, config.task, body)

    def samples(
        self, config: FinetuneMeshConfig, data: LabelledSet, indices: Indices, *, training: bool
    ) -> Dataset[Any]:
        """Crops with their cameras, of what is held out so many at most."""
        indices = indices if training else spread(indices, config.heldout_pictures)
        return super().samples(config, data, indices, training=training)

    def start(self, network: nn.Module, samples: Dataset[Any]) -> None:
        """Begin at the mean pose of the labels."""
        assert isinstance(network, MeshNetwork)
        assert isinstance(samples, mesh_recovery.MeshSamples)
        network.start_at(samples.means())

    def about(self, data: LabelledSet) -> Mapping[str, Any]:
        """The layout."""
        return asdict(data.layout)


class DensePoseFamily(Family[FinetuneDensePoseConfig, DenseSet]):
    """Parts and surface coordinates."""

    config_type = FinetuneDensePoseConfig
    collate = staticmethod(dense_pose.collate)
    samples_type, task_type = dense_pose.DensePoseSamples, dense_pose.DensePoseTask

    def open(self, config: FinetuneDensePoseConfig, spec: str | None, report: Report) -> tuple[str, DenseSet]:
        """Generated people, or DensePose-COCO."""
        spec = spec or str(generated_pairs(config.subject, report))
        return spec, open_dense(spec, config.split, subject=config.subject)

    def settle(
        self, config: FinetuneDensePoseConfig, data: DenseSet, chosen: Collection[str], report: Report
    ) -> FinetuneDensePoseConfig:
        """Take over the names of the parts, and whose charts they have."""
        layout = data.layout
        return replace(config, task=replace(config.task, part_names=tuple(layout.part_names), charts=layout.charts))

    def network(self, config: FinetuneDensePoseConfig) -> nn.Module:
        """Trunk and dense head."""
        return dense_pose.DensePoseNetwork(Trunk(config.encoder), config.task)

    def about(self, data: DenseSet) -> Mapping[str, Any]:
        """The layout."""
        return asdict(data.layout)


class ClassesFamily(Family[FinetuneClassesConfig, ClassSet]):
    """Gestures and grasps."""

    config_type = FinetuneClassesConfig
    collate = staticmethod(classification.collate)
    samples_type, task_type = classification.ClassesSamples, classification.ClassesTask

    def open(self, config: FinetuneClassesConfig, spec: str | None, report: Report) -> tuple[str, ClassSet]:
        """A folder per class, or a table; the split for training where there are splits."""
        if spec is None:
            raise ConfigError(f"{config.kind} has no data; give --data a folder with a folder per class, or a CSV file")
        return spec, open_classes(Path(spec).expanduser(), config.split)

    def settle(
        self, config: FinetuneClassesConfig, data: ClassSet, chosen: Collection[str], report: Report
    ) -> FinetuneClassesConfig:
        """Take over the names of the classes."""
        return replace(config, task=replace(config.task, class_names=data.class_names))

    def split(self, config: FinetuneClassesConfig, data: ClassSet) -> tuple[Indices, Indices]:
        """By whole groups, class by class, or by folds."""
        return classification.part(data, config.task, config.heldout, config.seed)

    def classes(self, data: ClassSet) -> Indices | None:
        """The labels."""
        return data.labels

    def network(self, config: FinetuneClassesConfig) -> nn.Module:
        """Trunk and linear map."""
        return classification.ClassesNetwork(Trunk(config.encoder), config.task)

    def about(self, data: ClassSet) -> Mapping[str, Any]:
        """Where the pictures are, and the classes."""
        return {
            "dataset": data.root.name,
            "licence": "of the user's own pictures, unknown",
            "class_names": data.class_names,
        }


FAMILIES: Mapping[Kind, Family[Any, Any]] = {
    "hand-mesh": MeshFamily(),
    "body-mesh": MeshFamily(),
    "dense-pose": DensePoseFamily(),
    "gesture": ClassesFamily(),
    "grasp": ClassesFamily(),
}
"""By the name that a user types."""
