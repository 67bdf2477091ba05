"""What is around the loop: the screen, the files, the buttons, and the figures in the terminal."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from humanpt.data.image import Rgb
from humanpt.engine.report import Report
from humanpt.errors import HumanptError, OutputError
from humanpt.live.controls import Action, Controls, Status
from humanpt.live.draw import Drawer, Faces
from humanpt.live.loop import Sink
from humanpt.live.people_file import About
from humanpt.live.people_spool import unfinished
from humanpt.live.recorder import RecordConfig, Recorder
from humanpt.live.recordings import Recordings
from humanpt.live.shot import View
from humanpt.live.source import Source

Screen = Literal["auto", "window", "page", "terminal"]
CAMERAS_TOLD = 3  # lines about focal lengths; a folder may have as many cameras as pictures
KEPT = Path("demo")
"""Where buttons put recordings and snapshots."""


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
        self._drawer = drawer(mirrored=screens.mirrored, bars=screens.screen == "window")
        self._plain = drawer(mirrored=False, bars=False)
        self._drawing = threading.Lock()  # films are drawn by the loop's thread, snapshots by those of screens
        self._for_films: Rgb | None = None  # the picture drawn last, if films may have it as it is
        self.recorder: Recorder | None = None
        self.recordings = Recordings(KEPT, about, recording, note=report.note, film=self._film)
        actions: dict[Action, Callable[[], str]] = {
            "record": self.recordings.record,
            "snapshot": self.recordings.snapshot,
            "mirror": self._mirror,
        }
        self._controls = Controls(actions, self._status)
        self._figures = FigureSink(report, source)
        self.sinks: list[Sink] = [self.recordings, self._figures]

    @property
    def found(self) -> int:
        """Subjects of all frames together."""
        return self._figures.found

    @property
    def cameras(self) -> list[str]:
        """What was said of the cameras' focal lengths."""
        return self._figures.cameras

    def begin(self, stop: Callable[[], None], record: Path | None = None) -> None:
        """Open the screen, then the recording: a screen that cannot be opened leaves none behind.

        Args:
            stop: asked to end the demo.
            record: folder of a recording that begins with the first picture; None for none.

        Raises:
            OutputError: if the screen cannot be opened, or the folder holds a recording or cannot be written.
        """
        screens = self._opened(stop)
        try:
            if record is not None:
                self.recorder = Recorder(record, self._about, self._recording, self._report)
                alone = self._screens.screen == "terminal"  # and nothing to go on for when no more can be recorded
                self.recordings.begin(self.recorder, stop if alone else lambda: None)
        except HumanptError:
            for sink in (*self.sinks, *screens):
                sink.close()
            raise
        self.sinks.extend(screens)

    def tell_recorded(self) -> None:
        """After an error: say where the recording is."""
        if self.recorder is None:
            return
        if self.recorder.files:
            self._report.note("recorded before that: " + ", ".join(map(str, self.recorder.files.values())))
        elif unfinished(self.recorder.folder).exists():
            folder = self.recorder.folder
            self._report.note(f"{folder}: its files are not made yet; make them: humanpt demo --finish {folder}")

    def _opened(self, stop: Callable[[], None]) -> list[Sink]:
        """The screen, if there is one."""
        if self._screens.screen == "window":
            return [self._window(stop)]
        return [self._page()] if self._screens.screen == "page" else []

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

    def draw(self, view: View) -> Rgb:
        """Draw a view as screens show it, (H, W, 3)."""
        with self._drawing:
            drawn = self._drawer(view)
            plain = self._screens.screen != "window" and not self._drawer.mirrored
            self._for_films = drawn if plain else None
            return drawn

    def _film(self, view: View, drawn: Rgb) -> Rgb:
        """The picture of a film: never a mirror, and without bars."""
        with self._drawing:
            return drawn if drawn is self._for_films else self._plain(view)

    def _mirror(self) -> str:
        with self._drawing:
            self._drawer.mirrored = not self._drawer.mirrored
        return "shown as in a mirror" if self._drawer.mirrored else "shown as it is"

    def _status(self) -> Status:
        return Status(
            source=self._source.name,
            trouble=self._source.status or self.recordings.trouble,
            recording=self.recordings.recording,
            mirrored=self._drawer.mirrored,
        )


class FigureSink:
    """A sink that tells figures in the terminal, and the camera's line once."""

    def __init__(self, report: Report, source: Source) -> None:
        self._report, self._source = report, source
        self._begun = time.perf_counter()
        self._shown = 0
        self.found = 0
        """Subjects of all frames together."""
        self.cameras: list[str] = []
        self._told: str | None = None
        report.stage(source.name, source.count, "frame")

    def show(self, view: View, drawn: Rgb) -> None:
        """Count a frame."""
        self._shown += 1
        self.found += len(view.subjects)
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
