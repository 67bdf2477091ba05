"""Generated scenes: who stands where, and what may be drawn of them."""

import dataclasses

import numpy as np
import pytest
import torch

from humanpt.data.people.cast import Cast, find_photographs
from humanpt.data.people.config import CrowdConfig
from humanpt.data.people.scenes import draw_scene
from humanpt.errors import InputError
from humanpt.render.scene import Cameras, render
from tests.people import config


@pytest.fixture(scope="module")
def bodies():
    """A config and its cast of coarse bodies, with company and things."""
    settings = config("body", crowd=CrowdConfig(others=3, props=3), motion=1.0)
    return settings, Cast(settings)


@pytest.fixture(scope="module")
def hands():
    """A config and its cast of hands; each holds something beside another hand."""
    settings = config("hand", crowd=CrowdConfig(second_hand=1.0, held=1.0, props=1))
    return settings, Cast(settings)


def scene_of(made, seed=0, **options):
    return draw_scene(*made, np.random.default_rng(seed), **options)


def test_bodies_stand_on_the_floor_near_the_origin(bodies):
    for seed in range(3):
        scene = scene_of(bodies, seed)
        lowest = scene.meshes[0][0].vertices[0].amax(0)
        assert float(lowest[1]) == pytest.approx(0, abs=1e-4)
        assert scene.meshes[0][0].vertices[0].mean(0)[[0, 2]].abs().max() < 0.6


def test_two_moments_of_a_motion_differ_in_pose_and_time(bodies):
    scene = scene_of(bodies, moments=2)
    assert len(scene.people) == len(scene.meshes) == len(scene.times) == 2
    assert scene.times[0] != scene.times[1]
    assert not np.array_equal(scene.people[0][0].pose, scene.people[1][0].pose)
    assert np.array_equal(scene.people[0][0].shape, scene.people[1][0].shape)


def test_other_people_keep_their_distance_and_their_place(bodies):
    scene = next(s for s in (scene_of(bodies, seed, moments=2) for seed in range(9)) if len(s.looks) > 1)
    here, other = (scene.meshes[0][k].vertices[0].mean(0) for k in (0, 1))
    assert (here - other)[[0, 2]].norm() > 0.3
    assert torch.equal(scene.meshes[0][1].vertices, scene.meshes[1][1].vertices)


def test_hands_hold_things_and_take_them_along(hands):
    scene = scene_of(hands, moments=2, side="left")
    assert [hand.side for hand in scene.people[0]] == ["left", "right"]
    assert len(scene.held) == 2
    held = [thing.vertices.mean(0) for thing in scene.held]
    hand = [mesh[0].keypoints[0].mean(0) for mesh in scene.meshes]
    assert ((held[0] - hand[0]).norm() - (held[1] - hand[1]).norm()).abs() < 0.05
    assert (held[0] - hand[0]).norm() < 0.2


def test_a_scene_is_staged_with_or_without_company_and_room(hands):
    scene = scene_of(hands)
    whole, alone = scene.stage(), scene.stage(alone=True, room=False)
    assert len(whole.things) == 3 + len(scene.props)
    assert whole.room is scene.room
    assert len(alone.things) == 1
    assert alone.room is None


def test_a_cut_out_covers_its_subject_alone(hands):
    scene = scene_of(hands)
    middle = scene.meshes[0][0].keypoints[0].mean(0)
    pose = torch.eye(4)
    pose[:3, 3] = torch.tensor([0.0, 0.0, 0.6]) - middle
    intrinsics = torch.tensor([[[64.0, 0, 31.5], [0, 64.0, 31.5], [0, 0, 1]]])
    cameras = Cameras(intrinsics=intrinsics, cam_from_world=pose[None], size=64)
    cut_out = render(scene.stage(alone=True, room=False), cameras, supersample=1)
    assert 0 < (cut_out.alpha > 0).float().mean() < 0.5
    assert not cut_out.rgb[cut_out.alpha == 0].any()


def test_no_camera_may_stand_in_a_wall_or_in_furniture(bodies):
    scene = next(s for s in (scene_of(bodies, seed) for seed in range(20)) if s.room.blocks)
    low, high = np.array(scene.room.low), np.array(scene.room.high)
    assert not scene.free(low + 0.01)
    assert not scene.free(high + 0.5)
    block = scene.room.blocks[0]
    assert not scene.free(np.array(block.centre))
    assert any(scene.free(low + share * (high - low)) for share in np.random.default_rng(0).random((50, 3)))


def test_equal_seeds_draw_equal_scenes(hands):
    one, other = scene_of(hands, 4), scene_of(hands, 4)
    assert torch.equal(one.meshes[0][0].vertices, other.meshes[0][0].vertices)
    assert one.light == other.light
    assert torch.equal(one.looks[0].lift, other.looks[0].lift)


def test_bodies_take_poses_from_motion_or_from_a_sampler(bodies):
    settings, cast = bodies
    sampled = draw_scene(dataclasses.replace(settings, motion=0.0), cast, np.random.default_rng(0))
    assert sampled.times == (0.0,)
    assert scene_of(bodies, 3).frames != (0,)


def test_photographs_are_found_in_folders(tmp_path):
    (tmp_path / "deep").mkdir()
    for name in ("b.JPG", "a.png", "note.txt", "deep/c.webp"):
        (tmp_path / name).write_bytes(b"")
    assert [path.name for path in find_photographs(tmp_path)] == ["a.png", "b.JPG", "c.webp"]
    with pytest.raises(InputError, match="no photographs in this folder"):
        find_photographs(tmp_path / "deep" / "nowhere")
