"""A scorer that looks at one sample after the other, in NumPy and SciPy: FreiHAND's rules from their definitions."""

import numpy as np
from scipy.linalg import orthogonal_procrustes


def align(points, target):
    """The similarity, reflections permitted, that brings points (N, 3) nearest to the target."""
    centred, goal = points - points.mean(0), target - target.mean(0)
    turn, size = orthogonal_procrustes(centred, goal)
    spread = np.square(centred).sum()
    return centred @ turn * (size / spread if spread else 0.0) + target.mean(0)


def f_score(predicted, true, limit):
    """By the distances between all pairs of vertices."""
    distance = np.linalg.norm(predicted[:, None] - true[None], axis=-1)
    precision, recall = ((distance.min(axis) < limit).mean() for axis in (1, 0))
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def pck_area(errors, limits):
    """Area under the PCK curve of errors (N, K), as the mean over points."""
    curves = [(errors[:, [point]] <= limits).mean(0) for point in range(errors.shape[1])]
    return np.mean([np.trapezoid(curve, limits) / (limits[-1] - limits[0]) for curve in curves])


def score(keypoints, vertices, true_keypoints, true_vertices):
    """All of FreiHAND's figures for (N, K, 3) key points and (N, V, 3) vertices, metres in, millimetres out."""
    limits = np.linspace(0, 0.05, 100)
    errors = {name: [] for name in ("raw_mpjpe", "pa_mpjpe", "raw_pve", "pa_pve")}
    f_scores = {f"{kind}_f_at_{mm}": [] for kind in ("raw", "pa") for mm in (5, 15)}
    for points, mesh, true, true_mesh in zip(keypoints, vertices, true_keypoints, true_vertices, strict=True):
        moved, moved_mesh = align(points, true), align(mesh, true_mesh)
        for name, one, other in (
            ("raw_mpjpe", points, true),
            ("pa_mpjpe", moved, true),
            ("raw_pve", mesh, true_mesh),
            ("pa_pve", moved_mesh, true_mesh),
        ):
            errors[name].append(np.linalg.norm(one - other, axis=-1))
        for mm in (5, 15):
            f_scores[f"raw_f_at_{mm}"].append(f_score(mesh, true_mesh, mm / 1000))
            f_scores[f"pa_f_at_{mm}"].append(f_score(moved_mesh, true_mesh, mm / 1000))
    figures = {f"{name}_mm": 1000 * np.mean(values) for name, values in errors.items()}
    figures |= {name: np.mean(values) for name, values in f_scores.items()}
    for kind in ("raw", "pa"):
        figures[f"{kind}_auc"] = pck_area(np.stack(errors[f"{kind}_mpjpe"]), limits)
        figures[f"{kind}_pck_at_50"] = np.mean(np.stack(errors[f"{kind}_mpjpe"]) <= limits[-1])
        figures[f"{kind}_mesh_auc"] = pck_area(np.stack(errors[f"{kind}_pve"]), limits)
    return figures
