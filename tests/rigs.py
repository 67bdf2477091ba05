"""Cameras that are known exactly, and calibrations of them written in the layouts that people have."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np

from humanpt.data.sources.camera import CameraModel

EXAMPLES = Path(__file__).parents[1] / "examples" / "clips"
SIZE = (320, 240)  # width and height in pixels
LENS = (-0.12, 0.05, 0.001, -0.002, 0.01)


def look_at(eye, target=(0.0, 0.0, 0.0)):
    """(4, 4) pose of an upright camera in a world whose y points down."""
    eye, target = np.asarray(eye, float), np.asarray(target, float)
    forward = (target - eye) / np.linalg.norm(target - eye)
    right = np.cross((0.0, 1.0, 0.0), forward)
    right /= np.linalg.norm(right)
    matrix = np.eye(4)
    matrix[:3, :3] = [right, np.cross(forward, right), forward]
    matrix[:3, 3] = -matrix[:3, :3] @ eye
    return matrix


def camera(name, degrees, *, distance=4.0, height=-1.2, lens=(), focal=300.0, size=SIZE):
    """A camera on a circle around the origin, looking at it."""
    angle = np.radians(degrees)
    eye = (distance * np.sin(angle), height, -distance * np.cos(angle))
    matrix = [[focal, 0, size[0] / 2 - 3], [0, focal * 1.01, size[1] / 2 + 2], [0, 0, 1]]
    return CameraModel(
        name=name,
        intrinsics=np.array(matrix, np.float64),
        distortion=np.array(lens, np.float64),
        cam_from_world=look_at(eye),
        size=size,
    )


def rig(degrees=(0, 40, 100), lens=LENS, **options):
    """Cameras cam01, cam02, ... around the origin."""
    return [camera(f"cam{i + 1:02d}", angle, lens=lens, **options) for i, angle in enumerate(degrees)]


def turn(camera):
    """The rotation vector of a camera."""
    return cv2.Rodrigues(camera.cam_from_world[:3, :3])[0].ravel()


def write_qualisys(folder, cameras):
    """Millimetres, 1/64 pixels, y up."""
    flip = np.diag([1.0, -1.0, -1.0])
    entries = []
    for c in cameras:
        r = flip @ c.cam_from_world[:3, :3]
        cells = " ".join(f'r{i + 1}{j + 1}="{float(r[i, j])!r}"' for i in range(3) for j in range(3))
        x, y, z = (float(value) for value in c.centre * 1000)
        k, d = c.intrinsics * 64, c.distortion
        w, h = c.size
        entries.append(
            f'<camera active="1" serial="{c.name}"><fov_video left="0" top="0" right="{w - 1}" bottom="{h - 1}"/>'
            f'<transform {cells} x="{x!r}" y="{y!r}" z="{z!r}"/>'
            f'<intrinsic focalLengthU="{k[0, 0]}" focalLengthV="{k[1, 1]}" centerPointU="{k[0, 2]}" '
            f'centerPointV="{k[1, 2]}" skew="0" radialDistortion1="{d[0]}" radialDistortion2="{d[1]}" '
            f'radialDistortion3="{d[4]}" tangentalDistortion1="{d[2]}" tangentalDistortion2="{d[3]}"/></camera>'
        )
    path = folder / "Calib.qca.txt"
    path.write_text(f"<?xml version='1.0'?><calibration><cameras>{''.join(entries)}</cameras></calibration>")
    return path


def write_pose2sim(folder, cameras):
    """A table per camera, rotation vectors, metres."""
    text = ""
    for c in cameras:
        text += (
            f'[{c.name}]\nname = "{c.name}"\nsize = {[float(v) for v in c.size]}\nmatrix = {c.intrinsics.tolist()}\n'
        )
        text += f"distortions = {c.distortion.tolist()}\nrotation = {turn(c).tolist()}\n"
        text += f"translation = {c.cam_from_world[:3, 3].tolist()}\nfisheye = false\n\n"
    path = folder / "Calib_scene.toml"
    path.write_text(text + "[metadata]\nadjusted = false\nerror = 0.0\n")
    return path


def write_caliscope(folder, cameras):
    """`[cameras.N]`, rotation matrices, metres, and a camera that was never placed."""
    text = "[cameras.9]\ncam_id = 9\nignore = true\nsize = [640, 480]\n\n"
    for c in cameras:
        number = int(c.name.removeprefix("cam"))
        text += f"[cameras.{number}]\ncam_id = {number}\nrotation_count = 0\nignore = false\nsize = {list(c.size)}\n"
        text += f"matrix = {c.intrinsics.tolist()}\ndistortions = {c.distortion.tolist()}\n"
        text += f"translation = {c.cam_from_world[:3, 3].tolist()}\nrotation = {c.cam_from_world[:3, :3].tolist()}\n\n"
    path = folder / "camera_array.toml"
    path.write_text(text)
    return path


def write_colmap(folder, cameras):
    """Two text files, quaternions wxyz, the first pixel's centre at one half."""
    lenses, images = ["# Camera list"], ["# Image list"]
    for i, c in enumerate(cameras, start=1):
        k, d = c.intrinsics, c.distortion
        numbers = [k[0, 0], k[1, 1], k[0, 2] + 0.5, k[1, 2] + 0.5, d[0], d[1], d[2], d[3], d[4], 0, 0, 0]
        lenses.append(f"{i} FULL_OPENCV {c.size[0]} {c.size[1]} " + " ".join(repr(float(n)) for n in numbers))
        axis = turn(c)
        angle = np.linalg.norm(axis)
        quaternion = [np.cos(angle / 2), *(np.sin(angle / 2) * axis / angle)]
        place = " ".join(repr(float(n)) for n in [*quaternion, *c.cam_from_world[:3, 3]])
        images += [f"{i} {place} {i} {c.name}.jpg", "1.5 2.5 -1"]
    (folder / "cameras.txt").write_text("\n".join(lenses) + "\n")
    (folder / "images.txt").write_text("\n".join(images) + "\n")
    return folder


def write_panoptic(folder, cameras):
    """CMU Panoptic: centimetres."""
    entries = [
        {
            "name": c.name,
            "type": "hd",
            "resolution": list(c.size),
            "panel": 0,
            "node": 1,
            "K": c.intrinsics.tolist(),
            "distCoef": c.distortion.tolist(),
            "R": c.cam_from_world[:3, :3].tolist(),
            "t": (c.cam_from_world[:3, 3:] * 100).tolist(),
        }
        for c in cameras
    ]
    path = folder / "calibration_scene.json"
    path.write_text(json.dumps({"calibDataSource": "scene", "cameras": entries}))
    return path


def write_aist(folder, cameras, name="setting1"):
    """AIST++: rotation vectors, centimetres."""
    entries = [
        {
            "name": c.name,
            "size": list(c.size),
            "matrix": c.intrinsics.tolist(),
            "rotation": turn(c).tolist(),
            "translation": (c.cam_from_world[:3, 3] * 100).tolist(),
            "distortions": c.distortion.tolist(),
        }
        for c in cameras
    ]
    path = folder / f"{name}.json"
    path.write_text(json.dumps(entries))
    return path


def write_interhand(folder, cameras, capture="0"):
    """InterHand2.6M: camera centres in millimetres, no lens."""
    entry = {
        "campos": {c.name: (c.centre * 1000).tolist() for c in cameras},
        "camrot": {c.name: c.cam_from_world[:3, :3].tolist() for c in cameras},
        "focal": {c.name: c.intrinsics[[0, 1], [0, 1]].tolist() for c in cameras},
        "princpt": {c.name: c.intrinsics[:2, 2].tolist() for c in cameras},
    }
    path = folder / "InterHand2.6M_train_camera.json"
    path.write_text(json.dumps({capture: entry}))
    return path


def write_shelf(folder, cameras):
    """Shelf and Campus: camera centres in millimetres under the name of T."""
    document = {
        c.name: {
            "k": [[c.distortion[0]], [c.distortion[1]], [c.distortion[4]]],
            "p": [[c.distortion[2]], [c.distortion[3]]],
            "R": c.cam_from_world[:3, :3].tolist(),
            "T": (c.centre[:, None] * 1000).tolist(),
            "fx": c.intrinsics[0, 0],
            "fy": c.intrinsics[1, 1],
            "cx": c.intrinsics[0, 2],
            "cy": c.intrinsics[1, 2],
        }
        for c in cameras
    }
    path = folder / "calibration_shelf.json"
    path.write_text(json.dumps(document))
    return path


def write_opencv(folder, cameras, ending="yml"):
    """A file per camera with the names of OpenCV's calibration sample."""
    for c in cameras:
        storage = cv2.FileStorage(str(folder / f"{c.name}.{ending}"), cv2.FILE_STORAGE_WRITE)
        storage.write("image_width", c.size[0])
        storage.write("image_height", c.size[1])
        storage.write("camera_matrix", c.intrinsics)
        storage.write("distortion_coefficients", c.distortion[:, None])
        storage.write("R", c.cam_from_world[:3, :3])
        storage.write("T", c.cam_from_world[:3, 3:])
        storage.release()
    return folder


def write_opencv_json(folder, cameras):
    """One JSON file with a map per camera, plain lists, 3 x 4 poses."""
    document = {
        c.name: {
            "K": c.intrinsics.tolist(),
            "dist": c.distortion.tolist(),
            "cam_from_world": c.cam_from_world[:3].tolist(),
            "size": list(c.size),
        }
        for c in cameras
    }
    path = folder / "cameras.json"
    path.write_text(json.dumps(document))
    return path


def write_easymocap(folder, cameras):
    """intri.yml and extri.yml."""
    intri = cv2.FileStorage(str(folder / "intri.yml"), cv2.FILE_STORAGE_WRITE)
    extri = cv2.FileStorage(str(folder / "extri.yml"), cv2.FILE_STORAGE_WRITE)
    for storage in (intri, extri):
        storage.startWriteStruct("names", cv2.FileNode_SEQ)
        for c in cameras:
            storage.write("", c.name)
        storage.endWriteStruct()
    for c in cameras:
        intri.write(f"K_{c.name}", c.intrinsics)
        intri.write(f"dist_{c.name}", c.distortion[None])
        extri.write(f"R_{c.name}", turn(c)[:, None])
        extri.write(f"Rot_{c.name}", c.cam_from_world[:3, :3])
        extri.write(f"T_{c.name}", c.cam_from_world[:3, 3:])
    intri.release()
    extri.release()
    return folder


WRITERS = {
    "Qualisys": write_qualisys,
    "Pose2Sim": write_pose2sim,
    "caliscope": write_caliscope,
    "COLMAP": write_colmap,
    "CMU Panoptic": write_panoptic,
    "AIST++": write_aist,
    "InterHand2.6M": write_interhand,
    "Shelf or Campus": write_shelf,
    "OpenCV YAML": write_opencv,
    "OpenCV XML": lambda folder, cameras: write_opencv(folder, cameras, "xml"),
    "OpenCV storage JSON": lambda folder, cameras: write_opencv(folder, cameras, "json"),
    "OpenCV plain JSON": write_opencv_json,
    "EasyMocap": write_easymocap,
}
