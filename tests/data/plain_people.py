"""A person and a hand of plain blocks with the joint names of SMPL-X and MANO, in a T-pose with straight limbs.

They carry no licensed numbers, and differ from Anny in whatever a rig can: names, bones, reference pose.
"""

import numpy as np
import torch

from humanpt.body.model import BodyLayout, BodyMesh, BodyModel
from humanpt.data.mocap import amass as mocap_amass

OCTAHEDRON = np.array([[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]], dtype=float)
FACES = np.array([[0, 2, 4], [2, 1, 4], [1, 3, 4], [3, 0, 4], [2, 0, 5], [1, 2, 5], [3, 1, 5], [0, 3, 5]])
# Place of each finger's first joint beside the wrist of the left hand, palm down, and its bones' length.
KNUCKLES = {
    "index": (0.09, -0.028, 0.034),
    "middle": (0.09, 0.0, 0.038),
    "little": (0.08, 0.044, 0.026),
    "ring": (0.085, 0.023, 0.035),
}


def fingers(sign):
    """Names, parents relative to the wrist (-1) and offsets of 15 joints; sign is 1 on the left."""
    joints = []
    for finger, (along, aside, length) in KNUCKLES.items():
        joints.append((f"{finger}1", -1, (sign * along, 0.0, aside)))
        joints += [(f"{finger}{k}", len(joints) + k - 3, (sign * length, 0.0, 0.0)) for k in (2, 3)]
    joints.append(("thumb1", -1, (sign * 0.03, 0.01, -0.03)))
    return [*joints, ("thumb2", 12, (sign * 0.03, 0.01, -0.03)), ("thumb3", 13, (sign * 0.025, 0.005, -0.025))]


def person_joints():
    joints = list(mocap_amass.JOINTS)
    for side, sign in (("left", 1), ("right", -1)):
        wrist = [name for name, _, _ in joints].index(f"{side}_wrist")
        first = len(joints)
        joints += [
            (f"{side}_{name}", wrist if above < 0 else first + above, offset) for name, above, offset in fingers(sign)
        ]
    return joints


def hand_joints():
    return [("wrist", -1, (0, 0, 0)), *((name, above + 1, offset) for name, above, offset in fingers(-1))]


class PlainModel(BodyModel):
    """Blocks around joints, each moved by one of them; shape is a scale."""

    def __init__(self, joints, subject):
        names, parents, offsets = zip(*joints, strict=True)
        super().__init__(
            BodyLayout(
                name=f"plain-{subject}",
                subject=subject,
                side="right" if subject == "hand" else "none",
                rig="plain",
                topology="plain",
                pose_parameterization="local-joint",
                joint_names=names,
                parents=parents,
                keypoint_names=(),
                shape_names=("scale",),
                part_names=("all",),
                licence="CC0",
                credit="made for tests",
            )
        )
        self.offsets = torch.tensor(offsets, dtype=torch.float32)
        size = 0.008 if subject == "hand" else 0.03
        count = len(names)
        self.blocks = torch.tensor(np.tile(OCTAHEDRON * size, (count, 1)), dtype=torch.float32)
        faces = (FACES[None] + 6 * np.arange(count)[:, None, None]).reshape(-1, 3)
        self.register_buffer("faces", torch.from_numpy(faces))
        self.register_buffer("vertex_joint", torch.arange(count).repeat_interleave(6))
        self.register_buffer("parts", torch.zeros(len(faces), dtype=torch.int64))
        self.register_buffer("canonical", self.blocks)

    def forward(self, shape, pose, transl):
        batch = self.batch_of(shape, pose, transl)
        pose, shape, transl = pose.expand(batch, -1, -1, -1), shape.expand(batch, -1), transl.expand(batch, -1)
        turned, joints = [], []
        for joint, parent in enumerate(self.layout.parents):
            turned.append(pose[:, joint] if parent < 0 else turned[parent] @ pose[:, joint])
            start = transl if parent < 0 else joints[parent] + shape * (turned[parent] @ self.offsets[joint])
            joints.append(start)
        orientations, joints = torch.stack(turned, 1), torch.stack(joints, 1)
        local = (orientations[:, self.vertex_joint] @ self.blocks[..., None])[..., 0]
        vertices = joints[:, self.vertex_joint] + shape[:, None] * local
        return BodyMesh(vertices=vertices, joints=joints, keypoints=joints[:, :0], orientations=orientations)

    def mean_shape(self):
        return torch.ones(1, 1)

    def sample_shape(self, rng, count):
        return torch.ones(count, 1)
