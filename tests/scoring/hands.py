"""Made hands for tests of scores: key points and a mesh of Anny's hand, of MANO's size, in front of a camera."""

import numpy as np
import torch

from humanpt.body.model import load_body_model
from humanpt.data.poses import gestures
from humanpt.data.poses.sample import HandPoses
from humanpt.scoring.freihand import MANO_VERTICES


def made_hands(count, seed=0):
    """(count, 21, 3) key points and (count, 778, 3) vertices, metres, in the axes of a camera, as float64."""
    model = load_body_model("anny-hand")
    rng = np.random.default_rng(seed)
    pose = HandPoses(model).pose_of(gestures.draw_hands(rng, count))
    place = torch.from_numpy(rng.uniform([-0.1, -0.1, 0.5], [0.1, 0.1, 0.9], (count, 3))).float()
    with torch.no_grad():
        mesh = model(model.sample_shape(rng, count), pose, place)
    return mesh.keypoints.double(), mesh.vertices[:, :MANO_VERTICES].double()
