"""Dense pose of generated people and hands."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch

from humanpt.body.charts import charts_of
from humanpt.body.skeletons import BODY_PARTS, HAND_PARTS
from humanpt.data.labelled.generated_dense import POINTS, GeneratedDense
from humanpt.data.labelled.open_dense import open_dense
from humanpt.data.pairset import PairSet
from humanpt.data.people.staging import body_model
from humanpt.data.people.truth import maps
from humanpt.errors import InputError, ShardError
from humanpt.geometry.cameras import project, transform
from tests.people import made
from tests.shards import TRUTH, pair, picture, truth, write_sequences, write_shard


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("dense")
    for subject in ("body", "hand"):
        (root / subject).mkdir()
        made(root / subject / "pairs.h5", subject, 0, 3)
    return root


@pytest.fixture(scope="module")
def people(folders):
    return GeneratedDense(PairSet.open([folders / "body"]))


@pytest.fixture(scope="module")
def hands(folders):
    return GeneratedDense(PairSet.open([folders / "hand"]))


def test_there_are_two_pictures_a_pair_and_both_are_of_one_group(people):
    assert len(people) == 6
    assert people.groups[::2].tolist() == people.groups[1::2].tolist()
    assert len({people.name(index) for index in range(6)}) == 6
    for index in range(6):
        x0, _, x1, _ = people.square(index)
        assert people.picture(index).shape[:2] == (round(x1 - x0),) * 2


@pytest.mark.parametrize("subject", ["people", "hands"])
def test_maps_are_the_truth_that_the_shard_draws(subject, request):
    data = request.getfixturevalue(subject)
    for index in range(4):
        drawn = maps(data.pairs.readers[0], index // 2, 1 + index % 2)
        labels = data.maps(index)
        np.testing.assert_array_equal(labels.part[drawn.surface], drawn.part[drawn.surface] + 1)
        assert (labels.part[~drawn.surface] == 0).all()
        assert (labels.uv[labels.part == 0] == 0).all()
        np.testing.assert_array_equal(labels.known, drawn.surface | ~drawn.mask)
        np.testing.assert_array_equal(data.mask(index), drawn.mask)


@pytest.mark.parametrize(("subject", "metres"), [("people", 0.05), ("hands", 0.008)])
def test_the_vertex_that_a_label_names_is_seen_at_its_pixel(subject, metres, request):
    data = request.getfixturevalue(subject)
    for index in range(len(data)):
        points = data.points(index)
        assert 0 < len(points.part) <= POINTS
        reader, row = data.pairs.readers[0], index // 2
        record = reader.record(row)
        shown = (record.image1, record.image2)[index % 2]
        model = body_model(data.model, record.side)
        with torch.no_grad():
            numbers = (torch.from_numpy(value)[None] for value in (shown.truth.shape, shown.truth.pose))
            vertices = model(*numbers, torch.from_numpy(shown.truth.transl)[None]).vertices[0]
        named = charts_of(data.model).nearest_vertices(points.part - 1, points.uv)
        intrinsics = maps(reader, row, 1 + index % 2).intrinsics
        cam = transform(torch.from_numpy(shown.cam_from_world).float(), vertices[named])
        pixels = project(cam, torch.from_numpy(intrinsics)).numpy()
        scale = intrinsics[0, 0] / cam[:, 2].numpy()  # pixels a metre, there
        away = np.linalg.norm(pixels - points.pixels, axis=1) / scale
        assert np.median(away) < metres


def test_a_left_hand_has_the_charts_of_the_right_one(hands):
    sides = [hands.side(index) for index in range(len(hands))]
    assert set(sides) <= {"left", "right"}
    left = body_model("anny-hand", "left")
    charts = charts_of("anny-hand")
    face = np.arange(len(left.faces))
    mirrored = left.canonical.numpy()[left.faces.numpy()].mean(axis=1) * np.array([-1, 1, 1])
    np.testing.assert_array_equal(left.parts.numpy(), charts.parts)
    np.testing.assert_allclose(charts.coordinates(face, mirrored), charts.corners.mean(axis=1), atol=1e-5)


def test_points_are_the_same_at_every_reading_and_agree_with_the_maps(people, folders):
    again = pickle.loads(pickle.dumps(people))
    for index in (0, 3):
        points, labels = people.points(index), people.maps(index)
        x, y = points.pixels.astype(int).T
        np.testing.assert_array_equal(labels.part[y, x], points.part)
        np.testing.assert_array_equal(labels.uv[y, x], points.uv)
        np.testing.assert_array_equal(again.points(index).pixels, points.pixels)


def test_the_layout_names_parts_and_charts(folders):
    body = open_dense(str(folders / "body"), subject="body").layout
    hand = open_dense(f"generated:{folders / 'hand'}", subject="hand").layout
    assert (body.part_names, hand.part_names) == (BODY_PARTS, HAND_PARTS)
    assert (body.charts, hand.charts) == ("canonical:anny-body-small", "canonical:anny-hand")
    with pytest.raises(InputError, match="no split 'test'"):
        open_dense(str(folders / "body"), "test", subject="body")


def test_pairs_without_truth_or_of_two_models_are_refused(tmp_path):
    (tmp_path / "real").mkdir()
    write_sequences(tmp_path / "real" / "real.h5", {"walk": 2})
    with pytest.raises(ShardError, match=r"real\.h5: has no truth"):
        GeneratedDense(PairSet.open([tmp_path / "real"]))
    for model in ("anny-body", "smpl"):
        record = pair(0, image1=picture(0, truth=truth(0)), image2=picture(1, truth=truth(1)))
        write_shard(tmp_path / f"{model}.h5", [record], truth=replace(TRUTH, model=model))
    with pytest.raises(ShardError, match=r"anny-body .* and smpl"):
        GeneratedDense(PairSet.open([tmp_path / "anny-body.h5", tmp_path / "smpl.h5"]))
