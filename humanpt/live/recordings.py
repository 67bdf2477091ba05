"""Recording and snapshots by the buttons of a page or the keys of a window, while the demo goes on."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from humanpt.data.image import Rgb
from humanpt.engine.report import Silent
from humanpt.errors import InputError
from humanpt.files import exists
from humanpt.live.people_file import About
from humanpt.live.recorder import RecordConfig, Recorder, save_snapshot
from humanpt.live.shot import View


class Recordings:
    """A sink that records when asked to, each time into a folder of its own.

    `show` belongs to the loop's thread; all else may be called by any. Files are made whole in a thread of its own, so
    that nothing waits for them but `close`.

    Args:
        folder: where recordings (`recording-1`, `recording-2`, ...) and snapshots go; made when first needed.
        about: what the numbers mean.
        config: what is written.
        note: takes the lines of what went wrong or cannot be made, from any thread.
        film: gives the picture of the film for a view and what is drawn of it for the screen. It is not to be mirrored,
            so whoever shows a mirror draws again here.
    """

    def __init__(
        self,
        folder: Path,
        about: About,
        config: RecordConfig | None = None,
        *,
        note: Callable[[str], None] = lambda line: None,
        film: Callable[[View, Rgb], Rgb] = lambda view, drawn: drawn,
    ) -> None:
        self.folder = folder
        self._about, self._config, self._film = about, config or RecordConfig(), film
        self._report = _Lines(note)
        self._lock = threading.Lock()
        self._recorder: Recorder | None = None
        self._broken: Callable[[], None] = lambda: None
        self._closed = False
        self.trouble: str | None = None
        """Why the last recording stopped before its end, one line."""
        self._newest: tuple[View, Rgb] | None = None
        self._ending: list[threading.Thread] = []

    @property
    def recording(self) -> bool:
        """Whether a recording is being made."""
        return self._recorder is not None

    def begin(self, recorder: Recorder, broken: Callable[[], None] = lambda: None) -> None:
        """Take over a recording that was begun elsewhere, before anything is shown.

        Args:
            recorder: writes it.
            broken: called when it has to stop before its end, as on a full disk.
        """
        self._recorder, self._broken = recorder, broken

    def show(self, view: View, drawn: Rgb) -> None:
        """Take a frame; see `Recorder.show`."""
        self._newest = view, drawn
        recorder = self._recorder
        if recorder is not None:
            recorder.show(view, self._film(view, drawn))
            if recorder.trouble:
                self.trouble = recorder.trouble
                self._end(recorder)
                self._broken()

    def record(self) -> str:
        """Begin a recording, or end the one that goes on; a line about it.

        Raises:
            InputError: if the demo is ending.
            OutputError: if the folder cannot be written.
        """
        with self._lock:
            recorder = self._recorder
            if self._closed:
                raise InputError("the demo is ending; nothing is recorded any more")
            if recorder is None:
                self.trouble = None
                self._recorder = Recorder(self._next_folder(), self._about, self._config, self._report)
                return f"recording into {self._recorder.folder}"
        self._end(recorder)
        return f"{recorder.frames} pictures recorded into {recorder.folder}"

    def snapshot(self) -> str:
        """Keep the newest picture, its numbers and meshes; a line about it.

        Raises:
            InputError: if there is no picture yet.
            OutputError: if the folder cannot be written.
        """
        if self._newest is None:
            raise InputError("there is no picture to keep yet; wait for the first one")
        view, drawn = self._newest
        files = save_snapshot(self.folder, view, self._film(view, drawn), self._about)
        return f"{', '.join(files)} in {self.folder}"

    def close(self) -> None:
        """End the recording that goes on, if any, and wait until all files are whole."""
        with self._lock:
            recorder, self._recorder, self._closed = self._recorder, None, True
        if recorder is not None:
            recorder.close()  # here, where a second Ctrl-C can end it
        for thread in self._ending:
            thread.join()

    def _end(self, recorder: Recorder) -> None:
        """Let a thread finish a recording, if no other call has it do so already."""
        with self._lock:
            if self._recorder is not recorder:
                return
            self._recorder = None
            thread = threading.Thread(target=recorder.close, name="finish recording")
            self._ending = [*(one for one in self._ending if one.is_alive()), thread]
            thread.start()

    def _next_folder(self) -> Path:
        number = 1
        while exists(self.folder / f"recording-{number}"):
            number += 1
        return self.folder / f"recording-{number}"


class _Lines(Silent):
    """A report of which only the notes are wanted."""

    def __init__(self, note: Callable[[str], None]) -> None:
        self._note = note

    def note(self, text: str) -> None:
        """Pass a line on."""
        self._note(text)
