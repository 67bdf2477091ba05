"""What is set about fine-tuning, whatever the task; and the configs of the tasks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from humanpt.engine.loop_config import LoopConfig
from humanpt.engine.optim import OptimConfig
from humanpt.errors import ConfigError
from humanpt.models.conv_trunk import ConvTrunkConfig
from humanpt.models.croco import CroCoConfig
from humanpt.tasks.classification import ClassesConfig
from humanpt.tasks.dense_samples import DensePoseConfig
from humanpt.tasks.mesh_config import MeshConfig

Kind = Literal["hand-mesh", "body-mesh", "dense-pose", "gesture", "grasp"]
Tune = Literal["all", "head", "norm"]


@dataclass(frozen=True, kw_only=True)
class FinetuneConfig:
    """A whole fine-tuning run but for its task, data and device."""

    kind: Kind
    """What is fine-tuned for, by the name that a user types."""
    recipe: str
    """Name of the recipe that sizes and schedule came from."""
    encoder: CroCoConfig = field(default_factory=CroCoConfig)
    """Sizes of the pre-trained network; weights of ours bring their own."""
    optim: OptimConfig = field(default_factory=OptimConfig)
    """Optimiser and schedule, in steps. Where cosine_steps is none the cosine ends with the run, and where warmup_steps
    is none the warm-up takes a twentieth of it."""
    loop: LoopConfig = field(default_factory=LoopConfig)
    """Length, batch, and when to log, evaluate and save."""
    split: str | None = None
    """The part of the data set, by its owners' name; none takes the one for training, or all."""
    heldout: float = 0.1
    """Share of the samples that is held out, by whole groups; with a single group nothing is."""
    labels: float = 1.0
    """Share of the other samples that is trained on; a smaller share lies within every larger one."""
    tune: Tune = "all"
    """What is trained: all weights, the head alone, or the head and the trunk's norms."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """What products are computed in; auto takes bf16 where the device multiplies in it."""
    attention: Literal["auto", "fused", "plain"] = "auto"
    """Kernel of attention; auto measures both when a run begins, and the faster one is kept in the run's config."""
    checkpoint_activations: bool = False
    """Whether blocks compute what is inside them again backward: less memory for more time, equal results."""
    workers: int = 2
    """Processes that read and augment pictures, for each process that trains."""
    threads: int | None = None
    """CPU threads of the network; None leaves it to torch. Part of what makes two runs on a CPU equal to the bit."""
    seed: int = 0
    """Seed of the first weights, the split, the choice of labels, the order and every draw."""

    @property
    def image_size(self) -> int:
        """Side of the pictures that the network sees, in pixels."""
        return self.encoder.image_size

    def __post_init__(self) -> None:
        if not 0 <= self.heldout < 1:
            raise ConfigError(f"heldout is {self.heldout}; it is a share of the samples, from 0 to below 1")
        if not 0 < self.labels <= 1:
            raise ConfigError(f"labels is {self.labels}; it is a share of the samples, above 0 and at most 1")
        if self.tune not in ("all", "head", "norm"):
            raise ConfigError(f"tune is {self.tune!r}; choose all, head or norm")
        if self.workers < 0:
            raise ConfigError(f"workers is {self.workers}; it must not be negative")
        if self.threads is not None and self.threads < 1:
            raise ConfigError(f"threads is {self.threads}; it must be at least 1")
        if self.optim.average_decay is None:
            raise ConfigError("optim.average_decay is none; fine-tuning keeps a running mean, 0 makes it the network")
        if self.loop.parallel == "fsdp":
            raise ConfigError("loop.parallel=fsdp is for pre-training alone; take loop.parallel=ddp")


@dataclass(frozen=True, kw_only=True)
class FinetuneMeshConfig(FinetuneConfig):
    """Fine-tuning for meshes of hands or bodies."""

    task: MeshConfig = field(default_factory=MeshConfig)
    """Head, body model, losses and crops."""
    heldout_pictures: int = 2000
    """Held-out pictures to measure on while a run goes on, at most."""
    trunk: Literal["vit", "conv"] = "vit"
    """What reads pictures: the encoder, or the small convolutional trunk of our own detector with its weights."""
    conv: ConvTrunkConfig = field(default_factory=ConvTrunkConfig)
    """Sizes of the convolutional trunk."""

    @property
    def image_size(self) -> int:
        """Side of the pictures that the network sees, in pixels."""
        return self.encoder.image_size if self.trunk == "vit" else self.conv.image_size

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.trunk not in ("vit", "conv"):
            raise ConfigError(f"trunk is {self.trunk!r}; choose vit or conv")
        if self.trunk == "conv" and (self.task.views == 2 or self.tune == "norm" or self.optim.layer_decay != 1):
            raise ConfigError(
                "trunk=conv has one view, no norms and no blocks: leave out views, tune=norm, layer_decay"
            )
        if self.heldout_pictures < 1:
            raise ConfigError(f"heldout_pictures is {self.heldout_pictures}; it must be at least 1")


@dataclass(frozen=True, kw_only=True)
class FinetuneDensePoseConfig(FinetuneConfig):
    """Fine-tuning for dense pose."""

    subject: Literal["body", "hand"] = "body"
    """Whose surface."""
    task: DensePoseConfig = field(default_factory=DensePoseConfig)
    """Head, losses and crops."""


@dataclass(frozen=True, kw_only=True)
class FinetuneClassesConfig(FinetuneConfig):
    """Fine-tuning for classes: gestures or grasps."""

    task: ClassesConfig = field(default_factory=ClassesConfig)
    """Head, loss and crops."""


AnyConfig = FinetuneMeshConfig | FinetuneDensePoseConfig | FinetuneClassesConfig


def refuse_epochs(names: Iterable[str]) -> None:
    """Refuse fields of `OptimConfig` that count in epochs: the schedule of fine-tuning is in steps.

    Raises:
        ConfigError: if one of them is among the names of fields.
    """
    for name in names:
        if name in ("optim.warmup_epochs", "optim.cosine_epochs"):
            steps = name.replace("epochs", "steps")
            raise ConfigError(f"--set {name}: it does nothing in fine-tuning, which counts in steps; set {steps}")
