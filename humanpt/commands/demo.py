"""`humanpt demo`: a camera, a clip or pictures in, meshes on a screen and in files out, as they come.

Screens are a window, a page, or figures in the terminal; the picture is mirrored on screens alone. Recordings are of
the picture as it was taken.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import cv2
import torch

from humanpt import __version__
from humanpt.body.model import Subject
from humanpt.commands.pretrained import Pretrained, open_pretrained
from humanpt.commands.recoverers import check_subject, choose_network
from humanpt.config import override, to_dict
from humanpt.engine.report import Report
from humanpt.engine.runtime import interruptible
from humanpt.errors import ConfigError
from humanpt.live.capture import open_images, open_video, open_webcam
from humanpt.live.completion import CompletionPipeline, LiveCompletionConfig, about_boxes, open_completion
from humanpt.live.draw import Drawer, Faces, faces_of
from humanpt.live.loop import Loop, Summary
from humanpt.live.people_file import About, about_model
from humanpt.live.pipeline import Pipeline, PipelineConfig, open_pipeline
from humanpt.live.recorder import RecordConfig
from humanpt.live.seen import Screens, Seen
from humanpt.live.slide_show import SlideShow
from humanpt.live.source import Source
from humanpt.tasks.mesh_pictures import Recoverer

SHOWN_FOR = 2.0  # seconds for which a screen shows each picture of a folder


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


def run(
    origin: Origin,
    config: DemoConfig,
    changes: Sequence[str],
    models: Sequence[Path],
    screens: Screens,
    report: Report,
    *,
    subject: Subject | None = None,
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
        subject: hands or bodies; None takes what the first of `models` knows, or bodies.
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
    rates = dict[str, float]()
    if task == "completion":
        recording = _without_meshes(recording or RecordConfig(), target)
    elif reference is not None:
        raise ConfigError(f"--reference {reference}: is for --task completion; meshes need none")
    # The source is opened before the network, which takes longer: what is wrong with it is told at once.
    with closing(origin.open(shown=screen != "terminal", loop=not (once or record))) as source:
        config = replace(config, pipeline=_for_source(config.pipeline, origin, source))
        pipeline: CompletionPipeline | Pipeline
        drawer: Callable[..., Drawer]
        if task == "completion":
            pretrained = _pretrained(models, config.precision, device)
            check_subject(pretrained.name, pretrained.subject, subject)
            pipeline, drawer = open_completion(
                pretrained.task,
                pretrained.subject,
                config.pipeline,
                config.completion,
                reference=reference,
                precision=pretrained.precision,
            )
            faces: Faces = {}
            told = {"network": pretrained.name, "source": source.name, "ledger": pretrained.ledger}
            about = about_boxes(pretrained.subject, **told)
        else:
            network, rates = choose_network(models, subject, target, config.precision, device, report)
            pipeline, faces = open_pipeline(network, config.pipeline), faces_of(network.body)
            drawer, about = partial(Drawer, faces), _about(network, source, pipeline.config)
        seen = Seen(source, faces, drawer, about, replace(screens, screen=screen), recording, report)
        loop = Loop(source, pipeline, seen.draw, seen.sinks, drop=source.live or screen != "terminal")
        with interruptible() as interrupt:  # from here on there is a recording, which must end whole
            seen.begin(loop.stop, record)
            try:
                done = loop.run(interrupt)
            except BaseException:
                seen.tell_recorded()
                raise
    return _summary(done, source, rates, about, config, seen, pipeline.follower.left_out)


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
    left_out: int,
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
        "subjects_per_frame": seen.found / max(1, done.shown),
        "most_left_out": left_out,
        "crops_per_second": rates,
        "damage": source.damage,
        "files": {} if recorder is None else {name: str(path) for name, path in recorder.files.items()},
        "trouble": None if recorder is None else recorder.trouble,
        "config": to_dict(config),
    }
