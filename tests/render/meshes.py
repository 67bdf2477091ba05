"""Small meshes whose pictures are known in closed form; faces run counter-clockwise seen from outside."""

import math

import torch

from humanpt.geometry.cameras import intrinsics_from_fov, look_at, transform


def plane(size: float = 1.0, cells: int = 1):
    """A square of the plane z = 0 about the origin that shows its outside towards -z: vertices (V, 3), faces (F, 3)."""
    steps = torch.linspace(-size / 2, size / 2, cells + 1)
    y, x = torch.meshgrid(steps, steps, indexing="ij")
    vertices = torch.stack([x, y, torch.zeros_like(x)], dim=-1).view(-1, 3)
    a = torch.arange((cells + 1) ** 2).view(cells + 1, cells + 1)[:-1, :-1].reshape(-1)
    b, c, d = a + 1, a + cells + 2, a + cells + 1
    return vertices, torch.stack([torch.stack([a, d, c], dim=-1), torch.stack([a, c, b], dim=-1)], dim=1).view(-1, 3)


def sphere(rings: int = 24, radius: float = 0.5):
    """A sphere about the origin, its poles at -y and +y: vertices (V, 3), faces (F, 3)."""
    around = 2 * rings
    polar = torch.linspace(0, math.pi, rings + 1)[1:-1]
    azimuth = torch.arange(around) * (2 * math.pi / around)
    ring = torch.stack([azimuth.cos(), torch.zeros(around), azimuth.sin()], dim=-1) * polar.sin()[:, None, None]
    ring[..., 1] = -polar.cos()[:, None]
    vertices = torch.cat([ring.view(-1, 3), torch.tensor([[0.0, -1.0, 0.0], [0.0, 1.0, 0.0]])]) * radius
    index = torch.arange((rings - 1) * around).view(rings - 1, around)
    nexts = index.roll(-1, dims=1)
    a, b, c, d = index[:-1], nexts[:-1], nexts[1:], index[1:]
    top, bottom = torch.full((around,), len(vertices) - 2), torch.full((around,), len(vertices) - 1)
    faces = [
        torch.stack([top, index[0], nexts[0]], dim=-1),
        torch.stack([a, c, b], dim=-1).view(-1, 3),
        torch.stack([a, d, c], dim=-1).view(-1, 3),
        torch.stack([bottom, nexts[-1], index[-1]], dim=-1),
    ]
    return vertices, torch.cat(faces)


def cube(side: float = 1.0):
    """A cube about the origin; faces 2 i and 2 i + 1 are its side i of -x, +x, -y, +y, -z, +z."""
    corners = torch.tensor([[x, y, z] for x in (-1.0, 1.0) for y in (-1.0, 1.0) for z in (-1.0, 1.0)]) * side / 2
    quads = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    return corners, torch.tensor([half for a, b, c, d in quads for half in ((a, b, c), (a, c, d))])


def views(vertices, eyes, size: int = 64, fov: float = 0.6):
    """The vertices (V, 3) as cameras at `eyes` (B, 3) see them, (B, V, 3), and the cameras' intrinsics (B, 3, 3)."""
    eyes = torch.as_tensor(eyes, dtype=torch.float32)
    return transform(look_at(eyes, torch.zeros(3)), vertices), intrinsics_from_fov(fov, size).expand(len(eyes), 3, 3)


def pixel_grid(size: int):
    """The centres of all pixels, (size, size, 2)."""
    x, y = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="xy")
    return torch.stack([x, y], dim=-1).float()
