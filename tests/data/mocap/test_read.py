"""Motion capture: formats, units and axes of what is read, and bodies that move as the recording does."""

import json

import numpy as np
import pytest
import torch

from humanpt.body.model import load_body_model
from humanpt.data.mocap import amass as mocap_amass
from humanpt.data.mocap import bvh as mocap_bvh
from humanpt.data.mocap import deepmimic as mocap_deepmimic
from humanpt.data.mocap.read import find_motions, free_motions, read_motion, retarget
from humanpt.errors import InputError
from tests.data.plain_people import PlainModel, person_joints

# Anny's joints of a bone and the parts of the recording they follow.
BONES = {
    "upperarm": ("upperarm01", "lowerarm01"),
    "forearm": ("lowerarm01", "wrist"),
    "thigh": ("upperleg01", "lowerleg01"),
    "shin": ("lowerleg01", "foot"),
}


@pytest.fixture(scope="module")
def body():
    return load_body_model("anny-body-small")


@pytest.fixture(scope="module")
def motions():
    return {motion.name: motion for motion in free_motions()}


CMU_TREE = """ROOT Hips
  JOINT LHipJoint 0 0 0
    JOINT LeftUpLeg 1 -1 0
      JOINT LeftLeg 0 -8 0
        JOINT LeftFoot 0 -8 0
          JOINT LeftToeBase 0 -0.4 2
  JOINT RHipJoint 0 0 0
    JOINT RightUpLeg -1 -1 0
      JOINT RightLeg 0 -8 0
        JOINT RightFoot 0 -8 0
          JOINT RightToeBase 0 -0.4 2
  JOINT LowerBack 0 0 0
    JOINT Spine 0 2 0
      JOINT Spine1 0 2 0
        JOINT Neck 0 0 0
          JOINT Neck1 0 2 0
            JOINT Head 0 2 0
        JOINT LeftShoulder 0 0 0
          JOINT LeftArm 3 1 0
            JOINT LeftForeArm 5 0 0
              JOINT LeftHand 4 0 0
        JOINT RightShoulder 0 0 0
          JOINT RightArm -3 1 0
            JOINT RightForeArm -5 0 0
              JOINT RightHand -4 0 0"""


def bvh_text(frames, order="Zrotation Yrotation Xrotation"):
    """A small BVH file with CMU's joints; each frame is the root's place and {(joint, channel): degrees}."""
    lines, names = ["HIERARCHY"], []
    rows = [line.split() for line in CMU_TREE.splitlines()]
    depth = [(len(line) - len(line.lstrip())) // 2 for line in CMU_TREE.splitlines()]
    for i, (row, deep) in enumerate(zip(rows, depth, strict=True)):
        names.append(row[1])
        offset = " ".join(row[2:]) or "0 0 0"
        channels = f"6 Xposition Yposition Zposition {order}" if not deep else f"3 {order}"
        lines += [f"{row[0]} {row[1]}", "{", f"OFFSET {offset}", f"CHANNELS {channels}"]
        following = depth[i + 1] if i + 1 < len(depth) else 0
        if following <= deep:
            lines += ["End Site", "{", "OFFSET 0 0 1", "}"]
        lines += ["}"] * (deep - following + 1)
    lines += ["MOTION", f"Frames: {len(frames)}", "Frame Time: 0.025"]
    for place, turns in frames:
        values = [*place]
        for name in names:
            values += [turns.get((name, channel), 0) for channel in order.split()]
        lines.append(" ".join(str(value) for value in values))
    return "\n".join(lines) + "\n"


@pytest.fixture
def write_bvh(tmp_path):
    def write(*frames, **options):
        path = tmp_path / "made.bvh"
        path.write_text(bvh_text(frames, **options))
        return path

    return write


STILL = ((0, 17, 0), {("Hips", "Yrotation"): 0.001})  # not the T-pose, which has no rotation at all


def deepmimic_frame(duration=0.05, place=(0, 0.9, 0), **turns):
    """44 numbers; `turns` are quaternions wxyz, or an angle for knees and elbows, by joint."""
    values = [duration, *place]
    for name, _, _, width in mocap_deepmimic.JOINTS:
        identity = {4: (1, 0, 0, 0), 1: (0,), 0: ()}[width]
        values += turns.get(name, identity)
    return values


@pytest.fixture
def write_deepmimic(tmp_path):
    def write(*frames):
        path = tmp_path / "made.txt"
        path.write_text(json.dumps({"Loop": "none", "Frames": list(frames)}))
        return path

    return write


@pytest.fixture
def write_amass(tmp_path):
    def write(vectors=None, trans=(0, 0, 0), **changes):
        poses = np.zeros((1, 156))
        for joint, vector in (vectors or {}).items():
            number = [name for name, _, _ in mocap_amass.JOINTS].index(joint)
            poses[:, 3 * number : 3 * number + 3] = vector
        arrays = {"poses": poses, "trans": np.array([trans], dtype=float), "mocap_framerate": np.array(120.0)} | changes
        np.savez(tmp_path / "made.npz", **{name: array for name, array in arrays.items() if array is not None})
        return tmp_path / "made.npz"

    return write


def bone(motion, part, frame=0):
    """Unit direction of a recorded bone."""
    start, end = (motion.joint_names.index(name) for name in motion.partners[part][:2])
    joints = motion.positions()[frame]
    return (joints[end] - joints[start]) / np.linalg.norm(joints[end] - joints[start])


def test_a_bvh_is_read_in_metres_with_y_down_and_facing_minus_z(write_bvh):
    motion = read_motion(write_bvh(((1, 17, 2), STILL[1])))
    unit = mocap_bvh.CMU_UNIT
    np.testing.assert_allclose(motion.root[0], [unit, -17 * unit, -2 * unit])
    np.testing.assert_allclose(bone(motion, "thigh/left"), [0, 1, 0], atol=1e-6)
    np.testing.assert_allclose(bone(motion, "upperarm/left"), [1, 0, 0], atol=1e-4)
    joints = dict(zip(motion.joint_names, motion.positions()[0], strict=True))
    assert joints["LeftToeBase"][2] < joints["LeftFoot"][2]
    assert np.linalg.norm(joints["LeftLeg"] - joints["LeftUpLeg"]) == pytest.approx(8 * unit)
    assert motion.rate == pytest.approx(40)


def test_the_channels_of_a_bvh_turn_in_their_order(write_bvh):
    # About z first, then about the new y: the forearm, along x, turns up to y and stays there.
    turns = {("LeftForeArm", "Zrotation"): 90, ("LeftForeArm", "Xrotation"): 90, **STILL[1]}
    first = read_motion(write_bvh(((0, 0, 0), turns)))
    np.testing.assert_allclose(bone(first, "forearm/left"), [0, -1, 0], atol=1e-3)
    other = read_motion(write_bvh(((0, 0, 0), turns), order="Xrotation Yrotation Zrotation"))
    np.testing.assert_allclose(bone(other, "forearm/left"), [0, 0, -1], atol=1e-3)


def test_the_leading_t_pose_of_a_bvh_is_left_out(write_bvh):
    assert len(read_motion(write_bvh(((0, 17, 0), {}), STILL, STILL))) == 2


def test_a_deepmimic_clip_is_read_with_y_down_and_facing_minus_z(write_deepmimic):
    motion = read_motion(write_deepmimic(deepmimic_frame(place=(1, 0.9, 2), left_knee=(-1.0,), right_elbow=(1.2,))))
    np.testing.assert_allclose(motion.root[0], [-2, -0.9, -1])
    joints = dict(zip(motion.joint_names, motion.positions()[0], strict=True))
    assert joints["left_hip"][0] > joints["right_hip"][0]
    np.testing.assert_allclose(bone(motion, "thigh/left"), [0, 1, 0], atol=1e-6)
    np.testing.assert_allclose(bone(motion, "shin/left"), [0, np.cos(1), np.sin(1)], atol=1e-6)  # backwards
    np.testing.assert_allclose(bone(motion, "forearm/right"), [0, np.cos(1.2), -np.sin(1.2)], atol=1e-6)  # forwards


def test_a_deepmimic_root_turns_by_its_quaternion(write_deepmimic):
    half = np.sqrt(0.5)
    quarter = (half, 0, half, 0)  # about up: from x, forwards, to -z, which is the left
    turned = read_motion(write_deepmimic(deepmimic_frame(root=quarter)))
    assert turned.rate == pytest.approx(20)
    np.testing.assert_allclose(turned.rotations[0, 0] @ [0, 0, -1], [1, 0, 0], atol=1e-6)


def test_an_amass_sequence_is_turned_from_z_up(write_amass):
    upright = (np.pi / 2, 0, 0)  # SMPL's y up to the world's z up
    motion = read_motion(write_amass({"pelvis": upright, "left_knee": (np.pi / 2, 0, 0)}, trans=(1, 2, 3)))
    np.testing.assert_allclose(motion.root[0], [1, -3, 2])
    np.testing.assert_allclose(bone(motion, "thigh/right"), [0, 1, 0], atol=1e-6)
    np.testing.assert_allclose(bone(motion, "upperarm/left"), [1, 0, 0], atol=1e-6)
    # SMPL faces +z; upright in the world it faces -y, which is our -z: a bent knee points backwards.
    np.testing.assert_allclose(bone(motion, "shin/left"), [0, 0, 1], atol=1e-6)
    assert motion.rate == 120


def test_free_motions_come_along(motions):
    assert len(motions) >= 8
    assert any("CMU" in motion.licence for motion in motions.values())
    assert any("MIT" in motion.licence for motion in motions.values())
    for motion in motions.values():
        eye = np.broadcast_to(np.eye(3), motion.rotations.shape)
        np.testing.assert_allclose(motion.rotations @ np.swapaxes(motion.rotations, -1, -2), eye, atol=1e-6)


@pytest.mark.parametrize("name", ["cmu_01_01_jump", "humanoid3d_cartwheel", "humanoid3d_walk"])
def test_bones_point_where_the_recorded_bones_point(body, motions, name):
    motion = motions[name].cut(0, len(motions[name]), 5)
    pose, transl = retarget(motion, body)
    with torch.no_grad():
        joints = body(body.mean_shape(), pose, transl).joints.double().numpy()
    recorded = motion.positions()
    for part, (start, end) in BONES.items():
        for side in ("left", "right"):
            at = [body.layout.joint_names.index(f"{joint}.{side[0].upper()}") for joint in (start, end)]
            ours = joints[:, at[1]] - joints[:, at[0]]
            at = [motion.joint_names.index(joint) for joint in motion.partners[f"{part}/{side}"][:2]]
            theirs = recorded[:, at[1]] - recorded[:, at[0]]
            cosine = (ours * theirs).sum(1) / np.linalg.norm(ours, axis=1) / np.linalg.norm(theirs, axis=1)
            # A thigh's two bones are not quite in line, so sharing its turn between them moves the knee a little.
            tolerance = 1.5 if part == "thigh" else 0.3
            assert np.degrees(np.arccos(np.clip(cosine, -1, 1))).max() < tolerance, f"{part} {side}"


def test_a_motion_lies_as_well_on_a_rig_in_a_t_pose(motions):
    plain = PlainModel(person_joints(), "body")
    motion = motions["humanoid3d_kick"].cut(0, 47, 6)
    pose, transl = retarget(motion, plain)
    joints = plain(plain.mean_shape(), pose, transl).joints.double().numpy()
    index = plain.layout.joint_names.index
    recorded = motion.positions()
    for name in ("shoulder", "elbow", "hip", "knee"):
        end = {"shoulder": "elbow", "elbow": "wrist", "hip": "knee", "knee": "ankle"}[name]
        for side in ("left", "right"):
            ours = joints[:, index(f"{side}_{end}")] - joints[:, index(f"{side}_{name}")]
            at = [motion.joint_names.index(f"{side}_{joint}") for joint in (name, end)]
            theirs = recorded[:, at[1]] - recorded[:, at[0]]
            cosine = (ours * theirs).sum(1) / np.linalg.norm(ours, axis=1) / np.linalg.norm(theirs, axis=1)
            assert np.degrees(np.arccos(np.clip(cosine, -1, 1))).max() < 0.5


def test_the_trunk_turns_with_the_recorded_trunk(body, motions):
    motion = motions["humanoid3d_getup_facedown"].cut(0, 90, 10)
    pose, transl = retarget(motion, body)
    with torch.no_grad():
        turned = body(body.mean_shape(), pose, transl).orientations.double().numpy()
    for ours, theirs in (("root", "root"), ("spine01", "chest"), ("head", "neck")):
        np.testing.assert_allclose(
            turned[:, body.layout.joint_names.index(ours)],
            motion.rotations[:, motion.joint_names.index(theirs)],
            atol=1e-4,
        )


def test_feet_stand_on_the_floor_and_jumps_leave_it(body, motions):
    for name in ("humanoid3d_walk", "humanoid3d_jump"):
        pose, transl = retarget(motions[name], body)
        with torch.no_grad():
            lowest = body(body.mean_shape(), pose, transl).vertices[..., 1].amax(dim=1)
        assert lowest.max() < 0.01
        assert lowest.max() > -0.01
        if name == "humanoid3d_jump":
            assert lowest.min() < -0.15
        else:
            assert lowest.min() > -0.03


def test_one_frame_alone_stands_on_the_floor_over_the_origin(body, motions):
    pose, transl = retarget(motions["humanoid3d_jump"].cut(20, 21), body)
    with torch.no_grad():
        mesh = body(body.mean_shape(), pose, transl)
    assert abs(mesh.vertices[..., 1].max()) < 0.01
    assert transl[0, 0] == transl[0, 2] == 0


def test_longer_legs_take_longer_steps(body, motions):
    names = body.layout.shape_names
    paths = []
    for height in (0.2, 0.8):
        shape = body.mean_shape()
        shape[0, names.index("height")] = height
        paths.append(retarget(motions["humanoid3d_walk"], body, shape)[1])
    short, long = (path[-1, [0, 2]].norm() for path in paths)
    assert long > 1.1 * short
    assert 0.8 < short < 2.5  # a second and a bit of walking


def test_hands_of_moving_bodies_are_drawn_on_request(body, motions):
    motion = motions["humanoid3d_walk"].cut(0, 3)
    relaxed, again = (retarget(motion, body)[0] for _ in range(2))
    drawn = retarget(motion, body, rng=np.random.default_rng(0))[0]
    assert torch.equal(relaxed, again)
    finger = body.layout.joint_names.index("finger3-2.L")
    assert not torch.allclose(relaxed[:, finger], drawn[:, finger])
    assert torch.equal(drawn[0, finger], drawn[2, finger])


def test_a_cut_is_a_slower_motion(motions):
    motion = motions["humanoid3d_walk"]
    part = motion.cut(10, 30, 4)
    assert len(part) == 5
    assert part.rate == pytest.approx(motion.rate / 4)
    assert part.seconds == pytest.approx(16 / motion.rate)
    with pytest.raises(ValueError, match="none"):
        motion.cut(30, 10)


def test_a_hand_model_takes_no_motion(motions):
    with pytest.raises(ValueError, match="whole bodies"):
        retarget(motions["humanoid3d_walk"], load_body_model("anny-hand"))


def test_a_bvh_with_another_skeleton_names_what_is_missing(write_bvh):
    path = write_bvh(STILL)
    path.write_text(path.read_text().replace("LeftUpLeg", "l_thigh"))
    with pytest.raises(InputError, match=r"no joint LeftUpLeg among Hips.*CMU skeleton"):
        read_motion(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text[: text.index("Neck1")], "no MOTION section"),
        (lambda text: text[:-40], "values instead of 1 frames of"),
        (lambda text: text.replace("MOTION", "}\nMOTION", 1), "HIERARCHY section is damaged"),
        (lambda text: text.replace("}\nMOTION", "MOTION", 1), "HIERARCHY section is cut short"),
        (lambda text: text.replace("Xposition", "Xscale", 1), "channel Xscale"),
        (lambda text: text.replace("Frame Time: 0.025", "Frame Time: soon"), "MOTION section is damaged"),
        (lambda text: text.replace("\n0 17 0", "\nnan 17 0"), "not finite"),
        (lambda text: text.replace("\n0 17 0", "\nzero 17 0"), "MOTION section is damaged"),
    ],
)
def test_a_damaged_bvh_is_one_clear_line(write_bvh, change, message):
    path = write_bvh(STILL)
    path.write_text(change(path.read_text()))
    with pytest.raises(InputError, match=message) as caught:
        read_motion(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"Frames": [[0.1, 0,', "cut short"),
        ('{"frames": []}', "no list of Frames"),
        ('{"Frames": [[1, 2], [3]]}', "different lengths"),
        ('{"Frames": [[1, 2]]}', "44 numbers"),
        ('{"Frames": []}', "44 numbers"),
        (json.dumps({"Frames": [[*deepmimic_frame()[:-1], float("nan")]]}), "not finite"),
        (json.dumps({"Frames": [deepmimic_frame(duration=0)]}), "without duration"),
        (json.dumps({"Frames": [deepmimic_frame(neck=(0, 0, 0, 0))]}), "quaternion of neck"),
        ("a shopping list", "neither a BVH"),
    ],
)
def test_a_damaged_clip_is_one_clear_line(tmp_path, text, message):
    path = tmp_path / "clip.txt"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        read_motion(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"poses": None}, "no poses"),
        ({"poses": np.zeros((1, 24))}, "AMASS has"),
        ({"trans": np.zeros((2, 3))}, "AMASS has"),
        ({"poses": np.full((1, 156), np.nan)}, "not finite"),
        ({"mocap_framerate": None}, "not a sequence of AMASS"),
    ],
)
def test_a_strange_archive_is_one_clear_line(write_amass, changes, message):
    with pytest.raises(InputError, match=message):
        read_motion(write_amass(**changes))


def test_files_that_are_no_motion_are_refused(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_motion(tmp_path / "gone.bvh")
    (tmp_path / "picture.npz").write_bytes(b"\x89PNG\r\n")
    with pytest.raises(InputError, match="not a readable"):
        read_motion(tmp_path / "picture.npz")
    (tmp_path / "clip.bvh").write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(InputError, match="not a text file"):
        read_motion(tmp_path / "clip.bvh")


def test_motions_are_found_below_a_folder_and_notes_are_not(tmp_path, write_deepmimic):
    path = write_deepmimic(deepmimic_frame())
    (tmp_path / "SOURCE.txt").write_text("from somewhere")
    assert find_motions(tmp_path) == [path]
    with pytest.raises(InputError, match="no such folder"):
        find_motions(tmp_path / "gone")
    path.unlink()
    with pytest.raises(InputError, match="no motion"):
        find_motions(tmp_path)


def test_the_real_cmu_recording_has_the_measures_of_a_person(samples):
    motion = read_motion(samples / "mocap" / "cmu" / "01_01.bvh")
    assert len(motion) == 2751
    assert motion.rate == pytest.approx(120, rel=1e-3)
    still = motion.still()
    height = still[:, 1].max() - still[:, 1].min()
    assert 1.3 < height < 1.7  # from the feet to the joint of the head
    assert -1.1 < np.median(motion.root[:, 1]) < -0.8


def test_every_real_deepmimic_clip_is_read(samples):
    found = find_motions(samples / "mocap" / "deepmimic")
    assert len(found) == 10
    assert {round(read_motion(path).rate) for path in found} == {30, 60}
