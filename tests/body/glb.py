"""A plain reader of .glb files: their JSON, their arrays, and the mesh they show at a key, by the rules of glTF."""

from __future__ import annotations

import json
import struct

import numpy as np

DTYPES = {5121: "<u1", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
WIDTHS = {"SCALAR": (), "VEC3": (3,), "VEC4": (4,), "MAT4": (4, 4)}


class Glb:
    def __init__(self, path):
        data = path.read_bytes()
        magic, version, length = struct.unpack_from("<4sII", data)
        assert (magic, version, length) == (b"glTF", 2, len(data))
        size, kind = struct.unpack_from("<I4s", data, 12)
        assert kind == b"JSON"
        self.json = json.loads(data[20 : 20 + size])
        binary, kind = struct.unpack_from("<I4s", data, 20 + size)
        assert kind == b"BIN\0"
        self.numbers = data[28 + size :]
        assert len(self.numbers) == binary == self.json["buffers"][0]["byteLength"]

    def array(self, index):
        accessor = self.json["accessors"][index]
        view = self.json["bufferViews"][accessor["bufferView"]]
        tail = WIDTHS[accessor["type"]]
        found = np.frombuffer(
            self.numbers, DTYPES[accessor["componentType"]], accessor["count"] * int(np.prod(tail)), view["byteOffset"]
        ).reshape(-1, *tail)
        return found.mT if accessor["type"] == "MAT4" else found  # matrices lie column by column

    def node(self, name, kind="mesh"):
        return next(node for node in self.json["nodes"] if node["name"] == name and kind in node)

    def animation(self, name):
        """The part of the one animation that moves somebody: channels, and the sampler of each in the same order."""
        (everybody,) = self.json["animations"]
        skin = self.json["skins"][self.node(name)["skin"]]
        nodes = {*skin["joints"], skin["skeleton"]}
        channels = [channel for channel in everybody["channels"] if channel["target"]["node"] in nodes]
        return {
            "channels": channels,
            "samplers": [everybody["samplers"][channel["sampler"]] for channel in channels],
        }

    def shares(self, name):
        """(V, J) how much of each joint of the skin is in each vertex."""
        attributes = self.attributes(name)
        skin = self.json["skins"][self.node(name)["skin"]]
        result = np.zeros((len(self.array(attributes["POSITION"])), len(skin["joints"])))
        for number in range(sum(key.startswith("JOINTS_") for key in attributes)):
            joints, weights = (self.array(attributes[f"{kind}_{number}"]) for kind in ("JOINTS", "WEIGHTS"))
            np.add.at(result, (np.arange(len(result))[:, None], joints), weights)
        return result

    def attributes(self, name):
        return self.json["meshes"][self.node(name)["mesh"]]["primitives"][0]["attributes"]

    def faces(self, name):
        return self.array(self.json["meshes"][self.node(name)["mesh"]]["primitives"][0]["indices"]).reshape(-1, 3)

    def posed(self, name, key):
        """(V, 3) the vertices at a key of the animation, every joint's matrix times its inverse binding."""
        still = {"translation": (0, 0, 0), "rotation": (0, 0, 0, 1), "scale": (1, 1, 1)}
        local = [[node.get(part, unset) for part, unset in still.items()] for node in self.json["nodes"]]
        animation = self.animation(name)
        now = None
        for channel, sampler in zip(animation["channels"], animation["samplers"], strict=True):
            times, values = self.array(sampler["input"]), self.array(sampler["output"])
            path = channel["target"]["path"]
            if path == "scale":
                assert sampler["interpolation"] == "STEP"
                value = values[np.searchsorted(times, now, side="right") - 1]
            else:
                now, value = times[key], values[key]
            local[channel["target"]["node"]][list(still).index(path)] = value
        parents = {child: index for index, node in enumerate(self.json["nodes"]) for child in node.get("children", ())}

        def placed(index):
            own = matrix(*local[index])
            return placed(parents[index]) @ own if index in parents else own

        skin = self.json["skins"][self.node(name)["skin"]]
        joints = np.stack([placed(index) for index in skin["joints"]]) @ self.array(skin["inverseBindMatrices"])
        points = self.array(self.attributes(name)["POSITION"]).astype(float)
        blended = np.tensordot(self.shares(name), joints, axes=1)
        return (blended[:, :3, :3] @ points[:, :, None])[..., 0] + blended[:, :3, 3]


def matrix(translation, quat, scale):
    x, y, z, w = np.asarray(quat, float)
    result = np.eye(4)
    result[:3, :3] = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    result[:3, :3] *= np.asarray(scale, float)
    result[:3, 3] = translation
    return result
