"""Our renderer against pyrender and against ray casting with Warp, in the same run. A script, not a test.

    python tests/benchmarks/render_speed.py [--peers /path/of/another/venv/bin/python]

pyrender is unmaintained and pins an old PyOpenGL, so it lives in an environment of its own, named by --peers or
HUMANPT_PEERS_PYTHON: `pip install "numpy<2" trimesh PyOpenGL==3.1.7 freetype-py imageio scipy six "networkx>=3"`, then
`pip install --no-deps pyrender==0.1.45`. It draws through the system's libEGL or libOSMesa (Debian: libegl1,
libosmesa6). Peers that are absent are skipped with a line.

CPU milliseconds a picture, one thread each, medians of rounds that take turns. Every picture has its own vertices, as
generated people have: upload (or building the hierarchy) and read-back are inside. "again" leaves the vertices.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from humanpt.body.model import load_body_model
from humanpt.geometry.cameras import intrinsics_from_fov, look_at, transform
from humanpt.render.rasterize import normals, rasterize, vertex_normals

SIZE, PICTURES = 224, 16


class Scenes:
    """One subject from 16 sides: vertices (16, V, 3) in the cameras, faces, intrinsics (16, 3, 3)."""

    def __init__(self, name: str) -> None:
        model = load_body_model(name)
        with torch.no_grad():
            vertices = model(model.mean_shape(), model.identity_pose(), torch.zeros(1, 3)).vertices[0]
        middle = (vertices.amin(dim=0) + vertices.amax(dim=0)) / 2
        reach = float((vertices.amax(dim=0) - vertices.amin(dim=0)).max())
        rng = np.random.default_rng(0)
        turn, rise = torch.tensor(rng.uniform([0, -0.4], [2 * np.pi, 0.4], (PICTURES, 2)).T, dtype=torch.float32)
        away = torch.stack([turn.sin() * rise.cos(), rise.sin(), -turn.cos() * rise.cos()], dim=-1)
        self.vertices = transform(look_at(middle + 3 * reach * away, middle), vertices)
        self.faces = model.faces
        # The subject's longest side takes 85 % of the picture.
        self.intrinsics = intrinsics_from_fov(2 * np.arctan(1 / 6 / 0.85), SIZE).expand(PICTURES, 3, 3)

    def save(self, path: Path) -> None:
        """For the peers."""
        values = {"vertices": self.vertices, "intrinsics": self.intrinsics, "faces": self.faces}
        values["normals"] = vertex_normals(self.faces, self.vertices)
        np.savez(path, size=[SIZE, SIZE], **{key: value.numpy() for key, value in values.items()})

    def render(self, cull: bool = False, batch: int = PICTURES) -> list[torch.Tensor]:
        """Face and depth of all pictures, some at a time."""
        found = []
        for i in range(0, PICTURES, batch):
            some = slice(i, i + batch)
            raster = rasterize(self.vertices[some], self.faces, self.intrinsics[some], SIZE, SIZE, cull=cull)
            found.append((raster.face, raster.depth))
        return [torch.cat(kind) for kind in zip(*found, strict=True)]

    def shade(self) -> torch.Tensor:
        """What pyrender gives: a lit picture of one colour in uint8, besides depth."""
        raster = rasterize(self.vertices, self.faces, self.intrinsics, SIZE, SIZE)
        light = 0.3 - 0.7 * normals(raster, self.faces, self.vertices)[..., 2:]
        colour = torch.tensor([204.0, 153.0, 128.0]) * light.clamp(0, 1) * raster.mask[..., None]
        return colour.to(torch.uint8)


class Peer:
    """A renderer in a process of its own that renders all pictures once for each line it is sent."""

    def __init__(self, name: str, words: list[str], environment: dict[str, str]) -> None:
        self.name = name
        self.process = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
        )
        self.ready = self.answer().get("ready")

    def answer(self) -> dict[str, object]:
        """The next line; empty if the peer has ended."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        return json.loads(line) if line.startswith("{") else {}

    def round(self) -> dict[str, float]:
        """Seconds for all pictures, with new vertices each and with the vertices left."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return {key: float(str(value)) for key, value in self.answer().items()}

    def stop(self) -> None:
        """End the process."""
        self.process.communicate()


def milliseconds(fn: Callable[[], object]) -> float:
    """CPU time per picture of a call that makes all of them."""
    start = time.process_time()
    fn()
    return (time.process_time() - start) * 1e3 / PICTURES


def peers_for(file: Path, python: str | None) -> list[Peer]:
    """The peers that are here, started; a line for each that is not."""
    here, one_thread = Path(__file__).parent, {**os.environ, "OMP_NUM_THREADS": "1"}
    wanted = [("Warp rays", [sys.executable, str(here / "render_peer_warp.py"), str(file)])]
    if python is None:
        print("pyrender: skipped, no environment named; see --help")
    else:
        pyrender = [python, str(here / "render_peer_pyrender.py"), str(file)]
        wanted += [("pyrender, EGL", [*pyrender, "egl"]), ("pyrender, OSMesa", [*pyrender, "osmesa"])]
    found = []
    for name, words in wanted:
        peer = Peer(name, words, one_thread)
        if peer.ready is None:
            print(f"{name}: skipped, it does not start here")
        else:
            print(f"{name}: {peer.ready}")
            found.append(peer)
    return found


def compare(name: str, python: str | None, rounds: int) -> None:
    """Measure one subject and print its table."""
    scenes = Scenes(name)
    face, depth = scenes.render()
    cover = (face >= 0).float().mean()
    print(f"\n{name}: {len(scenes.faces):,} faces, {PICTURES} pictures of {SIZE} px, {cover:.0%} covered")
    ours: dict[str, Callable[[], object]] = {
        "ours": scenes.render,
        "ours, one picture a call": lambda: scenes.render(batch=1),
        "ours, back faces culled": lambda: scenes.render(cull=True),
        "ours, smooth normals and a lit picture": scenes.shade,
    }
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "scenes.npz"
        scenes.save(file)
        peers = peers_for(file, python)
        times: dict[str, list[float]] = {}
        for turn in range(rounds):
            for title, fn in ours.items():
                times.setdefault(title, []).append(milliseconds(fn))
            for peer in peers:
                for key, value in peer.round().items():
                    title = peer.name + (", again" if key == "again" else "")
                    times.setdefault(title, []).append(value * 1e3 / PICTURES)
                if turn == 0:
                    report(peer, file, face, depth)
        for peer in peers:
            peer.stop()
    base = float(np.median(times["ours"]))
    for title, measured in times.items():
        middle = float(np.median(measured))
        print(f"{title:40s} {middle:7.2f} ms, {1000 / middle:6.0f} pictures/s, {middle / base:5.2f} times ours")


def report(peer: Peer, file: Path, face: torch.Tensor, depth: torch.Tensor) -> None:
    """Say whether the peer sees the same."""
    theirs = torch.from_numpy(np.load(f"{file}.depth.npy"))
    both = (theirs > 0) & (face >= 0)
    either = (theirs > 0) | (face >= 0)
    words = f"{peer.name}: masks agree to {both.sum() / either.sum():.4f} IoU, "
    words += f"median difference of depth {(theirs - depth)[both].abs().median() * 1e3:.3f} mm"
    faces = Path(f"{file}.face.npy")
    if faces.exists():
        other = torch.from_numpy(np.load(faces)) != face
        words += f", face ids differ at {int(other.sum())} of {other.numel():,} pixels"
        faces.unlink()
    print(words)


def on_gpu(name: str) -> None:
    """Pictures per second of big batches on a CUDA device."""
    scenes = Scenes(name)
    many = torch.arange(512) % PICTURES
    vertices, faces = scenes.vertices[many].cuda(), scenes.faces.cuda()
    intrinsics = scenes.intrinsics[many].cuda()
    rasterize(vertices, faces, intrinsics, SIZE, SIZE)
    torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(5):
        rasterize(vertices, faces, intrinsics, SIZE, SIZE)
    torch.cuda.synchronize()
    speed = 5 * len(many) / (time.perf_counter() - start)
    print(f"{name} on {torch.cuda.get_device_name()}: {speed:,.0f} pictures/s in batches of {len(many)}")


def main() -> None:
    """Compare on the CPU, then measure the GPU if there is one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", default=os.environ.get("HUMANPT_PEERS_PYTHON"), help="a Python that has pyrender")
    parser.add_argument("--rounds", type=int, default=5)
    words = parser.parse_args()
    torch.set_num_threads(1)
    for name in ("anny-body", "anny-hand"):
        compare(name, words.peers, words.rounds)
    if not torch.cuda.is_available():
        print("\nno CUDA device: the GPU was not measured")
        return
    for name in ("anny-body", "anny-hand"):
        on_gpu(name)


if __name__ == "__main__":
    main()
