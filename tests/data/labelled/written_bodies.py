"""Small data sets of people, written in the layouts of their owners; for tests of whatever reads them.

Bodies are computed by the package `smplx` in the axes of its files, from free numbers in SMPL's format; nothing here
uses the readers or our own models.
"""

import contextlib
import io
import pickle
from dataclasses import dataclass

import cv2
import numpy as np
import torch

from humanpt.data.image import encode_jpeg

WIDTH, HEIGHT = 192, 108
CAMERA = np.array([[150.0, 0, WIDTH / 2], [0, 150, HEIGHT / 2], [0, 0, 1]])


@dataclass(kw_only=True, eq=False)
class Clip:
    """One person in a few frames: parameters in a world, and where everything is before the camera."""

    betas: np.ndarray  # (10,)
    poses: np.ndarray  # (T, J * 3)
    transl: np.ndarray  # (T, 3)
    cam_from_world: np.ndarray  # (T, 4, 4)
    joints: np.ndarray  # (T, K, 3) in the world
    joints_cam: np.ndarray
    vertices_cam: np.ndarray
    pixels: np.ndarray  # (T, K, 2)


def moved(cam_from_world, points):
    return np.einsum("tij,tnj->tni", cam_from_world[:, :3, :3], points) + cam_from_world[:, None, :3, 3]


def seen(points):
    homogeneous = points @ CAMERA.T
    return homogeneous[..., :2] / homogeneous[..., 2:]


def clip(call, joints, frames=4, *, seed=0, world=True):
    """A person whose joints and vertices `call(betas, poses, transl)` computes, some metres before the camera."""
    rng = np.random.default_rng(seed)
    betas = rng.normal(size=10).astype(np.float32)
    poses = rng.normal(scale=0.2, size=(frames, 3 * joints)).astype(np.float32)
    transl = rng.normal(scale=0.2, size=(frames, 3)).astype(np.float32) if world else np.zeros((frames, 3), np.float32)
    cameras = np.repeat(np.eye(4)[None], frames, axis=0)
    for camera in cameras:
        camera[:3, :3] = (
            cv2.Rodrigues(rng.normal(scale=0.3, size=3) + np.array([np.pi, 0, 0]))[0] if world else np.eye(3)
        )
        camera[:3, 3] = [0.1, -0.2, 4 + rng.random()]
    if not world:
        poses[:, :3] += [np.pi, 0, 0]
    vertices, points = call(betas, poses, transl)
    joints_cam = moved(cameras, points)
    return Clip(
        betas=betas,
        poses=poses,
        transl=transl,
        cam_from_world=cameras,
        joints=points,
        joints_cam=joints_cam,
        vertices_cam=moved(cameras, vertices),
        pixels=seen(joints_cam),
    )


def smpl_call(arrays):
    """SMPL as a user of the package calls it."""
    import smplx
    from smplx.utils import Struct

    with contextlib.redirect_stdout(io.StringIO()):
        model = smplx.SMPL("", data_struct=Struct(**arrays))

    def call(betas, poses, transl):
        told = torch.from_numpy(poses)
        with torch.no_grad():
            out = model(
                betas=torch.from_numpy(betas)[None].expand(len(told), -1),
                global_orient=told[:, :3],
                body_pose=told[:, 3:],
                transl=torch.from_numpy(transl),
            )
        return out.vertices.numpy().astype(np.float64), out.joints[:, :24].numpy().astype(np.float64)

    return call


def smplx_call(path):
    """SMPL-X from a file, hands flat at zero, as BEDLAM's authors call it."""
    import smplx

    with contextlib.redirect_stdout(io.StringIO()):
        model = smplx.SMPLX(str(path), flat_hand_mean=True, use_pca=False)

    def call(betas, poses, transl):
        told = torch.from_numpy(poses)
        spans = {
            "global_orient": (0, 3),
            "body_pose": (3, 66),
            "jaw_pose": (66, 69),
            "leye_pose": (69, 72),
            "reye_pose": (72, 75),
            "left_hand_pose": (75, 120),
            "right_hand_pose": (120, 165),
        }
        with torch.no_grad():
            out = model(
                betas=torch.from_numpy(betas)[None].expand(len(told), -1),
                expression=torch.zeros(len(told), 10),
                transl=torch.from_numpy(transl),
                **{name: told[:, first:end] for name, (first, end) in spans.items()},
            )
        return out.vertices.numpy().astype(np.float64), out.joints.numpy().astype(np.float64)

    return call


def write_pictures(folder, names, *, width=WIDTH, height=HEIGHT):
    """A picture a name, told apart by its colour."""
    for number, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        rgb = np.full((height, width, 3), 10 * number + 40, np.uint8)
        path.write_bytes(encode_jpeg(rgb) if path.suffix == ".jpg" else cv2.imencode(".png", rgb)[1].tobytes())


def threedpw_content(clips, genders):
    """What a file of 3DPW holds of the given people."""
    count = len(clips[0].poses)
    return {
        "sequence": "downtown_walk_00",
        "betas": [one.betas for one in clips],
        "poses": [one.poses.astype(np.float64) for one in clips],
        "trans": [one.transl.astype(np.float64) for one in clips],
        "genders": list(genders),
        "jointPositions": [one.joints.reshape(count, 72) for one in clips],
        "cam_poses": clips[0].cam_from_world,
        "campose_valid": [np.ones(count, np.int64) for _ in clips],
        "cam_intrinsics": CAMERA,
        "img_frame_ids": np.arange(count) * 2,
        "poses2d": [np.full((count, 3, 18), 0.5) for _ in clips],
        "texture_maps": [],
    }


def write_3dpw(root, content, split="train"):
    """One clip in the layout of 3DPW; the owners' pickles are of Python 2."""
    path = root / "sequenceFiles" / split / f"{content['sequence']}.pkl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(content, protocol=2))
    count = len(content["cam_poses"])
    write_pictures(root / "imageFiles" / content["sequence"], [f"image_{k:05d}.jpg" for k in range(count)])
    return root


def write_emdb(root, one, *, gender="neutral", emdb1=True, good=None):
    """One clip in the layout of EMDB."""
    count, folder = len(one.poses), root / "P3" / "07_outdoor_walk"
    edges = np.concatenate([one.pixels.min(axis=1) - 3, one.pixels.max(axis=1) + 3], axis=1)
    content = {
        "gender": gender,
        "name": "P3_07_outdoor_walk",
        "emdb1": emdb1,
        "emdb2": not emdb1,
        "n_frames": count,
        "good_frames_mask": np.ones(count, np.bool_) if good is None else np.array(good),
        "camera": {"intrinsics": CAMERA, "extrinsics": one.cam_from_world, "width": WIDTH, "height": HEIGHT},
        "smpl": {
            "poses_root": one.poses[:, :3],
            "poses_body": one.poses[:, 3:],
            "trans": one.transl,
            "betas": one.betas,
        },
        "kp2d": one.pixels,
        "bboxes": {"bboxes": edges, "invalid_idxs": np.array([], np.int64)},
    }
    folder.mkdir(parents=True)
    (folder / "P3_07_outdoor_walk_data.pkl").write_bytes(pickle.dumps(content))
    write_pictures(folder / "images", [f"{k:05d}.jpg" for k in range(count)])
    return root


def bedlam_arrays(one, *, agora=False):
    """What a file of BEDLAM, or of AGORA in its form, holds of one person."""
    count = len(one.poses)
    shift = one.cam_from_world[:, :3, 3]
    trans_cam = np.zeros_like(shift) if agora else np.full_like(shift, 0.25)
    cam_ext = np.repeat(np.eye(4)[None], count, axis=0)
    cam_ext[:, :3, 3] = shift - trans_cam
    corner, far = one.pixels.min(axis=1), one.pixels.max(axis=1)
    arrays = {
        "imgname": [f"seq_000000/seq_000000_{5 * k:04d}.png" for k in range(count)],
        "center": (corner + far) / 2,
        "scale": (far - corner).max(axis=1) / 200 * 1.2,
        "pose_cam": one.poses.astype(np.float64),
        "pose_world": one.poses.astype(np.float64),
        "shape": np.repeat(one.betas[None].astype(np.float64), count, axis=0),
        "gtkps": np.concatenate([one.pixels, np.ones((*one.pixels.shape[:2], 1))], axis=2),
        "cam_int": np.repeat(CAMERA[None], count, axis=0),
        "cam_ext": cam_ext,
        "gender": ["female"] * count,
    }
    return arrays if agora else arrays | {"trans_cam": trans_cam, "motion_info": np.array([{"a": 1}] * count)}


def write_bedlam(root, arrays, scene="20221010_3_1000_batch01hand_6fps"):
    """One file in the layout of BEDLAM."""
    path = root / "training_labels" / "all_npz_12_training" / f"{scene}.npz"
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **arrays)
    write_pictures(root / "training_images" / scene / "png", arrays["imgname"])
    return path
