"""Streams served on this machine by ffmpeg."""

import signal
import socket
import subprocess

import pytest

from tests.engine.processes import free_port

FORMS = {
    "mjpeg": ["-c:v", "mjpeg", "-q:v", "3", "-f", "mpjpeg"],
    "h264": ["-c:v", "libx264", "-preset", "ultrafast", "-g", "5", "-f", "mpegts"],
}


class StreamServer:
    """Serves a clip over and over, at its own pace, to one viewer at a time."""

    def __init__(self, clip, form):
        imageio_ffmpeg = pytest.importorskip("imageio_ffmpeg", reason="needs ffmpeg: pip install imageio-ffmpeg")
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/"
        self._words = [imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error", "-re", "-stream_loop", "-1"]
        self._words += ["-i", str(clip), *FORMS[form], "-listen", "1", self.url]
        self._process = None

    def start(self):
        """Start and wait until it listens."""
        self._process = subprocess.Popen(self._words, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while not self._listens():
            assert self._process.poll() is None, "ffmpeg ended"

    def _listens(self):
        """Whether the port is taken; connecting would use up the one viewer that ffmpeg serves."""
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", self.port))
            except OSError:
                return True
        return False

    def freeze(self):
        """Let it hang, with its connections open."""
        self._process.send_signal(signal.SIGSTOP)

    def kill(self):
        """End it at once, as when a cable is pulled."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
