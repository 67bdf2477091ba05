"""Generated pairs: the rules hold, and equal seeds make equal pairs however the work is split."""

import dataclasses
import math
from collections import Counter

import numpy as np
import pytest
import torch

from humanpt.data.image import decode_jpeg
from humanpt.data.pairs import PairConfig
from humanpt.data.people import pair_maker
from humanpt.data.people.config import CrowdConfig, PeopleConfig
from humanpt.data.people.generate import Cast, draw_pair, kind_of, people_parts, side_of
from humanpt.data.people.viewpoints import ViewConfig
from humanpt.data.shards import Kind, verify
from humanpt.errors import ConfigError, InputError
from humanpt.geometry.cameras import camera_centres, project, rotation_angle, transform
from tests.people import SIZE, config, made


def pictures(record):
    return record.image1, record.image2


def records(reader, kind=None):
    found = [reader.record(row) for row in range(len(reader))]
    return [record for record in found if kind is None or record.kind == kind]


def same_picture(one, other):
    return (
        one.jpeg == other.jpeg
        and np.array_equal(one.mask, other.mask)
        and np.array_equal(one.cam_from_world, other.cam_from_world)
        and np.array_equal(one.truth.pose, other.truth.pose)
        and one.truth.cover == other.truth.cover
        and one.source == other.source
    )


def same(one, other):
    return one.subject == other.subject and all(map(same_picture, pictures(one), pictures(other)))


def test_a_shard_of_generated_pairs_is_sound(generated):
    check = verify(generated.path)
    assert check.ok
    assert check.kinds["cross_view"] == check.kinds["cross_pose"]


def test_any_split_of_the_work_makes_the_same_pairs(tmp_path, hand_pairs):
    first, rest = made(tmp_path / "1.h5", "hand", 0, 3), made(tmp_path / "2.h5", "hand", 3, 2)
    split = [*records(first), *records(rest)]
    assert all(same(one, hand_pairs.record(row)) for row, one in enumerate(split))


def test_threads_change_nothing(body_pairs):
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        again = draw_pair(1, config("body"), Cast(config("body")))
    finally:
        torch.set_num_threads(before)
    assert same(again, body_pairs.record(1))


def test_another_seed_makes_other_pairs(hand_pairs):
    other = draw_pair(0, config("hand", seed=1), Cast(config("hand", seed=1)))
    assert not same(other, hand_pairs.record(0))


def test_parts_are_whole_sequences_and_cover_every_pair_once():
    parts = people_parts(config("hand", count=150, pairs_per_scene=2))
    assert parts == [(0, 128), (128, 22)]


@pytest.mark.parametrize("share", [0.0, 0.3, 0.5, 1.0])
def test_kinds_come_in_the_shares_wanted(share):
    counts = Counter(kind_of(scene, config("hand", cross_view=share)) for scene in range(100))
    assert counts[Kind.CROSS_VIEW] == round(100 * share)


def test_half_of_the_hands_of_each_kind_are_left():
    hands = config("hand")
    counts = Counter((kind_of(scene, hands), side_of(scene, hands)) for scene in range(64))
    assert set(counts.values()) == {16}
    assert side_of(5, config("body")) == "none"


def test_cross_view_pairs_show_one_instant_from_two_cameras(generated):
    limits = ViewConfig()
    for record in records(generated, Kind.CROSS_VIEW):
        first, second = pictures(record)
        cameras = [generated.sources[picture.source] for picture in (first, second)]
        assert cameras[0].sequence == cameras[1].sequence
        assert cameras[0].camera != cameras[1].camera
        assert (first.frame, first.timestamp) == (second.frame, second.timestamp)
        assert np.array_equal(first.truth.keypoints, second.truth.keypoints)
        angle = float(rotation_angle(*(torch.from_numpy(p.cam_from_world) for p in (first, second))))
        assert limits.min_rotation <= angle <= limits.max_rotation
        assert -8 <= record.pair_score <= 1


def test_cross_pose_pairs_show_two_moments_by_one_camera(generated):
    rules = PairConfig()
    for record in records(generated, Kind.CROSS_POSE):
        first, second = pictures(record)
        assert first.source == second.source
        assert rules.min_gap - 1e-6 <= abs(first.timestamp - second.timestamp) <= rules.max_gap + 1e-6
        assert rules.min_motion <= record.change <= rules.max_motion
        assert not np.array_equal(first.truth.pose, second.truth.pose)
        assert math.isnan(record.pair_score)


def test_all_key_points_lie_in_the_box_and_the_crop_in_the_frame(generated):
    for record in records(generated):
        for picture in pictures(record):
            pose, intrinsics = (torch.from_numpy(m).float() for m in (picture.cam_from_world, picture.intrinsics))
            pixels = project(transform(pose, torch.from_numpy(picture.truth.keypoints)), intrinsics).numpy()
            slack = 0.05 * (picture.box[2:] - picture.box[:2]).max()  # the wrist lies in the opening of the mesh
            assert (pixels >= picture.box[:2] - slack).all()
            assert (pixels <= picture.box[2:] + slack).all()
            assert (picture.square >= -0.51).all()
            assert (picture.square <= picture.image_size[0] - 0.49).all()
            assert picture.box[2:].max() - picture.box[:2].min() >= 96


def test_cameras_stand_above_the_floor_and_not_in_the_subject(generated):
    for record in records(generated):
        for picture in pictures(record):
            eye = camera_centres(torch.from_numpy(picture.cam_from_world)).numpy()
            assert eye[1] < -0.1
            assert np.linalg.norm(picture.truth.keypoints - eye, axis=1).min() > 0.1


def test_pictures_have_the_size_wanted_and_show_something(generated):
    for record in records(generated):
        for picture in pictures(record):
            rgb = decode_jpeg(picture.jpeg)
            assert rgb.shape == (SIZE, SIZE, 3)
            assert rgb.std() > 5
            assert picture.mask_kind == "rendered"
            assert picture.mask.mean() > 0.02
            assert picture.truth.visible.any()


def test_the_ledger_says_what_pairs_were_made_with(generated):
    source = generated.sources[0]
    assert source.reader == "generated"
    assert "anny" in source.licence.lower()
    assert generated.truth.pose_parameterization == "local-ref"
    assert generated.config["seed"] == 0


def test_several_pairs_of_a_scene_show_the_same_subject(tmp_path):
    reader = made(tmp_path / "a.h5", "hand", 2, 2, pairs_per_scene=2)
    first, second = records(reader)
    assert first.subject == second.subject
    assert np.array_equal(first.image1.truth.pose, second.image1.truth.pose)
    assert not np.array_equal(first.image1.cam_from_world, second.image1.cam_from_world)


@pytest.mark.parametrize(
    ("subject", "changes", "match"),
    [
        ("body", {"count": 0}, "--count is 0"),
        ("hand", {"cross_view": 1.5}, "shares between 0 and 1"),
        ("hand", {"views": ViewConfig(max_fill=0.9)}, "crops would leave their frame"),
        ("hand", {"views": ViewConfig(frame_size=128)}, "min_fill"),
        ("hand", {"supersample": 0}, "supersample"),
    ],
)
def test_settings_that_cannot_be_met_together_are_one_line(subject, changes, match):
    with pytest.raises(ConfigError, match=match) as caught:
        PeopleConfig(subject=subject, **changes)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"min_rotation": 1.0, "max_rotation": 0.5},
        {"min_fov": 0.0},
        {"min_elevation": 1.0, "max_elevation": 0.0},
        {"min_fill": 0.9, "max_fill": 0.5},
        {"min_distance": 0.0},
    ],
)
def test_cameras_that_cannot_be_are_refused(changes):
    with pytest.raises(ConfigError, match="views"):
        ViewConfig(**changes)


def test_a_crowd_must_be_possible():
    with pytest.raises(ConfigError, match="crowd"):
        CrowdConfig(held=2)


def test_a_rule_that_no_scene_meets_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(pair_maker, "TRIES", 2)
    rules = dataclasses.replace(config("hand").pairs, min_motion=5.0, max_motion=6.0)
    with pytest.raises(ConfigError, match=r"pair 0: none of \d+ scenes .*min_motion lower"):
        made(tmp_path / "a.h5", "hand", 0, 1, pairs=rules)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("subject", "changes", "kind", "match"),
    [
        ("body", {"motions": "nowhere"}, InputError, "nowhere"),
        ("hand", {"photographs": "nowhere"}, InputError, "no photographs"),
        ("hand", {"model": "anny-body-small"}, ConfigError, "is a body"),
        ("hand", {"model": "nobody"}, InputError, "no such body model"),
        ("hand", {"device": "abacus"}, ConfigError, "there is none"),
    ],
)
def test_what_is_missing_is_said_before_the_work(subject, changes, kind, match):
    with pytest.raises(kind, match=match):
        people_parts(config(subject, **changes))


@pytest.mark.gpu
@pytest.mark.parametrize("subject", ["body", "hand"])
def test_a_gpu_draws_the_same_pairs(subject):
    on_cpu, on_gpu = (config(subject, device=device) for device in ("cpu", "cuda"))
    for number in range(2):
        one = draw_pair(number, on_cpu, Cast(on_cpu))
        other = draw_pair(number, on_gpu, Cast(on_gpu))
        for here, there in zip(pictures(one), pictures(other), strict=True):
            assert np.array_equal(here.truth.pose, there.truth.pose)
            assert (here.mask != there.mask).mean() < 0.01
            apart = np.abs(decode_jpeg(here.jpeg).astype(float) - decode_jpeg(there.jpeg).astype(float))
            assert apart.mean() < 2
