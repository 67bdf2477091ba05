"""Generated people and hands as labelled ones."""

import pickle

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from humanpt.body.model import load_body_model
from humanpt.data.labelled import generated, open_labelled
from humanpt.data.labelled.generated import GeneratedSet
from humanpt.data.labelled.record import mirrored
from humanpt.data.people.staging import Person, body_model, person_mesh
from humanpt.data.people.truth import maps
from humanpt.data.records import Truth
from humanpt.errors import InputError
from tests import people, shards


@pytest.fixture(scope="session")
def hands(hand_pairs):
    return GeneratedSet.open([hand_pairs.path])


@pytest.fixture(scope="session")
def bodies(body_pairs):
    return GeneratedSet.open([body_pairs.path])


@pytest.fixture(params=["hands", "bodies"])
def data(request):
    return request.getfixturevalue(request.param)


def posed(data, label):
    model = body_model(data.layout.model, label.side)
    with torch.no_grad():
        return model(*(torch.from_numpy(values)[None] for values in (label.shape, label.pose, label.transl)))


def test_both_pictures_of_each_pair_are_samples_and_each_others_partners(data):
    assert len(data) == 2 * len(data.pairs)
    assert data.partners.tolist() == [index ^ 1 for index in range(len(data))]
    assert len({data.name(index) for index in range(len(data))}) == len(data)
    for index in range(len(data)):
        np.testing.assert_array_equal(data.picture(index), data.pairs.images(index // 2)[index % 2])


def test_pictures_of_one_sequence_are_one_group(data):
    assert data.groups.tolist() == np.repeat(data.pairs.sequence, 2).tolist()
    assert {data.labels(k).group for k in range(len(data))} == set(data.pairs.sequences)


def test_labels_lie_where_the_exact_maps_have_them(data):
    for index in range(0, len(data), 3):
        label = data.labels(index)
        truth = maps(*data.pairs.locate(index // 2), 1 + index % 2)
        assert_allclose(label.pixels, truth.keypoints, atol=2e-3)
        assert_allclose(label.intrinsics, truth.intrinsics, rtol=1e-5)
        np.testing.assert_array_equal(label.visible, truth.visible)


def test_the_model_lies_in_the_axes_of_the_camera(data):
    # the key points of bodies are sums of vertices with weights of 1 within 2e-5, and the camera is metres away
    for index in range(len(data)):
        label = data.labels(index)
        assert_allclose(posed(data, label).keypoints[0], label.keypoints, atol=3e-4 if label.side == "none" else 2e-6)


def test_vertices_that_follow_from_the_labels_project_onto_the_subject(hands):
    for index in range(0, len(hands), 5):
        label = hands.labels(index)
        seen = posed(hands, label).vertices[0].numpy() @ label.intrinsics.T
        pixels = np.round(seen[:, :2] / seen[:, 2:]).astype(int)
        truth = maps(*hands.pairs.locate(index // 2), 1 + index % 2)
        inside = ((pixels >= 0) & (pixels < people.SIZE)).all(axis=1)
        depth = truth.depth[pixels[inside, 1], pixels[inside, 0]]
        behind = posed(hands, label).vertices[0].numpy()[inside, 2] - depth
        near = np.isfinite(depth) & (np.abs(behind) < 0.004)
        assert near.mean() > 0.25  # about half of a closed surface faces the camera
        assert (behind[np.isfinite(depth)] > -0.012).mean() > 0.97  # hardly any vertex lies before what is seen


def test_a_left_hand_in_a_mirror_is_the_right_hand_of_the_mirrored_labels(hands):
    left = next(k for k in range(len(hands)) if hands.labels(k).side == "left")
    label = hands.labels(left)
    other = mirrored(label, people.SIZE)
    assert other.side == "right"
    assert_allclose(posed(hands, other).vertices, posed(hands, label).vertices * torch.tensor([-1.0, 1, 1]), atol=1e-6)
    again = mirrored(other, people.SIZE)
    for name in ("keypoints", "pose", "transl"):
        np.testing.assert_array_equal(getattr(again, name), getattr(label, name))
    for name in ("pixels", "intrinsics", "square"):  # shifted by the width, in single precision
        assert_allclose(getattr(again, name), getattr(label, name), atol=1e-4)


def test_a_licensed_model_turns_about_its_own_root(mano, monkeypatch):
    model = load_body_model("mano")
    rng = np.random.default_rng(3)
    turn = people_rotation(rng)
    pose = np.stack([people_rotation(rng) for _ in range(16)]).astype(np.float32)
    shape, shift = rng.normal(size=10).astype(np.float32), rng.normal(size=3).astype(np.float32)
    empty = np.zeros(0, np.float32)
    truth = Truth(
        shape=shape, pose=pose, transl=shift, keypoints=empty, visible=empty.astype(bool), cover=b"", worn=b""
    )
    cam_from_world = np.eye(4)
    cam_from_world[:3, :3], cam_from_world[:3, 3] = turn, rng.normal(size=3)
    there = person_mesh(model, Person(side="right", shape=shape, pose=pose, transl=shift)).vertices[0].double().numpy()
    pose, transl = generated.in_camera("mano", "right", truth, cam_from_world)
    here = person_mesh(model, Person(side="right", shape=shape, pose=pose, transl=transl)).vertices[0]
    assert_allclose(here, there @ turn.T + cam_from_world[:3, 3], atol=2e-5)


def people_rotation(rng):
    from scipy.spatial.transform import Rotation

    return Rotation.random(random_state=np.random.RandomState(rng.integers(1 << 30))).as_matrix()


def test_a_set_may_be_pickled(hands):
    again = pickle.loads(pickle.dumps(hands))
    assert_allclose(again.labels(3).keypoints, hands.labels(3).keypoints)
    np.testing.assert_array_equal(again.picture(3), hands.picture(3))


def test_a_folder_of_shards_is_the_default(hand_pairs):
    data = open_labelled(str(hand_pairs.path.parent), subject="hand")
    assert (data.layout.dataset, data.layout.model, len(data)) == ("generated", "anny-hand", 16)
    assert len(open_labelled(f"generated:{hand_pairs.path}", "all", subject="hand")) == 16


def test_pairs_without_truth_are_told(tmp_path):
    shards.write_shard(tmp_path / "pairs.h5", [shards.pair(0)])
    with pytest.raises(InputError, match=r"pairs\.h5: has no labels; make labelled pairs with `humanpt mkpairs synth"):
        open_labelled(str(tmp_path), subject="body")


def test_pairs_of_two_models_are_told(tmp_path, body_pairs):
    shards.write_truth_shard(tmp_path / "other.h5")
    with pytest.raises(InputError, match=r"was made with anny-body-small, .*other\.h5 with anny-body|other version"):
        GeneratedSet.open([tmp_path, body_pairs.path])


def test_a_split_that_generated_pairs_do_not_have_is_told(hand_pairs):
    with pytest.raises(InputError, match=r"generated pairs have no split 'test'"):
        open_labelled(str(hand_pairs.path), "test", subject="hand")
