"""Warp's part of render_speed.py: one ray a pixel against a bounding volume hierarchy.

    python render_peer_warp.py SCENES.npz

For each line on stdin it renders all pictures once and answers with a line of JSON.
"""

import json
import sys
import time

import numpy as np
import warp as wp

wp.config.log_level = wp.LOG_ERROR


@wp.kernel
def cast(
    mesh: wp.uint64,
    fx: float,
    fy: float,
    cx: float,
    cy: float,
    width: int,
    face: wp.array(dtype=wp.int32),
    bary: wp.array(dtype=wp.vec2),
    depth: wp.array(dtype=wp.float32),
):
    """Find the nearest face of one pixel."""
    pixel = wp.tid()
    x = (float(pixel % width) - cx) / fx
    y = (float(pixel // width) - cy) / fy
    ray = wp.vec3(x, y, 1.0)
    length = wp.length(ray)
    hit = wp.mesh_query_ray(mesh, wp.vec3(0.0, 0.0, 0.0), ray / length, 1.0e6)
    if hit.result:
        face[pixel] = hit.face
        bary[pixel] = wp.vec2(hit.u, hit.v)
        depth[pixel] = hit.t / length
    else:
        face[pixel] = -1
        depth[pixel] = 0.0


def main():
    data = np.load(sys.argv[1])
    height, width = (int(n) for n in data["size"])
    vertices = data["vertices"]
    fx, fy, cx, cy = (float(n) for n in data["intrinsics"][0][[0, 1, 0, 1], [0, 1, 2, 2]])
    with wp.ScopedDevice("cpu"):
        indices = wp.array(data["faces"].astype(np.int32).ravel(), dtype=wp.int32)
        outputs = [wp.zeros(height * width, dtype=kind) for kind in (wp.int32, wp.vec2, wp.float32)]

        def render(i):
            mesh = wp.Mesh(points=wp.array(vertices[i], dtype=wp.vec3), indices=indices)
            wp.launch(cast, dim=height * width, inputs=[mesh.id, fx, fy, cx, cy, width], outputs=outputs)
            return mesh, [o.numpy().copy() for o in outputs]

        def again(mesh):
            wp.launch(cast, dim=height * width, inputs=[mesh.id, fx, fy, cx, cy, width], outputs=outputs)
            return [o.numpy().copy() for o in outputs]

        mesh, _ = render(0)
        print(json.dumps({"ready": f"Warp {wp.__version__}"}), flush=True)
        for _ in sys.stdin:
            found = []
            start = time.process_time()
            for i in range(len(vertices)):
                mesh, seen = render(i)
                found.append(seen)
            middle = time.process_time()
            for _ in range(len(vertices)):
                again(mesh)
            end = time.process_time()
            shape = (len(vertices), height, width)
            np.save(sys.argv[1] + ".depth.npy", np.stack([f[2] for f in found]).reshape(shape))
            np.save(sys.argv[1] + ".face.npy", np.stack([f[0] for f in found]).reshape(shape))
            print(json.dumps({"each": middle - start, "again": end - middle}), flush=True)


if __name__ == "__main__":
    main()
