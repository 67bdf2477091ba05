"""Network streams as sources: real ones, served by ffmpeg on this machine."""

import http.server
import threading
from functools import partial

import pytest

from humanpt.errors import InputError
from humanpt.live.capture import open_webcam
from humanpt.live.source import SourceLost
from humanpt.live.stream_source import StreamSource
from tests.clips import read_number, write_clip, write_sound
from tests.engine.processes import free_port
from tests.live.servers import StreamServer


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return write_clip(tmp_path_factory.mktemp("served") / "clip.mp4", range(50))


@pytest.fixture
def serve():
    """Start servers that end with the test."""
    servers = []

    def start(clip, form="mjpeg"):
        servers.append(StreamServer(clip, form))
        servers[-1].start()
        return servers[-1]

    yield start
    for server in servers:
        server.kill()


@pytest.mark.parametrize("form", ["mjpeg", "h264"])
def test_a_stream_gives_its_pictures_in_their_order(clip, serve, form):
    source = open_webcam(serve(clip, form).url)
    assert source.live
    assert source.rate == 25
    shots = source.shots()
    found = [next(shots) for _ in range(10)]
    shots.close()
    first = read_number(found[0].picture)
    assert [read_number(shot.picture) for shot in found] == [(first + step) % 50 for step in range(10)]
    assert [shot.number for shot in found] == list(range(10))
    assert found[0].timestamp == 0
    assert found[0].camera.line.startswith("focal length 128 px, assumed")


def test_a_stream_whose_server_dies_is_taken_up_again_when_it_is_back(clip, serve):
    server = serve(clip)
    source = open_webcam(server.url, patience=60)
    shots = source.shots()
    before = [next(shots) for _ in range(3)]
    server.kill()
    restart = threading.Timer(0.3, server.start)
    restart.start()
    after = []
    while not source.damage:  # pictures that were on their way still come
        after.append(next(shots))
    restart.join()
    shots.close()
    assert all(0 <= read_number(shot.picture) < 50 for shot in after)
    assert [shot.number for shot in before + after] == list(range(3 + len(after)))
    assert source.damage[0].startswith("no picture for")
    assert source.status is None


def test_a_stream_whose_server_stays_away_is_lost_with_one_line(clip, serve):
    server = serve(clip)
    source = open_webcam(server.url, patience=0.2)
    shots = source.shots()
    next(shots)
    server.kill()
    with pytest.raises(SourceLost, match=r"no picture for .* s \(.*\); check that the server runs") as lost:
        list(shots)
    assert "\n" not in str(lost.value)


def test_a_server_that_hangs_counts_as_gone(clip, serve, monkeypatch):
    monkeypatch.setattr("humanpt.live.stream_source.OPENING", 0.2)
    monkeypatch.setattr("humanpt.live.stream_source.READING", 0.2)
    server = serve(clip)
    source = open_webcam(server.url, patience=0.2)
    shots = source.shots()
    next(shots)
    server.freeze()
    with pytest.raises(SourceLost):
        list(shots)


def test_no_server_is_one_line_that_shows_no_password():
    port = free_port()
    with pytest.raises(InputError) as refusal:
        open_webcam(f"rtsp://me:secret@127.0.0.1:{port}/live@home?channel=1&password=secret")
    assert "secret" not in str(refusal.value)
    assert str(refusal.value).startswith(f"rtsp://127.0.0.1:{port}/live@home: no stream (")
    assert "Connection refused" in str(refusal.value)


def test_a_server_that_never_answers_is_given_up(monkeypatch):
    monkeypatch.setattr("humanpt.live.stream_source.OPENING", 0.2)
    with pytest.raises(InputError, match="no answer in time"):
        StreamSource(f"udp://127.0.0.1:{free_port()}", focal=None, patience=1)


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *words):
        pass


@pytest.fixture
def shelf(clip):
    """The address of a server of files: the clip, and a sound beside it."""
    write_sound(clip.parent / "sound.mp4")
    handler = partial(Quiet, directory=str(clip.parent))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("clip.mp4", r"clip\.mp4: a file, not a live stream; download it"),
        ("sound.mp4", r"sound\.mp4: no video in this stream"),
        ("other.mp4", "404"),
    ],
)
def test_what_is_no_stream_is_one_line(shelf, name, line):
    with pytest.raises(InputError, match=line) as refusal:
        open_webcam(f"{shelf}/{name}")
    assert "\n" not in str(refusal.value)


def test_what_is_no_address_is_one_line_that_does_not_repeat_it():
    with pytest.raises(InputError, match="cannot be read; check its brackets") as refusal:
        open_webcam("http://me:secret@[::1/stream")
    assert "secret" not in str(refusal.value)
