"""Finished pictures per second of one core: dressed bodies and hands, lit, in rooms or alone.

Each scene is drawn anew and seen by two cameras, as generated pairs are; drawing the look, the room and the pose is not
counted (people_speed counts them). Times are of the processor, so that other work on the machine distorts them less;
the share of the bare z-buffer at the same resolution of samples is measured in the same run.

    python -m tests.benchmarks scene_speed [--count 12] [--size 224] [--device cpu]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch

from humanpt.body.model import load_body_model
from humanpt.geometry.cameras import look_at, transform
from humanpt.render.appearance import draw_look
from humanpt.render.light import draw_light
from humanpt.render.rasterize import rasterize
from humanpt.render.room import draw_room
from humanpt.render.scene import Cameras, Scene, Thing, render

VIEWS = 2


def scene(kind: str, seed: int, size: int, device: str) -> tuple[Scene, Cameras]:
    """Draw one scene and its cameras; the subject fills nearly all of the picture."""
    rng = np.random.default_rng(seed)
    model = load_body_model("anny-body" if kind == "body" else "anny-hand")
    vertices = model.rest(model.sample_shape(rng, 1))[0].detach()
    low, high = vertices.amin(0), vertices.amax(0)
    lift = high[1] if kind == "body" else high[1] + 0.4
    vertices = vertices - torch.tensor([0.5 * float(low[0] + high[0]), float(lift), 0.5 * float(low[2] + high[2])])
    centre = 0.5 * (vertices.amin(0) + vertices.amax(0))
    radius = 0.5 * float((vertices.amax(0) - vertices.amin(0)).norm())
    turns = rng.uniform(0, 2 * np.pi) + np.array([0.0, 0.7])
    away = torch.tensor(np.stack([np.sin(turns), np.full(VIEWS, -0.2), -np.cos(turns)], 1), dtype=torch.float32)
    poses = look_at(centre + 3.0 * radius * away, centre.expand(VIEWS, 3))
    focal, middle = 0.48 * size * 3.0, (size - 1) / 2
    intrinsics = torch.tensor([[focal, 0.0, middle], [0.0, focal, middle], [0.0, 0.0, 1.0]]).repeat(VIEWS, 1, 1)
    thing = Thing(
        vertices=vertices.to(device),
        faces=model.faces.to(device),
        rest=model.canonical.to(device),
        look=draw_look(rng, "body" if kind == "body" else "hand", model),
    )
    room = draw_room(rng, "body" if kind == "body" else "hand")
    drawn = Scene(things=(thing,), room=room, light=draw_light(rng, room.panorama is not None))
    return drawn, Cameras(intrinsics=intrinsics.to(device), cam_from_world=poses.to(device), size=size)


def milliseconds(draw: Callable[[], object], pictures: int, device: str) -> float:
    """The least milliseconds per picture of three runs."""
    best = float("inf")
    for _ in range(3):
        start = time.process_time() if device == "cpu" else time.perf_counter()
        draw()
        if device != "cpu":
            torch.cuda.synchronize()
        best = min(best, (time.process_time() if device == "cpu" else time.perf_counter()) - start)
    return 1000 * best / pictures


def main() -> None:
    """Print milliseconds and pictures per second."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=12, help="scenes of each kind")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    torch.set_num_threads(1)
    for kind in ("body", "hand"):
        scenes = [scene(kind, seed, options.size, options.device) for seed in range(options.count)]
        alone = [(Scene(things=drawn.things, room=None, light=drawn.light), views) for drawn, views in scenes]

        def raster(scenes: list[tuple[Scene, Cameras]] = scenes) -> None:
            for drawn, views in scenes:
                seen = transform(views.cam_from_world, drawn.things[0].vertices)
                k = views.intrinsics * torch.tensor([[2.0], [2.0], [1.0]], device=seen.device)
                rasterize(seen, drawn.things[0].faces, k, 2 * views.size, 2 * views.size, cull=True)

        def pictures(scenes: list[tuple[Scene, Cameras]]) -> Callable[[], None]:
            return lambda: [render(*one) for one in scenes] and None

        for what, draw in (("in a room", pictures(scenes)), ("alone", pictures(alone)), ("z-buffer only", raster)):
            spent = milliseconds(draw, VIEWS * options.count, options.device)
            print(f"{kind} {what:14} {spent:6.1f} ms, {1000 / spent:5.0f} pictures/s")


if __name__ == "__main__":
    main()
