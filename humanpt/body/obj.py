"""Wavefront .obj files of a mesh.

Letters: V vertices, F triangles.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Y_UP = np.array([1.0, -1.0, -1.0], np.float32)
"""Times points in OpenCV's axes: y up and z towards the viewer, as glTF has it and other software takes .obj files."""


def face_lines(faces: NDArray[np.integer]) -> str:
    """The triangles (F, 3) of a mesh as an .obj file has them, counted from one."""
    return ("f %d %d %d\n" * len(faces)) % tuple((faces + 1).ravel().tolist())


def obj_text(vertices: NDArray[np.floating], faces: str, *, comment: str) -> str:
    """A mesh as an .obj file: metres, y up, z towards the viewer.

    Args:
        vertices: (V, 3) metres in OpenCV's axes.
        faces: of `face_lines`, which serve many files.
        comment: a line at the top.
    """
    points = ("v %.6f %.6f %.6f\n" * len(vertices)) % tuple((vertices * Y_UP).ravel().tolist())
    return f"# {comment}\n# metres, x right, y up, z towards the viewer\n{points}{faces}"
