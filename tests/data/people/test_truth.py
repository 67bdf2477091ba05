"""Truth of generated pictures, drawn again from a shard, agrees with the pictures, the cameras and itself."""

import dataclasses
from functools import lru_cache

import numpy as np
import pytest
import torch
from scipy.ndimage import minimum_filter

from humanpt.data.people.cover import LOOSE, SURFACE, pack_cover, pack_worn, storable, unpack_cover, unpack_worn
from humanpt.data.people.staging import Person, body_model, person_mesh
from humanpt.data.people.truth import correspondence, maps
from humanpt.data.shards import Kind, ShardReader
from humanpt.errors import ShardError
from humanpt.geometry.cameras import invert_pose, project, transform, unproject
from humanpt.render.appearance import draw_look
from tests.shards import pair, write_shard, write_truth_shard

ROWS = range(6)


@lru_cache(maxsize=64)
def drawn(reader, row, which):
    return maps(reader, row, which)


def pictures(reader):
    """Every picture with its truth drawn again."""
    for row in ROWS:
        record = reader.record(row)
        for which, shown in ((1, record.image1), (2, record.image2)):
            yield record, shown, drawn(reader, row, which)


def pose_of(shown):
    return torch.from_numpy(shown.cam_from_world).float()


def test_the_mask_is_what_was_rendered(generated):
    for _, shown, truth in pictures(generated):
        cover = unpack_cover(shown.truth.cover)
        assert np.array_equal(truth.mask, cover > 0)
        assert np.array_equal(truth.surface, np.isfinite(truth.depth))  # drawn again, the surface covers all of it
        assert np.array_equal(truth.surface, truth.part >= 0)
        small = truth.mask.reshape(32, 3, 32, 3).mean((1, 3)) > 0.5
        stored = shown.mask.reshape(32, 2, 32, 2).mean((1, 3)) > 0.5
        assert (small != stored).mean() < 0.05


def test_vertices_of_the_subject_lie_at_the_surface_that_is_seen_or_behind_it(generated):
    shares = []
    for record, shown, truth in pictures(generated):
        person = Person(side=record.side, shape=shown.truth.shape, pose=shown.truth.pose, transl=shown.truth.transl)
        vertices = person_mesh(body_model(generated.truth.model, record.side), person).vertices[0]
        points = transform(pose_of(shown), vertices)
        pixels = project(points, torch.from_numpy(truth.intrinsics)).round().long().numpy()
        size = len(truth.mask)
        inside = ((pixels >= 0) & (pixels < size)).all(1)
        x, y = pixels[inside].T
        depth = minimum_filter(truth.depth, 3)[y, x]  # at an outline the pixel itself may show what is behind
        on = np.isfinite(truth.depth[y, x])
        assert (points[inside, 2].numpy()[on] > depth[on] - 0.04).mean() > 0.97
        shares.append(on.mean())
    assert np.mean(shares) > 0.6


def test_key_points_are_those_of_the_model(generated):
    for record, shown, truth in pictures(generated):
        person = Person(side=record.side, shape=shown.truth.shape, pose=shown.truth.pose, transl=shown.truth.transl)
        mesh = person_mesh(body_model(generated.truth.model, record.side), person)
        assert np.array_equal(mesh.keypoints[0].numpy(), shown.truth.keypoints)
        x, y = truth.keypoints[truth.visible].round().astype(int).T
        assert truth.mask[y, x].all()


def test_hidden_key_points_lie_behind_what_is_seen_or_where_something_else_is_seen(generated):
    hidden = 0
    for _, shown, truth in pictures(generated):
        depth = transform(pose_of(shown), torch.from_numpy(shown.truth.keypoints))[:, 2].numpy()
        for place, z, visible in zip(truth.keypoints.round().astype(int), depth, truth.visible, strict=True):
            if visible or not (place >= 0).all() or not (place < len(truth.mask)).all():
                continue
            hidden += 1
            x, y = place
            assert not truth.mask[y, x] or not truth.surface[y, x] or truth.depth[y, x] < z
    assert hidden > 5


def test_depth_and_correspondence_tell_of_the_same_points(generated):
    for row in ROWS:
        record = generated.record(row)
        if record.kind == Kind.CROSS_POSE:
            continue
        first, second = drawn(generated, row, 1), drawn(generated, row, 2)
        y, x = np.nonzero(first.surface)
        pixels = torch.from_numpy(np.stack([x, y], 1)).float()
        points = unproject(pixels, torch.from_numpy(first.depth[y, x]), torch.from_numpy(first.intrinsics))
        world = transform(invert_pose(pose_of(record.image1)), points)
        there = project(transform(pose_of(record.image2), world), torch.from_numpy(second.intrinsics)).numpy()
        assert np.abs(there - correspondence(generated, row).pixels[y, x]).max() < 0.05


def test_both_directions_of_a_correspondence_meet(generated):
    for row in ROWS:
        there, back = correspondence(generated, row), correspondence(generated, row, back=True)
        y, x = np.nonzero(there.visible)
        assert len(y) > 20
        near = there.pixels[y, x].round().astype(int)
        returned = back.pixels[near[:, 1], near[:, 0]]
        away = np.linalg.norm(returned - np.stack([x, y], 1), axis=1)
        assert np.nanmedian(away) < 1.5  # half a pixel there, stretched by what view 1 shows larger
        assert np.isfinite(away).mean() > 0.9


def test_corresponding_pixels_are_one_place_of_the_surface(generated):
    for row in ROWS:
        there = correspondence(generated, row)
        first, second = drawn(generated, row, 1), drawn(generated, row, 2)
        y, x = np.nonzero(there.visible)
        u, v = there.pixels[y, x].round().astype(int).T
        apart = np.linalg.norm(first.canonical[y, x] - second.canonical[v, u], axis=1)
        size = np.ptp(body_model(generated.truth.model, "none").canonical.numpy(), axis=0).max()
        assert np.median(apart) < 0.02 * size


def test_pictures_look_alike_where_they_correspond(generated):
    alike = []
    for row in ROWS:
        there = correspondence(generated, row)
        one, two = (rgb.astype(float) for rgb in generated.images(row))
        y, x = np.nonzero(there.visible)
        u, v = there.pixels[y, x].round().astype(int).T
        shuffled = np.random.default_rng(row).permutation(len(y))
        matched = np.abs(one[y, x] - two[v, u]).mean()
        alike.append(matched / np.abs(one[y, x] - two[v[shuffled], u[shuffled]]).mean())
    assert np.median(alike) < 0.6


def test_normals_are_unit_and_face_the_camera(generated):
    for _, _, truth in pictures(generated):
        y, x = np.nonzero(truth.surface)
        normals = truth.normals[y, x]
        np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1, atol=1e-4)
        rays = unproject(
            torch.from_numpy(np.stack([x, y], 1)).float(), torch.ones(len(x)), torch.from_numpy(truth.intrinsics)
        ).numpy()
        assert ((normals * rays).sum(1) < 0.1).mean() > 0.97


def test_nothing_is_told_where_the_surface_is_not_seen(generated):
    for _, _, truth in pictures(generated):
        hidden = ~truth.surface
        assert (truth.part[hidden] == -1).all()
        assert not truth.uv[hidden].any()
        assert not truth.canonical[hidden].any()
        assert not truth.normals[hidden].any()


def test_texture_coordinates_and_parts_are_those_of_the_model(generated):
    parts = len(body_model(generated.truth.model, "none").layout.part_names)
    for _, _, truth in pictures(generated):
        assert truth.part.max() < parts
        assert truth.uv.min() >= 0
        assert truth.uv.max() <= 1


def test_a_shard_without_truth_is_one_line(tmp_path):
    reader = ShardReader(write_shard(tmp_path / "a.h5", [pair(0)]))
    with pytest.raises(ShardError, match=r"a\.h5: has no truth; make generated pairs"):
        maps(reader, 0, 1)


def test_a_shard_of_another_model_of_that_name_is_one_line(tmp_path):
    reader = ShardReader(write_truth_shard(tmp_path / "a.h5"))  # its anny-body has two joints
    cameras = {"intrinsics": np.eye(3), "cam_from_world": np.eye(4)}
    record = reader.record(0)
    images = [dataclasses.replace(image, **cameras) for image in (record.image1, record.image2)]
    known = dataclasses.replace(record, image1=images[0], image2=images[1])
    reader = ShardReader(write_shard(tmp_path / "b.h5", [known], truth=reader.truth))
    with pytest.raises(ShardError, match=r"b\.h5: was made with the rig anny .* make the pairs again"):
        correspondence(reader, 0)


def test_covers_and_what_is_worn_come_back_as_they_were():
    cover = np.random.default_rng(0).integers(0, 3, (40, 40), dtype=np.uint8)
    assert np.array_equal(unpack_cover(pack_cover(cover)), cover)
    model = body_model("anny-hand", "right")
    look = storable(draw_look(np.random.default_rng(1), "hand", model), len(model.canonical))
    again = unpack_worn(pack_worn(look), "hand")
    assert torch.equal(again.lift, look.lift)
    assert torch.equal(again.relax, look.relax)
    assert again.relaxed == look.relaxed


def test_people_wear_things_that_stand_off_their_surface(body_pairs):
    covers = [unpack_cover(shown.truth.cover) for _, shown, _ in pictures(body_pairs)]
    assert any((cover == SURFACE).any() for cover in covers)
    lifts = [unpack_worn(shown.truth.worn, "body").lift.max() for _, shown, _ in pictures(body_pairs)]
    assert max(lifts) > 0.005
    assert all(set(np.unique(cover)) <= {0, SURFACE, LOOSE} for cover in covers)
