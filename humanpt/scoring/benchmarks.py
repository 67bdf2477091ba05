"""The rules of each benchmark, by the name of its data set.

Body benchmarks measure the joints that come with the labels; predicted ones are the points of the same names that the
body model gives, without a regressor in between. What has no rules of its own takes those of its subject.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from humanpt.body.model import LICENSED
from humanpt.data.labelled.record import LabelLayout
from humanpt.errors import InputError
from humanpt.scoring.freihand import EVALUATION_SAMPLES, freihand_protocol
from humanpt.scoring.pose import PoseProtocol

HAND_PCK = (0.0, 0.05, 100)
BODY_PCK = (0.0, 0.2, 101)
ROOTS = {"3dpw": ("pelvis",), "agora": ("pelvis",)}
"""Where root-relative figures begin by a benchmark's own script, if that is predicted; else at the labels' root."""
HO3D_BONE = "middle1"
"""HO-3D's script also aligns by the wrist and the length of the bone from there to this key point, its fifth."""
GENDERED = ("3dpw", "emdb")
"""Data sets whose labels are of the model of each person's own gender."""
FRAMES_PER_SECOND = {"3dpw": 30.0, "emdb": 30.0}
EVALUATION_SPLITS = {
    "freihand": "evaluation",
    "ho3d-v2": "evaluation",
    "ho3d-v3": "evaluation",
    "interhand": "test",
    "dexycb": "s0-test",
    "3dpw": "test",
    "bedlam": "validation",
    "densepose-coco": "minival",
}
"""The part of a data set that is measured on where no other is asked for; of others all, or all that has labels."""
OFFICIAL_COUNTS = {
    ("freihand", "evaluation"): EVALUATION_SAMPLES,
    ("ho3d-v2", "evaluation"): 11524,
    ("ho3d-v3", "evaluation"): 20137,
}
"""Samples that a benchmark has; with others its figures are those of a part."""


@dataclass(frozen=True, kw_only=True)
class Changes:
    """What a user may set otherwise than a benchmark has it; the card tells."""

    reflections: bool | None = None
    """Whether Procrustes may mirror; None leaves it to the benchmark."""
    pck_mm: tuple[float, float] | None = None
    """Least and greatest threshold of the PCK curve in millimetres; None leaves them."""


def pose_protocol(
    benchmark: str, layout: LabelLayout, predicted_names: Sequence[str], same_mesh: bool, changes: Changes
) -> PoseProtocol:
    """The rules for predictions of some key points and a mesh.

    Args:
        benchmark: name of the data set whose rules count.
        layout: of the labels.
        predicted_names: the key points that are predicted; those count that are labelled too.
        same_mesh: whether predicted and labelled vertices are those of one mesh.
        changes: what the user wants otherwise.

    Raises:
        InputError: if no labelled key point is predicted, or not those that errors are relative to.
    """
    common = tuple(name for name in layout.keypoint_names if name in predicted_names)
    if not common:
        raise InputError(f"{layout.dataset}: none of its key points is predicted; take a network of another body model")
    root = ROOTS.get(benchmark, layout.root_names)
    root = root if set(root) <= set(common) else layout.root_names
    missing = [name for name in root if name not in common]
    if missing:
        raise InputError(f"{layout.dataset}: {missing[0]} is its root and is not predicted; take another body model")
    if benchmark == "freihand" and len(common) == len(layout.keypoint_names):
        protocol = freihand_protocol(same_mesh=same_mesh)
    elif layout.subject == "hand":
        by_bone = benchmark.startswith("ho3d") and HO3D_BONE in common
        protocol = PoseProtocol(
            keypoint_names=common,
            root=root,
            alignments=("root", "scaled", "pa", "raw") if by_bone else ("root", "pa", "raw"),
            bone=HO3D_BONE if by_bone else None,
            mirror=benchmark.startswith("ho3d"),  # whose script is FreiHAND's
            mesh_alignment="own" if same_mesh else "freihand" if benchmark.startswith("ho3d") else "keypoints",
            f_thresholds=(0.005, 0.015),
            pck=HAND_PCK,
        )
    else:
        rate = FRAMES_PER_SECOND.get(benchmark)
        protocol = PoseProtocol(keypoint_names=common, root=root, pck=BODY_PCK, rate=rate)
    if changes.reflections is not None:
        protocol = replace(protocol, mirror=changes.reflections)
    if changes.pck_mm is not None:
        protocol = replace(protocol, pck=(changes.pck_mm[0] / 1000, changes.pck_mm[1] / 1000, protocol.pck[2]))
    return protocol


def gender_text(layout: LabelLayout, model: str | None) -> str:
    """Of which gender the body model that predicts is, and the one behind the labels where that is another."""
    if layout.subject == "hand" or model is None:
        return ""
    predicted = "neutral" if model in LICENSED else f"that of {model}'s shape"
    return f"{predicted}; labels each person's own" if layout.dataset in GENDERED else predicted


def rules_of(protocol: PoseProtocol) -> dict[str, Any]:
    """The settings of a protocol that a card tells besides its own fields."""
    return {
        "mesh_alignment": protocol.mesh_alignment,
        "bone": protocol.bone,
        "f_thresholds_mm": [1000 * limit for limit in protocol.f_thresholds],
        "pck_mm": [1000 * protocol.pck[0], 1000 * protocol.pck[1]],
        "pck_steps": protocol.pck[2],
        "frames_per_second": protocol.rate,
    }


ALIGNMENTS = {
    "raw": "none (raw_)",
    "root": "root (no prefix)",
    "scaled": "root and the length of one bone (scaled_)",
    "pa": "rotation, scale and shift (pa_)",
}


def alignment_text(protocol: PoseProtocol) -> str:
    """What is done to predictions before they are measured, in words."""
    return "; ".join(ALIGNMENTS[kind] for kind in protocol.alignments)
