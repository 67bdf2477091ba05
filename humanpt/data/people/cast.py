"""What generated scenes are made from: body models, poses, motions and photographs, each loaded when first wanted."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from humanpt.body.model import BodyModel
from humanpt.data.mocap.library import MotionLibrary
from humanpt.data.people.config import PeopleConfig
from humanpt.data.people.staging import Floats, body_model
from humanpt.data.poses.sample import BodyPoses, HandPoses
from humanpt.data.records import Side
from humanpt.errors import ConfigError, InputError

POSES = 16
"""Poses drawn at once: quicker than one by one."""


class Cast:
    """What scenes of one kind are made from, loaded once in each process: models, pose samplers, motions.

    Raises:
        InputError: if the model, or later the motions or photographs named in the config, cannot be read.
        ConfigError: if the model shows something else than the subject of the config, or there is no such device.
    """

    def __init__(self, config: PeopleConfig) -> None:
        self.config = config
        self.name = config.model_name
        sides: tuple[Side, ...] = ("none",) if config.subject == "body" else ("left", "right")
        self.models: dict[Side, BodyModel] = {side: body_model(self.name, side) for side in sides}
        shown = self.models[sides[0]].layout.subject
        if shown != config.subject:
            raise ConfigError(
                f"model {self.name} is a {shown}, the subject is a {config.subject}; choose another model"
            )
        if config.device != "cpu" and not (config.device.startswith("cuda") and torch.cuda.is_available()):
            raise ConfigError(f"device {config.device}: there is none here; set device=cpu")

    def check(self) -> None:
        """Raise now what drawing scenes would raise later, if folders of the config hold nothing."""
        if self.config.subject == "body":
            _ = self.motions
        _ = self.photographs

    @cached_property
    def motions(self) -> MotionLibrary:
        """Recorded motions, put on the body."""
        return MotionLibrary(Path(self.config.motions) if self.config.motions else None, self.models["none"])

    @cached_property
    def photographs(self) -> list[Path]:
        """The pictures that may hang on walls."""
        return find_photographs(Path(self.config.photographs)) if self.config.photographs else []

    @cached_property
    def body_poses(self) -> BodyPoses:
        """Draws poses of bodies."""
        return BodyPoses(self.models["none"])

    @cached_property
    def hand_poses(self) -> dict[Side, HandPoses]:
        """Draws poses of left and of right hands."""
        return {side: HandPoses(model) for side, model in self.models.items()}


class PoseStock:
    """Body poses drawn several at a time, and only if asked for."""

    def __init__(self, cast: Cast, rng: np.random.Generator) -> None:
        self._cast, self._rng = cast, rng

    @cached_property
    def poses(self) -> Floats:
        """(POSES, J, 3, 3)."""
        return self._cast.body_poses.sample(self._rng, POSES).numpy()


def find_photographs(folder: Path) -> list[Path]:
    """The pictures in a folder and the folders in it, sorted.

    Raises:
        InputError: if there are none.
    """
    kinds = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp")
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in kinds) if folder.is_dir() else []
    if not found:
        raise InputError(f"{folder}: no photographs in this folder; name another, or leave `photographs` empty")
    return found
