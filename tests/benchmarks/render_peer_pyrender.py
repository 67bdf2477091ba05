"""pyrender's part of render_speed.py, run by a Python that has it; knows nothing of humanpt.

    python render_peer_pyrender.py SCENES.npz egl|osmesa

For each line on stdin it renders all pictures once and answers with a line of JSON.
"""

import json
import os
import sys
import time


def main():
    folder, platform = sys.argv[1:]
    os.environ["PYOPENGL_PLATFORM"] = platform
    os.environ["LP_NUM_THREADS"] = "1"  # of Mesa's software renderer
    import numpy as np
    import pyrender
    from OpenGL.GL import GL_RENDERER, glGetString

    data = np.load(folder)
    height, width = (int(n) for n in data["size"])
    material = pyrender.MetallicRoughnessMaterial(baseColorFactor=(0.8, 0.6, 0.5, 1.0), metallicFactor=0.0)

    vertices, normals, faces = data["vertices"], data["normals"], data["faces"]

    def mesh(i):
        """The mesh as camera i sees it, with its normals, so that nothing but the upload is left to do."""
        return pyrender.Mesh([pyrender.Primitive(vertices[i], normals[i], indices=faces, material=material)])

    flip = np.diag([1.0, -1.0, -1.0, 1.0])  # OpenGL's camera looks along -z with y up
    scene = pyrender.Scene(ambient_light=(0.3, 0.3, 0.3))
    fx, fy, cx, cy = data["intrinsics"][0][[0, 1, 0, 1], [0, 1, 2, 2]]
    scene.add(pyrender.IntrinsicsCamera(fx, fy, cx + 0.5, cy + 0.5, znear=0.05), pose=flip)
    scene.add(pyrender.DirectionalLight(intensity=3.0), pose=flip)
    renderer = pyrender.OffscreenRenderer(width, height)
    node = scene.add(mesh(0))
    renderer.render(scene)
    print(json.dumps({"ready": glGetString(GL_RENDERER).decode()}), flush=True)
    for _ in sys.stdin:
        depths = []
        start = time.process_time()
        for i in range(len(vertices)):
            scene.remove_node(node)
            node = scene.add(mesh(i))
            depths.append(renderer.render(scene)[1])
        middle = time.process_time()
        for _ in range(len(vertices)):
            renderer.render(scene)
        end = time.process_time()
        np.save(folder + ".depth.npy", np.stack(depths))
        print(json.dumps({"each": middle - start, "again": end - middle}), flush=True)


if __name__ == "__main__":
    main()
