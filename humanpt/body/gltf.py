"""Moving people as a .glb file (glTF 2.0 in one piece): meshes, bones, one animation of all, and the camera.

glTF has y up and z towards the viewer: points are OpenCV's times diag(1, -1, -1), and the camera, at the origin, looks
along -z as its cameras do. Units are metres and seconds. Bones stand as in the first key; their frames are the identity
in the model's reference pose, so a bone's rotation is the pose's, with its y and z turned over. Whoever is away for a
while is shrunk to nothing, which glTF has viewers skip. All move in one animation, each at times of their own: of
several, Blender would play one alone. Every share of a bone in a point is kept, in as many sets of four as it takes,
the largest first: readers that know only the first set lose the smallest.

Letters: T keys, V vertices, F triangles, J joints, S sets of four shares.

Source: Khronos Group, glTF 2.0 Specification, 2021.
"""

from __future__ import annotations

import json
import shutil
import struct
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from numpy.typing import NDArray

import humanpt
from humanpt.body.obj import Y_UP
from humanpt.body.rigged import RiggedMesh
from humanpt.files import whole_file
from humanpt.geometry.rotations import rotmat_to_unitquat

PIECE = 500
"""Keys that are turned at once, so that long movements do not fill the memory."""
COMPONENTS = {"u1": 5121, "u2": 5123, "u4": 5125, "f4": 5126}
SHAPES = {(): "SCALAR", (3,): "VEC3", (4,): "VEC4", (4, 4): "MAT4"}
VERTICES, INDICES = 34962, 34963
SKIN = {"baseColorFactor": [0.78, 0.58, 0.48, 1.0], "metallicFactor": 0.0, "roughnessFactor": 0.8}
ANIMATION = "recording"
NEAR = 0.01
"""Metres from the camera at which it begins to see."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Mover:
    """One person or hand that moves; metres, OpenCV's axes."""

    name: str
    """What it is called in the file."""
    mesh: RiggedMesh
    """Mesh and bones."""
    mesh_key: str
    """Movers with the same key share triangles and shares of bones."""
    times: NDArray[np.float64]
    """(T,) rising seconds."""
    pose: NDArray[np.floating]
    """(T, J, 3, 3) rotations of joints relative to their parents."""
    transl: NDArray[np.floating]
    """(T, 3) the root joint."""
    shown: NDArray[np.float64]
    """(n,) rising seconds at which it appears or goes, beginning with an appearance."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Eye:
    """The camera that took the pictures."""

    intrinsics: NDArray[np.floating]
    """(3, 3) pixels."""
    width: int
    height: int


class _Scene:
    """The JSON of a file while it grows, and its numbers, which go to a stream at once."""

    def __init__(self, stream: IO[bytes]) -> None:
        self.stream = stream
        self.parts: dict[str, list[dict[str, Any]]] = {}
        self.roots: list[int] = []
        self.shared: dict[str, tuple[int, dict[str, int]]] = {}

    def put(self, kind: str, item: dict[str, Any]) -> int:
        """Append to a list of the JSON; its place."""
        items = self.parts.setdefault(kind, [])
        items.append(item)
        return len(items) - 1

    def array(self, values: NDArray[Any], dtype: str, *, target: int | None = None, bounds: bool = False) -> int:
        """Append numbers (n, ...); the place of their accessor."""
        stored = np.ascontiguousarray(values, dtype=f"<{dtype}")
        self.stream.write(bytes(-self.stream.tell() % 4))
        view = {"buffer": 0, "byteOffset": self.stream.tell(), "byteLength": stored.nbytes}
        self.stream.write(stored.tobytes())
        accessor: dict[str, Any] = {
            "bufferView": self.put("bufferViews", view | ({"target": target} if target else {})),
            "componentType": COMPONENTS[dtype],
            "count": len(stored),
            "type": SHAPES[stored.shape[1:]],
        }
        if bounds:
            low, high = (np.atleast_1d(end(stored, axis=0)).tolist() for end in (np.min, np.max))
            accessor |= {"min": low, "max": high}
        return self.put("accessors", accessor)


def write_glb(
    path: Path, movers: Iterable[Mover], *, eye: Eye | None = None, copyright: str, extras: Mapping[str, Any]
) -> None:
    """Write a file, whole or not at all; movers are asked for one after the other.

    Args:
        path: of the file.
        movers: who is in it.
        eye: the camera, drawn as it was; off-centre principal points have no place in the format.
        copyright: terms and authors of the meshes.
        extras: what else the file should say, as JSON has it.

    Raises:
        OutputError: if it cannot be written.
    """
    with whole_file(path) as temporary, tempfile.TemporaryFile(dir=temporary.parent) as numbers:
        scene = _Scene(numbers)
        scene.put("materials", {"name": "skin", "pbrMetallicRoughness": SKIN})
        for mover in movers:
            _add(scene, mover)
        if eye is not None:
            lens = {
                "yfov": 2 * float(np.arctan(eye.height / 2 / eye.intrinsics[1, 1])),
                "aspectRatio": eye.width / eye.height * float(eye.intrinsics[1, 1] / eye.intrinsics[0, 0]),
                "znear": NEAR,
            }
            camera = scene.put("cameras", {"type": "perspective", "perspective": lens})
            scene.roots.append(scene.put("nodes", {"name": "camera", "camera": camera}))
        numbers.write(bytes(-numbers.tell() % 4))
        document = {
            "asset": {"version": "2.0", "generator": f"humanpt {humanpt.__version__}", "copyright": copyright},
            "extras": dict(extras),
            "scene": 0,
            "scenes": [{"nodes": scene.roots}],
            "buffers": [{"byteLength": numbers.tell()}],
            **scene.parts,
        }
        _assemble(temporary, document, numbers)


def _assemble(path: Path, document: Mapping[str, Any], numbers: IO[bytes]) -> None:
    """Write head, JSON and numbers."""
    text = json.dumps(document, separators=(",", ":"), allow_nan=False).encode()
    text += b" " * (-len(text) % 4)
    size = numbers.tell()
    numbers.seek(0)
    with path.open("wb") as stream:
        stream.write(struct.pack("<4sII", b"glTF", 2, 12 + 8 + len(text) + 8 + size))
        stream.write(struct.pack("<I4s", len(text), b"JSON") + text)
        stream.write(struct.pack("<I4s", size, b"BIN\0"))
        shutil.copyfileobj(numbers, stream)


def _add(scene: _Scene, mover: Mover) -> None:
    """Put one mover's mesh, bones and animation into the scene."""
    mesh = mover.mesh
    quats = quaternions(mover.pose)  # (T, J, 4)
    places = np.asarray(mover.transl) * Y_UP
    offsets = mesh.offsets * Y_UP
    bones = [
        scene.put(
            "nodes",
            {
                "name": name,
                "translation": (places[0] if parent < 0 else offsets[joint]).astype(np.float32).tolist(),
                "rotation": quats[0, joint].tolist(),
            },
        )
        for joint, (name, parent) in enumerate(zip(mesh.joint_names, mesh.parents, strict=True))
    ]
    for joint, parent in enumerate(mesh.parents):
        if parent >= 0:
            scene.parts["nodes"][bones[parent]].setdefault("children", []).append(bones[joint])
    armature = scene.put("nodes", {"name": f"{mover.name} bones", "children": [bones[0]]})
    binding = np.einsum("i,jik,k->jik", np.append(Y_UP, 1), mesh.at_rest, np.append(Y_UP, 1))
    skin = scene.put(
        "skins",
        {
            "name": mover.name,
            "skeleton": armature,
            "joints": bones,
            "inverseBindMatrices": scene.array(binding.transpose(0, 2, 1), "f4"),  # column by column
        },
    )
    surface = scene.put("meshes", {"name": mover.name, "primitives": [_primitive(scene, mover)]})
    scene.roots += [scene.put("nodes", {"name": mover.name, "mesh": surface, "skin": skin}), armature]
    _animate(scene, mover, bones, armature, quats, places)


def _primitive(scene: _Scene, mover: Mover) -> dict[str, Any]:
    """The mesh at rest with its shares of bones."""
    mesh = mover.mesh
    if mover.mesh_key not in scene.shared:
        joints, shares = ordered_shares(mesh.weights)
        sets = {}
        for number in range(shares.shape[1]):
            sets[f"JOINTS_{number}"] = scene.array(
                joints[:, number], "u1" if len(mesh.parents) < 256 else "u2", target=VERTICES
            )
            sets[f"WEIGHTS_{number}"] = scene.array(shares[:, number], "f4", target=VERTICES)
        indices = mesh.faces.reshape(-1)
        wide = "u2" if len(mesh.rest) < 1 << 16 else "u4"
        scene.shared[mover.mesh_key] = scene.array(indices, wide, target=INDICES), sets
    triangles, sets = scene.shared[mover.mesh_key]
    points = mesh.rest * Y_UP
    attributes = {
        "POSITION": scene.array(points, "f4", target=VERTICES, bounds=True),
        "NORMAL": scene.array(normals(points, mesh.faces), "f4", target=VERTICES),
        **sets,
    }
    return {"attributes": attributes, "indices": triangles, "material": 0}


def _animate(
    scene: _Scene,
    mover: Mover,
    bones: list[int],
    armature: int,
    quats: NDArray[np.float32],
    places: NDArray[np.floating],
) -> None:
    """Add to the one animation: the root's place, every bone that turns, and when the whole is to be seen."""
    (animation,) = scene.parts.setdefault("animations", [{"name": ANIMATION, "samplers": [], "channels": []}])
    samplers, channels = animation["samplers"], animation["channels"]

    def drive(node: int, what: str, times: int, values: NDArray[Any], how: str = "LINEAR") -> None:
        samplers.append({"input": times, "output": scene.array(values, "f4"), "interpolation": how})
        channels.append({"sampler": len(samplers) - 1, "target": {"node": node, "path": what}})

    times = scene.array(mover.times, "f4", bounds=True)
    drive(bones[0], "translation", times, places)
    for joint, bone in enumerate(bones):
        if (quats[:, joint] != quats[0, joint]).any():
            drive(bone, "rotation", times, quats[:, joint])
    if len(mover.shown) > 1 or mover.shown[0] > 0:
        moments, sizes = mover.shown, (np.arange(len(mover.shown)) + 1) % 2
        if moments[0] > 0:
            moments, sizes = np.append(0, moments), np.append(0, sizes)
        when = scene.array(moments, "f4", bounds=True)
        drive(armature, "scale", when, np.repeat(sizes[:, None], 3, axis=1), "STEP")


def quaternions(pose: NDArray[np.floating]) -> NDArray[np.float32]:
    """Rotations (T, J, 3, 3) in OpenCV's axes as glTF's quaternions (T, J, 4), xyzw, that change sign nowhere."""
    result = np.empty((*pose.shape[:2], 4), np.float32)
    for start in range(0, len(pose), PIECE):
        some = np.asarray(pose[start : start + PIECE], np.float64)
        quats = rotmat_to_unitquat(torch.from_numpy(some)).numpy() * np.append(Y_UP, 1)
        before = np.concatenate((result[start - 1 : start] if start else quats[:1], quats[:-1]))
        turned = np.where((quats * before).sum(-1, keepdims=True) < 0, -1.0, 1.0)  # as against the key before
        result[start : start + PIECE] = quats * np.cumprod(turned, axis=0)
    return result


def ordered_shares(weights: NDArray[np.floating]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Shares of bones (V, J) as sets of four, the largest first: joints and shares, both (V, S, 4)."""
    most = int((weights > 0).sum(1).max())
    kept = 4 * -(-most // 4)
    joints = np.argsort(-weights, axis=1, kind="stable")[:, :kept]
    shares = np.take_along_axis(weights, joints, axis=1)
    joints = np.where(shares > 0, joints, 0)  # as the format wants it
    if joints.shape[1] < kept:  # fewer bones than places
        joints, shares = (np.pad(array, ((0, 0), (0, kept - array.shape[1]))) for array in (joints, shares))
    return joints.reshape(len(weights), -1, 4), shares.reshape(len(weights), -1, 4).astype(np.float32)


def normals(points: NDArray[np.floating], faces: NDArray[np.integer]) -> NDArray[np.float64]:
    """Unit normals (V, 3) of a mesh, the mean over the triangles (F, 3) around each point by their areas."""
    corners = points[faces]  # (F, 3, 3)
    areas = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    summed = np.zeros(points.shape)
    for corner in range(3):
        np.add.at(summed, faces[:, corner], areas)
    lengths = np.linalg.norm(summed, axis=1, keepdims=True)
    return np.where(lengths > 0, summed / np.where(lengths > 0, lengths, 1), [0.0, 1.0, 0.0])
