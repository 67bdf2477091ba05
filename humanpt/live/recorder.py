"""What the demo leaves behind: a film, numbers, moving meshes.

A recording is a folder. While it goes there is `unfinished/` in it, with the film in pieces and the numbers in columns
that grow: memory stays flat, and whatever kills the program or fills the disk leaves all but the last moment readable
(`read_people` reads the folder, players play the film). At the end `finish_recording` makes whole files of it:

    overlay.mp4            the drawn pictures with their times
    people.npz             all numbers; see people_file.py
    animation.glb          everybody's mesh with bones and movement, for Blender, three.js and game engines
    motion/WHO.bvh         the bones and movement of one
    obj/PICTURE_WHO.obj    the mesh of one in one picture, on request; written while the recording goes
"""

from __future__ import annotations

import dataclasses
import json
import shutil
import tempfile
import threading
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import av
import cv2
import numpy as np

from humanpt.body.model import load_body_model
from humanpt.body.obj import face_lines, obj_text
from humanpt.data.image import Rgb
from humanpt.detect.detector import BoxKind
from humanpt.engine.report import Report, Silent
from humanpt.errors import HumanptError, InputError, OutputError
from humanpt.files import cannot_write, exists, write_json, write_whole
from humanpt.live.animation_files import write_animations
from humanpt.live.overlay_video import OverlayVideo, finish_video
from humanpt.live.people_file import PEOPLE, About, People, write_people
from humanpt.live.people_spool import PeopleSpool, read_spool, spool_of, unfinished
from humanpt.live.shot import Subject3D, View

Side = Literal["right", "left"]

VIDEO, OBJ = "overlay.mp4", "obj"
CONFIG = "recording.json"


@dataclass(frozen=True, kw_only=True)
class RecordConfig:
    """What a recording consists of, besides the numbers."""

    video: bool = True
    """Whether the drawn pictures are kept as a film."""
    vertices: bool = False
    """Whether `people.npz` has the points of the surfaces, not only the model's parameters."""
    obj: bool = False
    """Whether every mesh of every picture becomes an .obj file."""
    animation: bool = True
    """Whether `animation.glb` and the .bvh files are made at the end."""


class Recorder:
    """Writes what it is shown. A full disk ends the recording, not the program: see `trouble`.

    `show` and `close` may be called by different threads.

    Args:
        folder: of the recording; made if it is not there, refused if there is a recording in it.
        about: what the numbers mean; `about_model` makes it from the layout of a body model.
        config: what to write.
        report: where one line is said if recording has to stop, and how far finishing is.

    Raises:
        OutputError: if the folder holds a recording, or cannot be written.
    """

    def __init__(
        self, folder: Path, about: About, config: RecordConfig | None = None, report: Report | None = None
    ) -> None:
        for there in (folder / PEOPLE, folder / VIDEO, unfinished(folder)):
            if exists(there):
                raise OutputError(f"{there}: there is a recording already; choose another folder")
        self.folder = folder
        self.config = config or RecordConfig()
        self.trouble: str | None = None
        """Why recording stopped before it was closed, one line."""
        self.frames = 0
        """Pictures recorded."""
        self.files: dict[str, Path] = {}
        """What `close` left, by name within the folder."""
        self._report = report or Silent()
        self._lock = threading.Lock()
        self._closed = False
        self._faces = _FaceLines(about.model)
        self._video: OverlayVideo | None = None
        try:
            self._spool = PeopleSpool(spool_of(folder), about, vertices=self.config.vertices)
            write_json(unfinished(folder) / CONFIG, asdict(self.config))
            if self.config.video:
                self._video = OverlayVideo(unfinished(folder) / VIDEO)
            if self.config.obj:
                (folder / OBJ).mkdir(exist_ok=True)
        except OSError as error:
            raise cannot_write(folder, error, "--record") from error

    def show(self, view: View, drawn: Rgb) -> None:
        """Record one picture and who is in it; nothing after trouble or `close`.

        Args:
            view: what was found.
            drawn: (H, W, 3) uint8, the picture of the film, not mirrored.
        """
        with self._lock:
            if self._closed or self.trouble:
                return
            try:
                self._spool.add(view)
                if self._video is not None:
                    self._video.add(drawn, view.shot.timestamp)
                if self.config.obj:
                    self._write_meshes(view)
                self.frames += 1
            except (OSError, av.FFmpegError) as error:
                self._stop(error)

    def close(self) -> dict[str, Path]:
        """End the recording and make whole files of it, at the first call.

        Where there is no room for them the unfinished ones stay, and `trouble` says so.

        Returns:
            The files by their names within the folder.
        """
        with self._lock:
            if self._closed:
                return self.files
            self._closed = True
            self._spool.close()
            try:
                if self._video is not None:
                    self._video.close()
            except (OSError, av.FFmpegError) as error:
                self._stop(error)
        if not self.frames and not self.trouble:
            self._remove()
            return self.files
        try:  # without the lock, as the demo goes on meanwhile
            self.files = finish_recording(self.folder, self._report)
        except HumanptError as error:
            self.trouble = " ".join(filter(None, (self.trouble, str(error))))
            self._report.note(str(error))
        return self.files

    def _remove(self) -> None:
        """Leave nothing of a recording without a picture, which would only be in the way of the next."""
        shutil.rmtree(unfinished(self.folder))
        for folder in (self.folder / OBJ, self.folder):
            with suppress(OSError):  # it is not there, or there are other things in it
                folder.rmdir()

    def _stop(self, error: Exception) -> None:
        """Say once why no more is recorded."""
        if self.trouble is None:
            reason = getattr(error, "strerror", None) or str(error)
            self.trouble = (
                f"{self.folder}: recording stopped after {self.frames} pictures ({reason}); "
                "these are kept; make room and record into another folder"
            )
            self._report.note(self.trouble)

    def _write_meshes(self, view: View) -> None:
        for subject in view.subjects:
            path = self.folder / OBJ / f"{view.shot.number:06d}_{_name(subject)}.obj"
            text = obj_text(subject.vertices, self._faces.of(subject.kind), comment=_comment(view, subject))
            try:
                path.write_text(text)
            except OSError:
                path.unlink(missing_ok=True)  # half a mesh is none
                raise


def finish_recording(folder: Path, report: Report | None = None) -> dict[str, Path]:
    """Make whole files of a recording that was closed, killed or ran out of disk.

    What is whole already stays. The unfinished files go when all are made.

    Args:
        folder: of the recording.
        report: how far this is, and which files cannot be made of it.

    Returns:
        The files by their names within the folder.

    Raises:
        InputError: if there is nothing unfinished in the folder.
        OutputError: if a file cannot be written; the unfinished ones stay and remain readable.
    """
    report = report or Silent()
    rest = unfinished(folder)
    try:
        config = RecordConfig(**json.loads((rest / CONFIG).read_text()))
    except FileNotFoundError:
        raise InputError(f"{folder}: no unfinished recording in it; name the folder that --record was given") from None
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"{rest / CONFIG}: cannot be read ({error}); there is nothing to finish") from None
    people = read_spool(spool_of(folder))
    names = []
    try:
        if (rest / VIDEO).exists() and finish_video(rest / VIDEO, folder / VIDEO):
            (rest / VIDEO).unlink()  # makes room for what follows
        write_people(folder / PEOPLE, _with_faces(people))
        if config.animation:
            names = write_animations(folder, people, report)
    except OutputError as error:
        raise OutputError(
            f"{str(error).partition(';')[0]}; what was recorded stays readable in {rest}; "
            f"make room, then: humanpt demo --finish {folder}"
        ) from None
    del people  # its arrays lie in the files that go
    shutil.rmtree(rest)
    meshes = [OBJ] if (folder / OBJ).is_dir() else []
    return {name: folder / name for name in (VIDEO, PEOPLE, *names, *meshes) if (folder / name).exists()}


def save_snapshot(folder: Path, view: View, drawn: Rgb, about: About) -> dict[str, Path]:
    """Keep one moment: the drawn picture, its numbers and its meshes.

    Args:
        folder: made if it is not there.
        view: what was found.
        drawn: (H, W, 3) uint8.
        about: what the numbers mean.

    Returns:
        The files by their names within the folder: `snapshot-NUMBER.png`, `.npz` (as people.npz), and one .obj each;
        what is there already stays, and a second one of that number is called `snapshot-NUMBER-2`.

    Raises:
        OutputError: if they cannot be written.
    """
    stem = named = f"snapshot-{view.shot.number:06d}"
    again = 1
    while exists(folder / f"{stem}.png") or exists(folder / f"{stem}.npz"):  # of another picture of that number
        again += 1
        stem = f"{named}-{again}"
    faces = _FaceLines(about.model)
    files = {f"{stem}.png": folder / f"{stem}.png", f"{stem}.npz": folder / f"{stem}.npz"}
    _, png = cv2.imencode(".png", cv2.cvtColor(drawn, cv2.COLOR_RGB2BGR))
    write_whole(files[f"{stem}.png"], png.tobytes())
    try:
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as spare:
            spool = PeopleSpool(Path(spare) / "people", about, vertices=True)
            spool.add(view)
            spool.close()
            people = _with_faces(read_spool(spool.folder))
            write_people(files[f"{stem}.npz"], people)
    except OSError as error:
        raise cannot_write(folder, error) from error
    for subject in (one for one in view.subjects if len(one.vertices)):
        name = f"{stem}-{_name(subject)}.obj"
        files[name] = folder / name
        write_whole(files[name], obj_text(subject.vertices, faces.of(subject.kind), comment=_comment(view, subject)))
    return files


class _FaceLines:
    """Triangles of a body model's sides for .obj files, made when first asked for.

    Args:
        model: its name.
    """

    def __init__(self, model: str) -> None:
        self.model = model
        self._lines: dict[Side, str] = {}

    def of(self, kind: BoxKind) -> str:
        """Those of a kind of subject, as `face_lines` gives them."""
        side: Side = "left" if kind == "hand_left" else "right"
        if side not in self._lines:
            self._lines[side] = face_lines(load_body_model(self.model, side=side).faces.numpy())
        return self._lines[side]


def _with_faces(people: People) -> People:
    """The same with the triangles of its vertices, those of a right hand for hands."""
    if people.vertices is None:
        return people
    faces = load_body_model(people.about.model).faces.numpy().astype(np.int32)
    return dataclasses.replace(people, faces=faces)


def _name(subject: Subject3D) -> str:
    """What somebody is called in files."""
    return f"{subject.kind}_{subject.identity}"


def _comment(view: View, subject: Subject3D) -> str:
    """What the top of an .obj file says."""
    return f"{_name(subject)} at {view.shot.timestamp:.3f} s; {view.shot.camera.line}"
