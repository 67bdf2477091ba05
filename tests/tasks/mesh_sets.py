"""Labelled hands and bodies in memory, whose pictures are blurred noise: what mesh tests train and measure on."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import torch

from humanpt.body.model import load_body_model
from humanpt.body.skeletons import ROOTS
from humanpt.data.labelled.record import LabelLayout, Labelled, mirrored
from humanpt.geometry.cameras import project
from humanpt.geometry.rotations import rotvec_to_rotmat

WIDTH, HEIGHT = 120, 100


class MadeSet:
    """A `LabelledSet` of `count` subjects, hands right and left in turn; each two are partners and one group."""

    def __init__(self, model: str = "anny-hand", count: int = 6, *, sides: tuple[str, ...] | None = None) -> None:
        self.body = load_body_model(model)
        layout = self.body.layout
        self.layout = LabelLayout(
            dataset="made",
            split="all",
            subject=layout.subject,
            keypoint_names=layout.keypoint_names,
            model=model,
            root_names=ROOTS[layout.subject],
            licence="CC0",
            site="made here",
        )
        self.groups = np.arange(count) // 2
        self.partners = np.arange(count) ^ 1
        self.changes: dict[int, dict[str, object]] = {}
        usual = ("right", "left") if layout.subject == "hand" else ("none",)
        self.sides = [(sides or usual)[index % len(sides or usual)] for index in range(count)]

    def __len__(self) -> int:
        return len(self.groups)

    def name(self, index: int) -> str:
        return f"made/{index}"

    def labels(self, index: int) -> Labelled:
        """A right hand or a body away from the middle of the picture; a left hand is its mirror image."""
        rng, layout = torch.Generator().manual_seed(index), self.body.layout
        shape = torch.rand(1, len(layout.shape_names), generator=rng) * 0.8 + 0.1
        turns = torch.randn(1, len(layout.joint_names), 3, generator=rng) * 0.2
        turns[:, 0] *= 3
        hand = layout.subject == "hand"
        transl = torch.tensor([[0.1, -0.08, 0.8] if hand else [0.5, -0.3, 5.0]]) + 0.02 * torch.randn(
            1, 3, generator=rng
        )
        pose = rotvec_to_rotmat(turns)
        with torch.no_grad():
            mesh = self.body(shape, pose, transl)
        intrinsics = torch.tensor([[150.0, 0, 61.5], [0, 148.0, 47.0], [0, 0, 1]])
        pixels = project(mesh.keypoints[0], intrinsics).numpy()
        centre, half = (pixels.min(0) + pixels.max(0)) / 2, 0.7 * (pixels.max(0) - pixels.min(0)).max()
        labelled = Labelled(
            name=self.name(index),
            group=str(self.groups[index]),
            side="right" if hand else "none",
            square=np.concatenate([centre - half, centre + half]).astype(np.float32),
            intrinsics=intrinsics.numpy(),
            focal_from="calibration",
            keypoints=mesh.keypoints[0].numpy(),
            pixels=pixels,
            shape=shape[0].numpy(),
            pose=pose[0].numpy(),
            transl=transl[0].numpy(),
        )
        if self.sides[index] == "left":
            labelled = mirrored(labelled, WIDTH)
        elif hand:
            labelled = replace(labelled, side=self.sides[index])
        return replace(labelled, **self.changes.get(index, {}))

    def picture(self, index: int) -> np.ndarray:
        """Blurred noise; the picture of a left hand is mirrored, too."""
        noise = np.random.default_rng(index).integers(0, 256, (8, 10, 3), dtype=np.uint8)
        picture = cv2.resize(noise, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
        return np.ascontiguousarray(picture[:, ::-1]) if self.sides[index] == "left" else picture
