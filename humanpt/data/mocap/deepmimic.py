"""Clips of DeepMimic's humanoid (Peng et al., DeepMimic, SIGGRAPH 2018): JSON text with 44 numbers a frame.

A frame is its duration, the root's place and quaternion, then one quaternion a joint, a single angle for knees and
elbows; quaternions are wxyz. Axes are x forward, y up, z to the person's right; in the zero pose the arms hang. Lengths
of the bones are those of the humanoid that comes with the clips (data/characters/humanoid3d.txt in xbpeng/DeepMimic).

Letters: T frames, J joints.
"""

import json
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from humanpt.data.mocap.motion import Motion
from humanpt.data.poses.anatomy import Array, about
from humanpt.errors import InputError

LICENCE = "MIT, (c) 2018 Xue Bin Peng; github.com/xbpeng/DeepMimic"
WIDTH = 44

AXES = np.array([[0.0, 0, -1], [0, -1, 0], [-1, 0, 0]])  # forward, up, right to left, down, back: x, y, z of ours
HINGE = np.array([0.0, 0, 1])

# Joint, parent, offset in metres in the file's axes, numbers per frame.
JOINTS: tuple[tuple[str, str, tuple[float, float, float], int], ...] = (
    ("root", "", (0, 0, 0), 4),
    ("chest", "root", (0, 0.236151, 0), 4),
    ("neck", "chest", (0, 0.223894, 0), 4),
    ("right_hip", "root", (0, 0, 0.084887), 4),
    ("right_knee", "right_hip", (0, -0.421546, 0), 1),
    ("right_ankle", "right_knee", (0, -0.40987, 0), 4),
    ("right_shoulder", "chest", (-0.02405, 0.2435, 0.18311), 4),
    ("right_elbow", "right_shoulder", (0, -0.274788, 0), 1),
    ("right_wrist", "right_elbow", (0, -0.258947, 0), 0),
    ("left_hip", "root", (0, 0, -0.084887), 4),
    ("left_knee", "left_hip", (0, -0.421546, 0), 1),
    ("left_ankle", "left_knee", (0, -0.40987, 0), 4),
    ("left_shoulder", "chest", (-0.02405, 0.2435, -0.18311), 4),
    ("left_elbow", "left_shoulder", (0, -0.274788, 0), 1),
    ("left_wrist", "left_elbow", (0, -0.258947, 0), 0),
)
PARTNERS: dict[str, tuple[str, ...]] = {
    "root": ("root",),
    "spine": ("root", "chest"),
    "head": ("chest", "neck"),
    **{
        f"{part}/{side}": tuple(f"{side}_{joint}" for joint in joints)
        for side in ("left", "right")
        for part, joints in {
            "upperarm": ("shoulder", "elbow"),
            "forearm": ("elbow", "wrist"),
            "wrist": ("wrist",),
            "thigh": ("hip", "knee"),
            "shin": ("knee", "ankle"),
            "foot": ("ankle",),
        }.items()
    },
}


def read_deepmimic(path: Path, text: str) -> Motion:
    """Read a clip of DeepMimic.

    Args:
        path: where the text came from, for its name and for messages.
        text: the whole file.

    Raises:
        InputError: if the text is cut short, of another kind, or holds values that are not numbers.
    """
    try:
        frames = json.loads(text)["Frames"]
    except json.JSONDecodeError as error:
        raise InputError(f"{path}: line {error.lineno} is not JSON; the clip is cut short, copy it again") from error
    except (KeyError, TypeError) as error:
        raise InputError(f"{path}: no list of Frames; this is not a clip of DeepMimic") from error
    try:
        table = np.array(frames, dtype=np.float64)
    except (ValueError, TypeError) as error:
        raise InputError(
            f"{path}: frames of different lengths; a clip of DeepMimic has {WIDTH} numbers each"
        ) from error
    if table.ndim != 2 or table.shape[1] != WIDTH or not len(table):
        raise InputError(
            f"{path}: frames of shape {table.shape}; a clip of DeepMimic's humanoid3d has {WIDTH} numbers each"
        )
    durations = table[:-1, 0] if len(table) > 1 else table[:, 0]
    if not np.isfinite(table).all() or durations.min() <= 0:
        raise InputError(f"{path}: values that are not finite numbers, or frames without duration; take another clip")
    rotations = AXES @ _play(path, table[:, 4:]) @ AXES.T
    return Motion(
        name=path.stem,
        joint_names=tuple(name for name, _, _, _ in JOINTS),
        parents=tuple(_index(parent) for _, parent, _, _ in JOINTS),
        offsets=np.array([offset for _, _, offset, _ in JOINTS], dtype=np.float64) @ AXES.T,
        rotations=rotations,
        root=table[:, 1:4] @ AXES.T,
        rate=1.0 / float(durations.mean()),
        partners=PARTNERS,
        arms="hanging",
        licence=LICENCE,
    )


def _index(name: str) -> int:
    return next((i for i, joint in enumerate(JOINTS) if joint[0] == name), -1)


def _play(path: Path, table: Array) -> Array:
    """Absolute rotations (T, J, 3, 3) in the file's axes."""
    rotations = np.empty((len(table), len(JOINTS), 3, 3))
    column = 0
    for number, (name, parent, _, width) in enumerate(JOINTS):
        values = table[:, column : column + width]
        column += width
        if width == 4:
            if np.linalg.norm(values, axis=1).min() < 0.5:
                raise InputError(f"{path}: the quaternion of {name} is not of length one; this is not a DeepMimic clip")
            turn = Rotation.from_quat(values[:, (1, 2, 3, 0)]).as_matrix()  # the file has wxyz
        else:
            turn = about(HINGE, values[:, 0] if width else np.zeros(len(table)))
        rotations[:, number] = rotations[:, _index(parent)] @ turn if parent else turn
    return rotations
