"""Small data sets of hands, written in the layouts of their owners from free hands; for tests of whatever reads them.

`drawn_hands` draws hands in front of a camera; each `write_...` takes them to its data set's units, axes, order of
joints and files, and returns the folder. Nothing here uses the readers.
"""

import json
import pickle
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import torch

from humanpt.body.model import load_body_model
from humanpt.body.skeletons import HAND_21
from humanpt.data.image import encode_jpeg
from humanpt.data.people.staging import random_rotation
from humanpt.data.poses.sample import HandPoses
from humanpt.geometry.rotations import rotvec_to_rotmat
from humanpt.render.overlay import draw_mesh

OPENGL = np.array([1.0, -1.0, -1.0])
MANO_VERTICES = 778


@dataclass(kw_only=True, eq=False)
class Hand:
    """A hand before a camera, in OpenCV axes and metres."""

    side: str
    picture: np.ndarray  # (H, W, 3)
    intrinsics: np.ndarray  # (3, 3)
    keypoints: np.ndarray  # (21, 3)
    vertices: np.ndarray  # (778, 3)
    rotvecs: np.ndarray | None = None  # (16, 3) of MANO, away from a flat hand, in the axes of its file
    shape: np.ndarray | None = None  # (10,)
    shift: np.ndarray | None = None  # (3,): keypoints are the package's joints plus this


def camera(width, height, focal=1.6):
    """A camera matrix whose focal length is `focal` times the picture's width."""
    return np.array([[focal * width, 0, (width - 1) / 2], [0, focal * width, (height - 1) / 2], [0, 0, 1.0]])


def drawn_hands(count, *, size=(224, 224), sides=("right",), seed=0, mano=False):
    """Hands in natural poses, turned any way, drawn over a ground of two colours; a new list of them.

    Args:
        count: how many.
        size: width and height of the pictures.
        sides: taken by turns.
        seed: other seeds draw others.
        mano: take the user's MANO, in poses of its own, instead of Anny's hand with every second vertex.
    """
    return list(_drawn.__wrapped__(count, size, sides, seed, True) if mano else _drawn(count, size, sides, seed, False))


@lru_cache(maxsize=32)
def _drawn(count, size, sides, seed, mano):
    rng = np.random.default_rng(seed)
    models = {side: load_body_model("mano" if mano else "anny-hand", side=side) for side in set(sides)}
    posers = {side: HandPoses(model) for side, model in models.items() if not mano}
    hands = []
    for number in range(count):
        side = sides[number % len(sides)]
        place = np.array([*rng.uniform(-0.03, 0.03, 2), rng.uniform(0.5, 0.7)])
        if mano:
            hand = mano_hand(models[side], side, place, rng)
            seen = torch.from_numpy(hand["vertices"]).float()
        else:
            hand, seen = free_hand(models[side], posers[side], place, rng)
        intrinsics = camera(*size)
        ground = np.broadcast_to(rng.integers(0, 256, 3, dtype=np.uint8), (size[1], size[0], 3)).copy()
        ground[size[1] // 2 :] = rng.integers(0, 256, 3, dtype=np.uint8)
        picture = draw_mesh(
            ground, seen, models[side].faces, torch.from_numpy(intrinsics), colours=[(200, 160, 140)], opacity=1.0
        )
        hands.append(Hand(side=side, picture=picture, intrinsics=intrinsics, **hand))
    return hands


def free_hand(model, poser, place, rng):
    """Anny's hand: labels, and all of its vertices."""
    pose = poser.sample(rng, 1)
    pose[0, 0] = torch.from_numpy(random_rotation(rng)).float()
    shape = model.sample_shape(rng, 1)
    with torch.no_grad():
        mesh = model(shape, pose, torch.zeros(1, 3))
    shift = place - mesh.keypoints[0].mean(0).numpy()
    vertices = mesh.vertices[0] + torch.from_numpy(shift).float()
    few = vertices[::2][:MANO_VERTICES].numpy().astype(np.float64)
    return {"keypoints": mesh.keypoints[0].numpy() + shift, "vertices": few}, vertices


def mano_hand(model, side, place, rng):
    """The user's MANO, computed by the package alone, in the axes of its file."""
    rotvecs = rng.normal(scale=0.3, size=(16, 3))
    rotvecs[0] = rng.normal(size=3)
    shape = rng.normal(size=10)
    rotations = rotvec_to_rotmat(torch.from_numpy(rotvecs)).float()[None]
    mirror = torch.diag(torch.tensor([-1.0, 1.0, 1.0])) if model.mirrored else torch.eye(3)
    with torch.no_grad():
        turned = mirror @ rotations @ mirror
        posed = model.layer(
            betas=torch.from_numpy(shape).float()[None], global_orient=turned[:, :1], hand_pose=turned[:, 1:]
        )
    vertices, joints = (points[0].numpy() @ mirror.numpy() for points in (posed.vertices, posed.joints))
    by_name = dict(zip(model.layout.joint_names, joints, strict=False))
    points = np.stack(
        [
            vertices[model.keypoint_vertices[name]] if name in model.keypoint_vertices else by_name[name]
            for name in HAND_21
        ]
    )
    shift = place - points.mean(0)
    return {
        "keypoints": points + shift,
        "vertices": vertices + shift,
        "rotvecs": rotvecs,
        "shape": shape,
        "shift": shift,
    }


def write_picture(path, rgb):
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".png":
        path.write_bytes(cv2.imencode(".png", rgb[..., ::-1])[1].tobytes())
    else:
        path.write_bytes(encode_jpeg(rgb, 95))


def write_freihand(root, count=4, *, part="training", hands=None, mean=None):
    """FreiHAND with `count` photographs, for training in four versions whose colours differ.

    Args:
        root: a folder, made if need be.
        count: of photographs.
        part: "training" or "evaluation".
        hands: right hands to write instead of drawn ones.
        mean: (45,) MANO's mean hand, which its labels leave out.
    """
    hands = hands or drawn_hands(count, seed=1 if part == "evaluation" else 0)
    versions = 4 if part == "training" else 1
    for version in range(versions):
        for number, hand in enumerate(hands):
            rgb = np.roll(hand.picture, version, axis=2) if version < 3 else 255 - hand.picture
            write_picture(root / part / "rgb" / f"{number + version * len(hands):08d}.jpg", rgb)
    tables = {
        "K": [hand.intrinsics.tolist() for hand in hands],
        "xyz": [hand.keypoints.tolist() for hand in hands],
        "verts": [hand.vertices.tolist() for hand in hands],
        "mano": [[freihand_parameters(hand, mean)] for hand in hands],
        "scale": [float(np.linalg.norm(hand.keypoints[10] - hand.keypoints[9])) for hand in hands],
    }
    for name, table in tables.items():
        (root / f"{part}_{name}.json").write_text(json.dumps(table))
    return root


def freihand_parameters(hand, mean=None):
    """48 of pose, 10 of shape, and where and how large the hand is in the picture."""
    if hand.rotvecs is None:
        return [0.0] * 61
    joints = hand.rotvecs[1:].ravel() - (0 if mean is None else mean)
    middle, focal = hand.keypoints[9], hand.intrinsics[0, 0]
    pixel = hand.intrinsics @ middle
    return [*hand.rotvecs[0], *joints, *hand.shape, *(pixel[:2] / pixel[2]), focal / middle[2]]


HO3D_JOINTS = (0, 5, 6, 7, 9, 10, 11, 17, 18, 19, 13, 14, 15, 1, 2, 3, 4, 8, 12, 16, 20)
"""For each joint of HO3D, its number in our order."""


def write_ho3d(root, count=4, *, version=3, sequences=("ABF10", "ABF11"), hands=None, with_truth=True, protocol=2):
    """HO3D with `count` pictures in each sequence for training, and in one for evaluation.

    Args:
        root: a folder, made if need be.
        count: of frames.
        version: 2 or 3, which differ in the pictures' format.
        sequences: names of those for training; they show other hands.
        hands: right hands of all sequences to write instead of drawn ones, those for evaluation last.
        with_truth: whether the labels for evaluation that were published later are there.
        protocol: of the pickles.
    """
    hands = hands or drawn_hands(count * (len(sequences) + 1), size=(320, 240))
    ending = {2: ".png", 3: ".jpg"}[version]
    listed = {"train": [], "evaluation": []}
    for number, hand in enumerate(hands):
        sequence = (*sequences, "SM1")[number // count]
        split = "evaluation" if number // count == len(sequences) else "train"
        frame = f"{number % count:04d}"
        listed[split].append(f"{sequence}/{frame}")
        write_picture(root / split / sequence / "rgb" / (frame + ending), hand.picture)
        meta = root / split / sequence / "meta" / f"{frame}.pkl"
        meta.parent.mkdir(parents=True, exist_ok=True)
        meta.write_bytes(pickle.dumps(ho3d_meta(hand, split), protocol))
    for split, names in listed.items():
        (root / f"{split}.txt").write_text("".join(f"{name}\n" for name in names))
    if with_truth:
        last = hands[-count:]
        tables = {
            "xyz": [hand.keypoints[list(HO3D_JOINTS)] for hand in last],
            "verts": [hand.vertices for hand in last],
        }
        for name, table in tables.items():
            (root / f"evaluation_{name}.json").write_text(json.dumps([(points * OPENGL).tolist() for points in table]))
    return root


def ho3d_meta(hand, split):
    """What the pickle of one picture holds."""
    joints = (hand.keypoints * OPENGL)[list(HO3D_JOINTS)]
    meta = {"objName": "021_bleach_cleanser", "objLabel": 12, "objTrans": np.zeros(3), "objRot": np.zeros((3, 1))}
    if split == "evaluation":
        seen = hand.keypoints @ hand.intrinsics.T
        seen = seen[:, :2] / seen[:, 2:]
        box = np.concatenate((seen.min(0) - 8, seen.max(0) + 8)).astype(int)
        return meta | {"camMat": hand.intrinsics, "handJoints3D": joints[0], "handBoundingBox": list(box)}
    pose = {"handPose": np.zeros(48), "handBeta": np.zeros(10), "handTrans": np.zeros(3)}
    if hand.rotvecs is not None:
        # in OpenGL axes: the whole hand is turned by half a turn about x after its own
        turn = cv2.Rodrigues(np.diag(OPENGL) @ cv2.Rodrigues(hand.rotvecs[0])[0])[0].ravel()
        root = hand.keypoints[0] - hand.shift  # of the package's hand, at no shift
        pose = {
            "handPose": np.concatenate((turn, hand.rotvecs[1:].ravel())),
            "handBeta": hand.shape,
            "handTrans": OPENGL * (root + hand.shift) - root,
        }
    return meta | pose | {"camMat": hand.intrinsics, "handJoints3D": joints}


INTERHAND_JOINTS = (4, 3, 2, 1, 8, 7, 6, 5, 12, 11, 10, 9, 16, 15, 14, 13, 20, 19, 18, 17, 0)
"""For each joint of a hand of InterHand2.6M, its number in our order."""


def write_interhand(root, count=2, *, split="train", hands=None, cameras=2, mean=None):
    """InterHand2.6M with `count` frames, each seen by several cameras: a right hand, a left one, both, and so on.

    Args:
        root: a folder, made if need be.
        count: of frames.
        split: "train", "val" or "test".
        hands: for each frame a right and a left hand, by turns, to write instead of drawn ones.
        cameras: how many; the first one is the hands' own, the others stand a tenth of a metre apart.
        mean: for right and left, (45,) MANO's mean hand, which its labels leave out; without it none are written.
    """
    hands = hands or drawn_hands(2 * count, size=(334, 512), sides=("right", "left"))
    world_from_cam = cv2.Rodrigues(np.array([0.4, -1.1, 0.3]))[0]  # the world is the first camera's, turned and shifted
    stand = np.array([0.3, -0.2, 1.1])
    places = {str(400000 + k): stand + world_from_cam @ np.array([0.1 * k, 0, 0]) for k in range(cameras)}
    tables = {"data": {"images": [], "annotations": []}, "camera": {}, "joint_3d": {}, "MANO_NeuralAnnot": {}}
    for frame in range(count):
        kind = ("right", "left", "interacting")[frame % 3]
        right, left = hands[2 * frame : 2 * frame + 2]
        capture = str(frame % 2)
        world = [(hand.keypoints[list(INTERHAND_JOINTS)] @ world_from_cam.T + stand) * 1000 for hand in (right, left)]
        valid = [[int(kind in (side, "interacting"))] for side in ("right", "left") for _ in range(21)]
        tables["joint_3d"].setdefault(capture, {})[str(frame)] = {"world_coord": np.concatenate(world).tolist()}
        if mean is not None:
            fits = {hand.side: interhand_fit(hand, mean[hand.side], world_from_cam, stand) for hand in (right, left)}
            tables["MANO_NeuralAnnot"].setdefault(capture, {})[str(frame)] = fits
        for camera, place in places.items():
            known = tables["camera"].setdefault(capture, {})
            for name, value in interhand_camera(right.intrinsics, world_from_cam, place).items():
                known.setdefault(name, {})[camera] = value
            number = len(tables["data"]["images"])
            file = f"Capture{capture}/0001_dh_pray/cam{camera}/image{frame}.jpg"
            write_picture(root / "images" / split / file, left.picture if kind == "left" else right.picture)
            picture = {"id": number, "file_name": file, "width": 334, "height": 512, "capture": int(capture)}
            picture |= {"seq_name": "0001_dh_pray", "camera": camera, "frame_idx": frame}
            tables["data"]["images"].append(picture)
            annotation = {"id": number, "image_id": number, "hand_type": kind, "joint_valid": valid}
            tables["data"]["annotations"].append(annotation | {"bbox": [0, 0, 334, 512], "hand_type_valid": 1})
    folder = root / "annotations" / split
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in tables.items():
        if table:
            (folder / f"InterHand2.6M_{split}_{name}.json").write_text(json.dumps(table))
    return root


def interhand_camera(intrinsics, world_from_cam, place):
    """A camera's entries in camera.json."""
    return {
        "camrot": world_from_cam.T.tolist(),
        "campos": (1000 * place).tolist(),
        "focal": [intrinsics[0, 0], intrinsics[1, 1]],
        "princpt": intrinsics[:2, 2].tolist(),
    }


def interhand_fit(hand, mean, world_from_cam, stand):
    """MANO's parameters of a hand in the world: turned about its wrist, then shifted."""
    turn = cv2.Rodrigues(world_from_cam @ cv2.Rodrigues(hand.rotvecs[0])[0])[0].ravel()
    root = hand.keypoints[0] - hand.shift
    shift = world_from_cam @ (root + hand.shift) + stand - root
    joints = hand.rotvecs[1:].ravel() - mean
    return {"pose": [*turn, *joints], "shape": hand.shape.tolist(), "trans": shift.tolist()}


def write_dexycb(
    root, count=2, *, subjects=("20200709-subject-01",), sequences=2, cameras=None, hands=None, space=None
):
    """DexYCB with sequences of `count` frames with a hand, after one without; every second one shows a left hand.

    Args:
        root: a folder, made if need be.
        count: of frames with a hand in a sequence.
        subjects: names of their folders.
        sequences: of each subject.
        cameras: serial numbers; the first is the hands' own, the others stand a tenth of a metre apart.
        hands: of all subjects and sequences, to write instead of drawn ones; a sequence shows one side.
        space: for right and left, (45,) MANO's mean hand and (45, 45) its principal poses, one a row.
    """
    cameras = cameras or ("836212060125", "839512060362")
    total = len(subjects) * sequences
    if hands is None:
        by_side = {side: iter(drawn_hands(total * count, size=(640, 480), sides=(side,))) for side in ("right", "left")}
        hands = [next(by_side[("right", "left")[k // count % 2]]) for k in range(total * count)]
    for serial in cameras:
        matrix = hands[0].intrinsics
        values = f"fx: {matrix[0, 0]}\n  fy: {matrix[1, 1]}\n  ppx: {matrix[0, 2]}\n  ppy: {matrix[1, 2]}\n"
        write_text(root / "calibration" / "intrinsics" / f"{serial}_640x480.yml", "color:\n  " + values)
    for number in range(total):
        subject, name = subjects[number // sequences], f"20200709_1415{number % sequences:02d}"
        shown = hands[number * count : (number + 1) * count]
        side, calibrated = shown[0].side, f"20200709-140042_{name}_{shown[0].side}"
        folder = root / subject / name
        serials = "".join(f"- '{serial}'\n" for serial in cameras)
        meta = f"serials:\n{serials}num_frames: {count + 1}\nmano_sides:\n- {side}\nmano_calib:\n- {calibrated}\n"
        write_text(folder / "meta.yml", meta)
        betas = [0.0] * 10 if shown[0].shape is None else shown[0].shape.tolist()
        write_text(root / "calibration" / f"mano_{calibrated}" / "mano.yml", json.dumps({"betas": betas}))
        numbers = np.zeros((count + 1, 1, 51), np.float32)
        numbers[1:, 0] = [dexycb_numbers(hand, space) for hand in shown]
        np.savez(folder / "pose.npz", pose_m=numbers)
        for at, serial in enumerate(cameras):
            for frame in range(count + 1):
                hand = shown[max(frame - 1, 0)]
                aside = np.array([0.1 * at, 0, 0])
                joints = hand.keypoints[None] - aside if frame else np.full((1, 21, 3), -1.0)
                told = numbers[frame] - (np.concatenate((np.zeros(48), aside)) if frame else 0)
                write_picture(folder / serial / f"color_{frame:06d}.jpg", hand.picture)
                arrays = {"joint_3d": joints.astype(np.float32), "pose_m": told.astype(np.float32)}
                np.savez(folder / serial / f"labels_{frame:06d}.npz", seg=np.zeros((480, 640), np.uint8), **arrays)
    return root


def write_text(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def dexycb_numbers(hand, space):
    """The turn of a hand, 45 coefficients of principal poses, the shift; not zero even where they mean nothing."""
    if hand.rotvecs is None:
        return np.ones(51)
    mean, components = space[hand.side]
    coefficients = np.linalg.solve(components.T, hand.rotvecs[1:].ravel() - mean)
    return np.concatenate((hand.rotvecs[0], coefficients, hand.shift))
