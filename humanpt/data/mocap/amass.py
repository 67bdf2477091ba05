"""AMASS archives (Mahmood et al., AMASS, ICCV 2019): poses of SMPL-H or SMPL-X in .npz, which users bring themselves.

Poses are axis and angle of each joint relative to its parent, 22 body joints first; the world is z up. The zero pose is
a T-pose, whose bones are taken to be level arms and straight legs: only directions matter for retargeting.

Letters: T frames, J joints.
"""

from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from humanpt.data.mocap.motion import Motion
from humanpt.data.poses.anatomy import Array, absolute
from humanpt.errors import InputError

LICENCE = "AMASS (amass.is.tue.mpg.de): the user's own copy, for non-commercial research, not to be passed on"

FLIP = np.diag([1.0, -1.0, -1.0])  # SMPL's own axes, y up and facing +z, to ours
WORLD = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])  # z up to y down

# Joint, parent, offset in metres in our axes: a plain figure of 1.7 m, by ratios of Drillis and Contini, 1964.
JOINTS: tuple[tuple[str, int, tuple[float, float, float]], ...] = (
    ("pelvis", -1, (0, 0, 0)),
    ("left_hip", 0, (0.09, 0.06, 0)),
    ("right_hip", 0, (-0.09, 0.06, 0)),
    ("spine1", 0, (0, -0.12, 0)),
    ("left_knee", 1, (0, 0.42, 0)),
    ("right_knee", 2, (0, 0.42, 0)),
    ("spine2", 3, (0, -0.13, 0)),
    ("left_ankle", 4, (0, 0.42, 0)),
    ("right_ankle", 5, (0, 0.42, 0)),
    ("spine3", 6, (0, -0.06, 0)),
    ("left_foot", 7, (0, 0.06, -0.13)),
    ("right_foot", 8, (0, 0.06, -0.13)),
    ("neck", 9, (0, -0.21, 0)),
    ("left_collar", 9, (0.07, -0.12, 0)),
    ("right_collar", 9, (-0.07, -0.12, 0)),
    ("head", 12, (0, -0.09, 0)),
    ("left_shoulder", 13, (0.11, 0, 0)),
    ("right_shoulder", 14, (-0.11, 0, 0)),
    ("left_elbow", 16, (0.28, 0, 0)),
    ("right_elbow", 17, (-0.28, 0, 0)),
    ("left_wrist", 18, (0.25, 0, 0)),
    ("right_wrist", 19, (-0.25, 0, 0)),
)
PARTNERS: dict[str, tuple[str, ...]] = {
    "root": ("pelvis",),
    "spine": ("pelvis", "spine1", "spine2", "spine3"),
    "head": ("spine3", "neck", "head"),
    **{
        f"{part}/{side}": tuple(f"{side}_{joint}" for joint in joints)
        for side in ("left", "right")
        for part, joints in {
            "clavicle": ("collar", "shoulder"),
            "upperarm": ("shoulder", "elbow"),
            "forearm": ("elbow", "wrist"),
            "wrist": ("wrist",),
            "thigh": ("hip", "knee"),
            "shin": ("knee", "ankle"),
            "foot": ("ankle",),
            "toes": ("foot",),
        }.items()
    },
}


def read_amass(path: Path) -> Motion:
    """Read one archive of AMASS.

    Raises:
        InputError: if it is not an archive of AMASS, or holds values that are not numbers.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            have = {name: archive[name] for name in archive.files if name in _WANTED}
    except (OSError, ValueError, EOFError, KeyError) as error:
        raise InputError(f"{path}: not a readable .npz archive; AMASS sequences are read") from error
    rate = have.get("mocap_framerate", have.get("mocap_frame_rate"))
    if "poses" not in have or "trans" not in have or rate is None:
        raise InputError(f"{path}: no poses, trans and mocap_framerate; this archive is not a sequence of AMASS")
    poses, trans = have["poses"].astype(np.float64), have["trans"].astype(np.float64)
    if poses.ndim != 2 or poses.shape[1] < 3 * len(JOINTS) or trans.shape != (len(poses), 3) or not len(poses):
        raise InputError(
            f"{path}: poses {poses.shape} and trans {trans.shape}; AMASS has (T, 156) or (T, 165) and (T, 3)"
        )
    if not (np.isfinite(poses).all() and np.isfinite(trans).all() and float(rate) > 0):
        raise InputError(f"{path}: values that are not finite numbers; the archive is damaged, fetch it again")
    rotations = WORLD @ _play(poses[:, : 3 * len(JOINTS)].reshape(len(poses), -1, 3)) @ FLIP
    return Motion(
        name=path.stem,
        joint_names=tuple(name for name, _, _ in JOINTS),
        parents=tuple(parent for _, parent, _ in JOINTS),
        offsets=np.array([offset for _, _, offset in JOINTS], dtype=np.float64),
        rotations=rotations,
        root=trans @ WORLD.T,
        rate=float(rate),
        partners=PARTNERS,
        arms="level",
        licence=LICENCE,
    )


_WANTED = ("poses", "trans", "mocap_framerate", "mocap_frame_rate")


def _play(vectors: Array) -> Array:
    """Absolute rotations (T, J, 3, 3) of rotation vectors (T, J, 3): SMPL's axes to the world's."""
    local = Rotation.from_rotvec(vectors.reshape(-1, 3)).as_matrix().reshape(*vectors.shape, 3)
    return absolute([parent for _, parent, _ in JOINTS], local)
