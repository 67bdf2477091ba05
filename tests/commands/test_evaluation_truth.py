"""What predictions are compared with, and how a sample is shown: exact for left and right hands."""

import numpy as np
import pytest
import torch

from humanpt.body.model import load_body_model
from humanpt.commands.evaluation_truth import CROP, TruthReader, bones_of, make_case, part_errors
from humanpt.data.labelled import open_labelled
from humanpt.data.turned_crops import map_pixels, turned_crop
from humanpt.geometry.cameras import project
from tests.people import made


@pytest.fixture(scope="module")
def hands(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hands")
    made(folder / "pairs.h5", "hand", 0, 4)
    return open_labelled(str(folder), subject="hand")


def test_meshes_follow_from_pose_and_shape_of_either_hand(hands):
    labels = [hands.labels(index) for index in range(len(hands))]
    truth = TruthReader(hands.layout, "anny-hand")(labels)
    assert truth.left.tolist() == [one.side == "left" for one in labels]
    assert truth.left.any()
    assert not truth.left.all()
    for side in ("left", "right"):
        tips = load_body_model("anny-hand", side=side)
        for one, mesh in zip(labels, truth.points.vertices, strict=True):
            if one.side == side:
                values = [torch.from_numpy(value)[None] for value in (one.shape, one.pose, one.transl)]
                found = tips(*values)
                torch.testing.assert_close(mesh, found.vertices[0])
                np.testing.assert_allclose(found.keypoints[0], one.keypoints, atol=1e-4)


def test_another_mesh_is_no_same_mesh_and_a_body_without_one_has_none(hands):
    assert not TruthReader(hands.layout, "mano").same_mesh
    assert TruthReader(hands.layout, "mano").model == "anny-hand"


def test_a_case_lies_in_its_crop_as_the_labels_do(hands):
    for index in range(2):
        labelled = hands.labels(index)
        truth = TruthReader(hands.layout, "anny-hand")([labelled]).points
        names = hands.layout.keypoint_names
        case = make_case(labelled, hands.picture(index), truth, truth, names, "anny-hand", {"pa_mpjpe_mm": 0.0})
        crop = turned_crop(labelled.intrinsics, labelled.square, CROP)
        seen = project(torch.from_numpy(case.true_keypoints).double(), torch.from_numpy(case.intrinsics).double())
        np.testing.assert_allclose(seen, map_pixels(labelled.pixels, crop), atol=0.05)
        np.testing.assert_array_equal(case.predicted_vertices, case.true_vertices)
        assert case.picture.shape == (CROP, CROP, 3)
        assert case.faces.max() < len(case.predicted_vertices)


def test_a_part_has_the_mean_of_its_vertices():
    body = load_body_model("anny-hand")
    errors = torch.zeros(len(body.canonical), dtype=torch.float64)
    thumb = body.faces[body.parts == body.layout.part_names.index("thumb3")].flatten()
    errors[thumb] = 5.0
    found = part_errors(body, errors)
    assert found["thumb3"] == 5
    assert found["little1"] == 0


def test_a_finger_is_a_chain_of_bones(hands):
    names = hands.layout.keypoint_names
    bones = bones_of(names)
    assert len(bones) == 20
    assert (names.index("index3"), names.index("index_tip")) in bones
