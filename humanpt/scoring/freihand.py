"""FreiHAND's rules, and its files of predictions.

All is measured in the axes of the camera, as it comes ("raw") and after Procrustes with scale ("pa"), which may mirror;
key points and mesh are aligned each on their own. Errors are means over points and samples, the area under the PCK
curve runs over 100 thresholds from 0 to 5 cm, F-scores count nearest distances strictly below 5 and 15 mm.

Source of the rules: the data set's own scripts (github.com/lmb-freiburg/freihand) and Zimmermann et al., FreiHAND, ICCV
2019. A mesh of another topology than MANO's takes the key points' rotation and scale there; the published script leaves
the size of the prediction out of that scale, which is mended here.
"""

from __future__ import annotations

from humanpt.body.skeletons import HAND_21
from humanpt.scoring.pose import PoseProtocol

MANO_VERTICES = 778
EVALUATION_SAMPLES = 3960


def freihand_protocol(*, same_mesh: bool = True, mirror: bool = True) -> PoseProtocol:
    """The rules.

    Args:
        same_mesh: whether the predicted mesh has MANO's topology.
        mirror: whether Procrustes may mirror; True is the official way.
    """
    return PoseProtocol(
        keypoint_names=HAND_21,
        alignments=("raw", "pa"),
        mirror=mirror,
        mesh_alignment="own" if same_mesh else "freihand",
        f_thresholds=(0.005, 0.015),
        pck=(0.0, 0.05, 100),
    )
