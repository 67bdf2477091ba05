"""`humanpt demo`: a camera, a clip or pictures in, meshes on a screen and in files out, as they come.

Screens are a window, a page, or figures in the terminal; the picture is mirrored on screens alone. Recordings are of
the picture as it was taken.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import torch

from humanpt import __version__
from humanpt.body.model import Subject
from humanpt.commands.pretrained import Pretrained, open_pretrained
from humanpt.commands.recoverers import open_recoverer
from humanpt.config import override, to_dict
from humanpt.data.image import Rgb
from humanpt.engine.report import Report
from humanpt.errors import ConfigError, HumanptError, OutputError
from humanpt.live.capture import open_images, open_video, open_webcam
from humanpt.live.completion import LiveCompletionConfig, about_boxes, open_completion
from humanpt.live.controls import Action, Controls, Status
from humanpt.live.draw import Drawer, Faces, faces_of
from humanpt.live.loop import Loop, Sink, Summary
from humanpt.live.people_file import About, about_model
from humanpt.live.pipeline import PipelineConfig, open_pipeline
from humanpt.live.recorder import RecordConfig, Recorder
from humanpt.live.recordings import Recordings
from humanpt.live.recoverer import Recoverer
from humanpt.live.shot import Shot, View
from humanpt.live.slide_show import SlideShow
from humanpt.live.source import Source
from humanpt.tasks.mesh_pictures import assumed_intrinsics

Screen = Literal["auto", "window", "page", "terminal"]
SHOWN_FOR = 2.0  # seconds for which a screen shows each picture of a folder
TRIALS, SPARE = 8, 0.6  # forward passes that tell a network's time; share of a frame's time that it may take
CAMERAS_TOLD = 3  # lines about focal lengths; a folder may have as many cameras as pictures
KEPT = Path("demo")
"""Where buttons put recordings and snapshots."""


@dataclass(frozen=True, kw_only=True)
class DemoConfig:
    """How the demo looks at pictures; where they come from and go to is for the command."""

    pipeline: PipelineConfig = field(default_factory=PipelineConfig)
    """Detection, following and smoothing."""
    completion: LiveCompletionConfig = field(default_factory=LiveCompletionConfig)
    """What is masked and completed, where that is the task."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """What products are computed in; auto takes what is measured to be fastest here."""
    threads: int = 1
    """CPU threads of the network; capture and drawing have their own."""

    def __post_init__(self) -> None:
        if self.threads < 1:
            raise ConfigError(f"threads is {self.threads}; it must be at least 1")


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where pictures come from; one of the three."""

    webcam: str | None = None
    """A camera's number or file, or an address."""
    video: Path | None = None
    """A video file, or a folder of numbered frames."""
    images: Path | None = None
    """A folder of pictures, or one picture."""
    focal: float | None = None
    """Focal length in pixels; None reads it from pictures' EXIF data or assumes the longer side."""

    def __post_init__(self) -> None:
        if sum(value is not None for value in (self.webcam, self.video, self.images)) != 1:
            raise ConfigError("give one of --webcam, --video and --images")

    def open(self, *, shown: bool, loop: bool) -> Source:
        """Open it.

        Args:
            shown: whether somebody looks, so that clips keep their own pace and pictures stay for a while.
            loop: whether clips and pictures begin again at their end.
        """
        if self.webcam is not None:
            return open_webcam(self.webcam, focal=self.focal)
        if self.video is not None:
            return open_video(self.video, focal=self.focal, loop=loop, realtime=shown)
        assert self.images is not None
        source = open_images(self.images, focal=self.focal)
        return SlideShow(source, seconds=SHOWN_FOR, again=loop) if shown else source


@dataclass(frozen=True, kw_only=True)
class Screens:
    """Where the demo is seen."""

    screen: Screen = "auto"
    """A window, a page, figures in the terminal; auto takes a window where there is a display, else a page."""
    host: str = "127.0.0.1"
    """Address of the page."""
    port: int | None = None
    """Port of the page; None takes 8000, or any other that is free."""
    mirrored: bool = False
    """Whether pictures are shown as in a mirror."""

    def settled(self, *, files_alone: bool) -> Screen:
        """What auto means here: nothing but figures where only files are wanted, else a window, else a page."""
        if self.screen != "auto":
            return self.screen
        if files_alone:
            return "terminal"
        from humanpt.live.window import available  # tries a window in a process of its own

        return "window" if available() else "page"


def run(
    origin: Origin,
    config: DemoConfig,
    changes: Sequence[str],
    models: Sequence[Path],
    screens: Screens,
    report: Report,
    *,
    subject: Subject = "body",
    task: Literal["mesh", "completion"] = "mesh",
    reference: Path | None = None,
    record: Path | None = None,
    recording: RecordConfig | None = None,
    once: bool = False,
    target: float | None = None,
    device: str = "auto",
) -> dict[str, Any]:
    """Run the demo until its source ends, or somebody stops it.

    Args:
        origin: where pictures come from.
        config: how they are looked at.
        changes: `field=value` texts applied to it.
        models: fine-tuned runs, checkpoints or exported files, the best first; none takes the one that comes with
            humanpt.
        screens: where it is seen.
        report: told what a person should know, and figures where there is no other screen.
        subject: hands or bodies, for the network that comes with humanpt.
        task: meshes, or masked completion by a pre-trained run, the one of `models`.
        reference: the picture that helps completion; None takes a moment ago.
        record: folder of a recording that begins at once; None leaves recording to the buttons.
        recording: what recordings consist of.
        once: whether clips and pictures on a screen end, instead of beginning again.
        target: frames per second that the network must keep: the first of `models` that does is taken.
        device: as for `choose_device`.

    Returns:
        The summary.

    Raises:
        HumanptError: of some kind, for whatever a user can mend.
    """
    config = override(config, changes)
    cv2.setNumThreads(1)
    torch.set_num_threads(config.threads)
    screen = screens.settled(files_alone=record is not None and origin.webcam is None)
    network: Pretrained | Recoverer
    if task == "completion":
        recording = _without_meshes(recording or RecordConfig(), target)
        network, rates = _pretrained(models, config.precision, device), {}
    elif reference is not None:
        raise ConfigError(f"--reference {reference}: is for --task completion; meshes need none")
    else:
        network, rates = choose_network(models, subject, target, config.precision, device, report)
    with closing(origin.open(shown=screen != "terminal", loop=not (once or record))) as source:
        config = replace(config, pipeline=_for_source(config.pipeline, origin, source))
        pipeline: Callable[[Shot], View]
        drawer: Callable[..., Drawer]
        if isinstance(network, Pretrained):
            pipeline, drawer = open_completion(
                network.task,
                network.subject,
                config.pipeline,
                config.completion,
                reference=reference,
                precision=network.precision,
            )
            faces: Faces = {}
            about = about_boxes(network.subject, network=network.name, source=source.name, ledger=network.ledger)
        else:
            pipeline, faces = open_pipeline(network, config.pipeline), faces_of(network.body)
            drawer, about = partial(Drawer, faces), _about(network, source, pipeline.config)
        seen = Seen(source, faces, drawer, about, replace(screens, screen=screen), recording, report)
        if record is not None:
            seen.record_into(record)
        loop = Loop(source, pipeline, seen.draw, seen.sinks, drop=source.live or screen != "terminal")
        seen.begin(loop.stop)
        done = loop.run()
    return _summary(done, source, rates, about, config, seen)


def choose_network(
    models: Sequence[Path], subject: Subject, target: float | None, precision: str, device: str, report: Report
) -> tuple[Recoverer, dict[str, float]]:
    """Open the network: the first that keeps a rate, where one is wanted.

    Args:
        models: the best first; without any the one that comes with humanpt, which also ends every list where a rate is
            wanted.
        subject: for that one.
        target: frames per second; None takes the first.
        precision, device: as for `open_recoverer`.
        report: told which was taken.

    Returns:
        The network, and by name how many crops a second each that was tried takes here.

    Raises:
        CheckpointError, ConfigError, InputError: as `open_recoverer`.
    """
    candidates = list(models) or [shipped_weights(subject)]
    if target is None:
        return open_recoverer(candidates[0], device=device, precision=precision), {}
    rates: dict[str, float] = {}
    tried: list[Recoverer] = []
    for path in candidates:
        tried.append(open_recoverer(path, device=device, precision=precision))
        rates[str(path)] = 1 / _time_of(tried[-1])
        if rates[str(path)] * SPARE >= target:
            report.note(f"{path}: {rates[str(path)]:.0f} crops a second here, enough for {target:g} frames a second")
            return tried[-1], rates
    fastest = int(np.argmax(list(rates.values())))
    report.note(
        f"no network keeps {target:g} frames a second here; {candidates[fastest]} is the fastest with "
        f"{rates[str(candidates[fastest])]:.0f} crops a second"
    )
    return tried[fastest], rates


def _pretrained(models: Sequence[Path], precision: str, device: str) -> Pretrained:
    """The network of `--task completion`."""
    if len(models) != 1:
        raise ConfigError("--task completion: name one run of `humanpt pretrain` by --model; none comes with humanpt")
    return open_pretrained(models[0], device=device, precision=precision)


def _without_meshes(recording: RecordConfig, target: float | None) -> RecordConfig:
    """What is recorded where there are no meshes; what needs them is refused."""
    if recording.vertices or recording.obj:
        raise ConfigError("--vertices, --obj: completion has no meshes; it records the film, and boxes in people.npz")
    if target is not None:
        raise ConfigError("--target-fps chooses among networks of meshes; leave it out with --task completion")
    return replace(recording, animation=False)


def shipped_weights(subject: Subject) -> Path:
    """Where the mesh network of a subject that comes with humanpt lies."""
    return Path(__file__).parent.parent / "live" / "weights" / f"mesh-{subject}.safetensors"


def _time_of(recoverer: Recoverer) -> float:
    """Seconds that one crop takes, the median of some trials."""
    crop = np.random.default_rng(0).integers(0, 256, (1, recoverer.image_size, recoverer.image_size, 3), np.uint8)
    camera = assumed_intrinsics(recoverer.image_size, recoverer.image_size)[None]
    spent = []
    for _ in range(2 + TRIALS):
        begun = time.perf_counter()
        recoverer(crop, camera)
        spent.append(time.perf_counter() - begun)
    return float(np.median(spent[2:]))


def _for_source(config: PipelineConfig, origin: Origin, source: Source) -> PipelineConfig:
    """The config with what the source decides."""
    name = source.name if origin.video is None else origin.video.name
    return replace(config, clip=name, separate=config.separate or origin.images is not None)


def _about(recoverer: Recoverer, source: Source, config: PipelineConfig) -> About:
    smoothing = "none" if config.separate else json.dumps(to_dict(config.smooth))
    told = {"network": recoverer.name, "source": source.name, "smoothing": smoothing, "ledger": recoverer.ledger}
    return about_model(recoverer.body.layout, keypoint_names=tuple(recoverer.keypoint_names), **told)


def _summary(
    done: Summary,
    source: Source,
    rates: dict[str, float],
    about: About,
    config: DemoConfig,
    seen: Seen,
) -> dict[str, Any]:
    recorder = seen.recorder
    return {
        "command": "demo",
        "version": __version__,
        "source": source.name,
        "network": about.network,
        "body_model": about.model,
        "licence": about.licence,
        "focal": seen.cameras,
        **asdict(done),
        "rate": done.rate,
        "crops_per_second": rates,
        "damage": source.damage,
        "files": {} if recorder is None else {name: str(path) for name, path in recorder.files.items()},
        "trouble": None if recorder is None else recorder.trouble,
        "config": to_dict(config),
    }


class Seen:
    """The screen, the files and the buttons around a loop.

    Args:
        source: whose pictures they are.
        faces: triangles of each kind of subject.
        drawer: makes what draws, given whether pictures are `mirrored` and have `bars`.
        about: what recorded numbers mean.
        screens: where it is seen, settled.
        recording: what recordings consist of.
        report: told what a person should know.
    """

    def __init__(
        self,
        source: Source,
        faces: Faces,
        drawer: Callable[..., Drawer],
        about: About,
        screens: Screens,
        recording: RecordConfig | None,
        report: Report,
    ) -> None:
        self._source, self._faces, self._about, self._screens, self._report = source, faces, about, screens, report
        self._recording = recording
        self.draw = drawer(mirrored=screens.mirrored, bars=screens.screen == "window")
        self._plain = drawer(mirrored=False, bars=False)
        self.recorder: Recorder | None = None
        self.recordings = Recordings(KEPT, about, recording, note=report.note, film=self._film)
        actions: dict[Action, Callable[[], str]] = {
            "record": self.recordings.record,
            "snapshot": self.recordings.snapshot,
            "mirror": self._mirror,
        }
        self._controls = Controls(actions, self._status)
        self._figures = _Figures(report, source)
        self.sinks: list[Sink] = [self.recordings, self._figures]

    @property
    def cameras(self) -> list[str]:
        """What was said of the cameras' focal lengths."""
        return self._figures.cameras

    def record_into(self, folder: Path) -> None:
        """Record from the first picture on.

        Raises:
            OutputError: if the folder holds a recording, or cannot be written.
        """
        self.recorder = Recorder(folder, self._about, self._recording, self._report)
        self.sinks.append(_Film(self.recorder, self._film))

    def begin(self, stop: Callable[[], None]) -> None:
        """Open the screen; `stop` is asked to end the demo.

        Raises:
            OutputError: if it cannot be opened; the sinks are closed then.
        """
        try:
            if self._screens.screen == "window":
                self.sinks.append(self._window(stop))
            elif self._screens.screen == "page":
                self.sinks.append(self._page())
        except HumanptError:
            for sink in self.sinks:
                sink.close()
            raise

    def _window(self, stop: Callable[[], None]) -> Sink:
        from humanpt.live.window import Window  # OpenCV's windows, for those who have a display

        window = Window(title=f"humanpt demo: {self._source.name}", controls=self._controls, stop=stop)
        self._report.note("q ends the demo, r records, s keeps a snapshot, m mirrors")
        return window

    def _page(self) -> Sink:
        from humanpt.live.serve import PORT, PageServer  # aiohttp takes a moment to load

        serve = partial(
            PageServer,
            faces=self._faces,
            controls=self._controls,
            title=f"humanpt demo: {self._source.name}",
            host=self._screens.host,
        )
        if self._screens.port is not None:
            page = serve(port=self._screens.port)
        else:
            try:
                page = serve(port=PORT)
            except OutputError:
                page = serve(port=0)
        self._report.note(f"open {page.url} in a browser; Ctrl-C ends the demo")
        return page

    def _film(self, view: View, drawn: Rgb) -> Rgb:
        """The picture of a film: never a mirror, and without bars."""
        plain = self._screens.screen == "terminal" and not self.draw.mirrored
        return drawn if plain else self._plain(view)

    def _mirror(self) -> str:
        self.draw.mirrored = not self.draw.mirrored
        return "shown as in a mirror" if self.draw.mirrored else "shown as it is"

    def _status(self) -> Status:
        trouble = None if self.recorder is None else self.recorder.trouble
        recording = self.recordings.recording or (self.recorder is not None and not trouble)
        trouble = self._source.status or trouble
        return Status(source=self._source.name, trouble=trouble, recording=recording, mirrored=self.draw.mirrored)


class _Film:
    """A sink that records what is drawn for films."""

    def __init__(self, recorder: Recorder, film: Callable[[View, Rgb], Rgb]) -> None:
        self._recorder, self._film = recorder, film

    def show(self, view: View, drawn: Rgb) -> None:
        """Record a frame."""
        if not self._recorder.trouble:
            self._recorder.show(view, self._film(view, drawn))

    def close(self) -> None:
        """End the recording."""
        self._recorder.close()


class _Figures:
    """A sink that tells figures in the terminal, and the camera's line once."""

    def __init__(self, report: Report, source: Source) -> None:
        self._report, self._source = report, source
        self._begun = time.perf_counter()
        self._shown = 0
        self.cameras: list[str] = []
        self._told: str | None = None
        report.stage(source.name, source.count, "frame")

    def show(self, view: View, drawn: Rgb) -> None:
        """Count a frame."""
        self._shown += 1
        line = view.shot.camera.line
        if line not in self.cameras and len(self.cameras) < CAMERAS_TOLD:
            self.cameras.append(line)
            self._report.note(line)
        rate = self._shown / max(time.perf_counter() - self._begun, 1e-6)
        milliseconds = {f"{name} ms": 1000 * seconds for name, seconds in view.seconds.items() if name != "total"}
        self._report.advance(1, found=len(view.subjects), fps=rate, **milliseconds)

    def wait(self, status: str | None) -> None:
        """Tell what the source is waiting for, once."""
        if status is not None and status != self._told:
            self._report.note(status)
        self._told = status

    def close(self) -> None:
        """Nothing is held."""
