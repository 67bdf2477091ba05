"""Moving meshes and bones out of `people.npz`, for other people's software: animation.glb and motion/WHO.bvh.

Somebody who is recorded has one size: the median over the pictures of each shape value, as bones do not grow. Poses and
places are as they are in `people.npz`. Between pictures in which somebody is missing a .glb hides them; a .bvh, whose
frames must be evenly spaced and know no absence, goes on from pose to pose.

Letters: T pictures of a track, J joints, P shape values.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from humanpt.body.anny import AnnyModel
from humanpt.body.gltf import Eye, Mover, write_glb
from humanpt.body.model import BodyModel, load_body_model
from humanpt.body.rigged import rigged
from humanpt.data.mocap.bvh_writer import write_bvh
from humanpt.engine.report import Report
from humanpt.errors import InputError
from humanpt.geometry.rotations import slerp
from humanpt.live.people_file import People, Track

Array = NDArray[np.float64]

GLB, MOTION = "animation.glb", "motion"
FEWEST = 2
"""Pictures in which somebody must be seen to count as moving."""
EVEN = 0.05
"""Times within this part of a step of even ones are taken as even: clocks of films round to whole milliseconds."""
ABSENT = 0.5
"""Seconds between two pictures from which somebody was away, and it tells nothing of a rate."""
PIECE = 500
"""Frames of a .bvh that are in the memory at once."""
STILL_RATE = 30.0
"""Frames per second of a .bvh where times do not tell."""


def write_animations(folder: Path, people: People, report: Report) -> list[str]:
    """Write what moves into a folder; what cannot be made is noted in the report, one line each.

    Returns:
        Names within the folder of what was written.

    Raises:
        OutputError: if a file cannot be written.
    """
    if people.rotations is None:
        if len(people.frame):
            report.note(
                f"{folder}: no {GLB} and no .bvh files, which need a network that predicts a body model's parameters; "
                "--record with obj keeps the meshes of every picture"
            )
        return []
    tracks = [track for track in people.tracks() if len(track.seen) >= FEWEST]
    if not tracks:
        return []
    try:
        models = {side: load_body_model(people.about.model, side=side) for side in {track.side for track in tracks}}
    except InputError as error:
        report.note(f"{folder}: no {GLB} and no .bvh files: {error}")
        return []
    for track in tracks:
        _write_motion(folder / MOTION / f"{track.name}.bvh", people, track, models[track.side])
    free = {side: model for side, model in models.items() if isinstance(model, AnnyModel)}
    if len(free) < len(models):
        report.note(f"{folder}: no {GLB}; it would hold the mesh of {people.about.model}, which may not be passed on")
        return [MOTION]
    about = people.about
    extras = {
        **{name: getattr(about, name) for name in ("model", "rig", "topology", "pose_parameterization", "network")},
        "shape": "one for each mover, the median over its pictures",
        "focal_from": sorted(set(people.focal_from.tolist())),
        "ledger": dict(about.ledger),
    }
    width, height = people.image_size[0].tolist()
    eye = Eye(intrinsics=people.intrinsics[0], width=width, height=height)
    movers = (_mover(people, track, free[track.side]) for track in tracks)
    write_glb(folder / GLB, movers, eye=eye, copyright=f"{about.credit}; {about.licence}", extras=extras)
    return [GLB, MOTION]


def one_shape(people: People, track: Track) -> NDArray[np.float32]:
    """(P,) the one size of somebody: the median of each value."""
    median: NDArray[np.float32] = np.median(people.parameters[1][track.seen], axis=0)
    return median


def _seconds(people: People, track: Track) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Rows of a track at rising times, and these, from the first picture of the recording on."""
    times = people.timestamp[people.frame[track.seen]] - people.timestamp[0]
    rising = np.append(True, np.diff(np.maximum.accumulate(times)) > 0)
    return track.seen[rising], times[rising]


def _mover(people: People, track: Track, model: AnnyModel) -> Mover:
    rotations, _, transl = people.parameters
    rows, times = _seconds(people, track)
    there = ~track.mask
    changes = np.flatnonzero(np.diff(there.astype(int), prepend=0))
    return Mover(
        name=track.name,
        mesh=rigged(model, one_shape(people, track)),
        mesh_key=track.side,
        times=times,
        pose=rotations[rows],
        transl=transl[rows],
        shown=people.timestamp[changes] - people.timestamp[0],
    )


def _write_motion(path: Path, people: People, track: Track, model: BodyModel) -> None:
    """One track as a .bvh file."""
    rows, times = _seconds(people, track)
    layout = model.layout
    above = [max(parent, 0) for parent in layout.parents]
    shape = torch.from_numpy(np.asarray(one_shape(people, track)))[None]
    with torch.no_grad():
        still = model(shape, model.identity_pose(), torch.zeros(1, 3)).joints[0].double().numpy()
    rate, places = evenly(times)
    pieces = np.array_split(places, -(-len(places) // PIECE))
    movement = (_moved(people, rows, model, above, still[0], piece) for piece in pieces)
    write_bvh(path, layout.joint_names, layout.parents, still - still[above], movement, len(places), rate)


def _moved(
    people: People, rows: NDArray[np.int64], model: BodyModel, above: list[int], still: Array, places: Array
) -> tuple[Array, Array]:
    """Poses (t, J, 3, 3) relative to parents and roots (t, 3) at some places of a track."""
    rotations, _, transl = people.parameters
    first = int(places[0])
    here = rows[first : int(np.ceil(places[-1])) + 1]
    with torch.no_grad():
        pose = torch.from_numpy(np.array(rotations[here]))
        turned = torch.stack([model.orientation(pose, joint) for joint in range(len(above))], dim=1).double()
        local = torch.cat((turned[:, :1], turned[:, above[1:]].mT @ turned[:, 1:]), dim=1)
    pose, root = between(local, np.asarray(transl[here], np.float64) + still, places - first)
    return pose.numpy(), root


def evenly(times: Array) -> tuple[float, Array]:
    """Evenly spaced times, which go on from the first by the usual step.

    Args:
        times: (T,) rising seconds.

    Returns:
        Frames per second, and (M,) the places of these times among those given, 0.5 being in the middle between the
        first two; 0, 1, 2, ... where they are evenly spaced already.
    """
    if len(times) < 2:
        return STILL_RATE, np.zeros(len(times))
    steps = np.diff(times)
    middle = np.sort(steps)[(len(steps) - 1) // 2]  # one of them, as a mean of two may be like none
    usual = np.abs(steps - middle) < middle / 2  # neither absences nor hiccups
    present = steps[steps < ABSENT]
    # The median alone would add up the rounding of a film's clock, and frames that come in bursts would set the step.
    step = max(float(steps[usual].mean()), float(present.mean()) / 2 if len(present) else 0.0)
    wanted = times[0] + step * np.arange(round((times[-1] - times[0]) / step) + 1)
    if len(wanted) == len(times) and np.abs(wanted - times).max() < EVEN * step:
        return 1 / step, np.arange(len(times), dtype=np.float64)
    return 1 / step, np.interp(wanted, times, np.arange(len(times)))


def between(pose: Tensor, root: Array, places: Array) -> tuple[Tensor, Array]:
    """A movement at places between its frames.

    Args:
        pose: (T, J, 3, 3).
        root: (T, 3).
        places: (M,) from 0 to T - 1.

    Returns:
        Poses (M, J, 3, 3) and roots (M, 3).
    """
    before = np.floor(places).astype(np.int64)
    after, share = np.ceil(places).astype(np.int64), (places - before)[:, None]
    if not share.any():
        return pose[before], root[before]
    moved = slerp(pose[before], pose[after], torch.from_numpy(share))
    return moved, root[before] + share * (root[after] - root[before])
