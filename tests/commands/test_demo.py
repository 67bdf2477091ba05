"""The demo as a command: sources in, screens and files out, with the networks that come with humanpt."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
import urllib.request
from itertools import islice
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

import humanpt
from humanpt.cli.app import app
from humanpt.commands import demo as command
from humanpt.commands.recoverers import choose_network, shipped_weights
from humanpt.engine.report import Silent
from humanpt.errors import ConfigError, OutputError
from humanpt.live.people_spool import read_people
from tests.commands.results import done, one_line_error

HAND_CLIP = Path(__file__).parents[2] / "examples" / "clips" / "hand" / "human_hand_video.mp4"
FRAMES = 24


def demo(*words):
    return CliRunner().invoke(app, ["demo", *map(str, words)])


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """The first moments of the shipped clip of a hand, small."""
    path = tmp_path_factory.mktemp("clip") / "hand.mp4"
    with av.open(str(HAND_CLIP)) as source, av.open(str(path), "w") as copy:
        stream = copy.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 480, 270, "yuv420p"
        for number, frame in enumerate(source.decode(video=0)):
            if number == FRAMES:
                break
            picture = cv2.resize(frame.to_ndarray(format="rgb24"), (480, 270), interpolation=cv2.INTER_AREA)
            copy.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        copy.mux(stream.encode(None))
    return path


@pytest.fixture(scope="module")
def recorded(clip, tmp_path_factory):
    out = tmp_path_factory.mktemp("recorded") / "out"
    return done(demo("--video", clip, "--hand", "--record", out, "--mirror", "--obj", "--focal", 400, "--json")), out


def test_a_recording_holds_every_frame_and_says_what_it_is(recorded):
    summary, out = recorded
    assert summary["shown"] == summary["captured"] == FRAMES
    assert summary["dropped"] == 0
    assert summary["stopped_by"] == "end"
    assert summary["focal"] == ["focal length 400 px, given"]
    assert {"overlay.mp4", "people.npz", "animation.glb"} <= set(summary["files"])
    people = read_people(out)
    assert people.about.model == "anny-hand"
    assert people.about.source == "hand.mp4"
    assert people.about.network == f"mesh-hand of humanpt {humanpt.__version__}"
    assert people.about.ledger["about"]["dataset"] == "generated"
    assert "one-euro" in people.about.smoothing
    longest = max(people.tracks(), key=lambda track: len(track.seen))
    assert len(longest.seen) > 0.8 * FRAMES


def test_the_hand_of_the_clip_is_found_where_it_is(recorded):
    """It is held up in the middle of the right half of the picture, all the time."""
    people = read_people(recorded[1])
    longest = max(people.tracks(), key=lambda track: len(track.seen))
    pixels = people.pixels[people.identity == longest.identity]
    middle = np.median(pixels.reshape(-1, 2), axis=0)
    assert 250 < middle[0] < 330
    assert 50 < middle[1] < 150


def test_films_are_never_mirrored_and_numbers_neither(recorded, clip):
    """The film differs from the clip where the mesh is drawn, and a mirrored one would everywhere."""
    summary, _ = recorded
    with av.open(str(clip)) as plain, av.open(summary["files"]["overlay.mp4"]) as film:
        first, drawn = (next(one.decode(video=0)).to_ndarray(format="rgb24").astype(int) for one in (plain, film))
    left = np.s_[:200, :180]  # nothing is drawn there
    assert np.abs(first[left] - drawn[left]).mean() < 6
    assert np.abs(first[left] - drawn[:, ::-1][left]).mean() > 10


def test_pictures_of_a_folder_stand_for_themselves(clip, tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    with av.open(str(clip)) as source:
        picture = next(source.decode(video=0)).to_ndarray(format="bgr24")
    for name in ("a.png", "b.png"):
        cv2.imwrite(str(folder / name), picture)
    (folder / "c.png").write_bytes(b"no picture")
    summary = done(demo("--images", folder, "--hand", "--record", tmp_path / "out", "--json"))
    assert summary["shown"] == 2
    assert any("c.png" in line for line in summary["damage"])
    people = read_people(tmp_path / "out")
    assert people.about.smoothing == "none"
    assert list(people.picture) == ["a.png", "b.png"]
    rows = [people.keypoints[people.frame == number] for number in (0, 1)]
    assert len(rows[0]) > 0
    np.testing.assert_array_equal(*rows)
    assert "animation.glb" not in summary["files"]


def test_a_benchmark_wants_more_frames_than_warm_up(clip, tmp_path):
    with av.open(str(clip)) as source, av.open(str(tmp_path / "short.mp4"), "w") as copy:
        stream = copy.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 480, 270, "yuv420p"
        for frame in islice(source.decode(video=0), 11):
            copy.mux(stream.encode(frame))
        copy.mux(stream.encode(None))
    one_line_error(demo("--benchmark", tmp_path / "short.mp4", "--hand"), "fewer than 12 frames")


def test_who_was_not_found_or_not_followed_is_told(tmp_path):
    cv2.imwrite(str(tmp_path / "grey.png"), np.full((120, 160, 3), 90, np.uint8))
    words = ["--images", tmp_path, "--hand", "--terminal"]
    result = demo(*words)
    assert result.exit_code == 0
    assert "nobody was found" in result.stdout
    (tmp_path / "boxes.csv").write_text("frame,x1,y1,x2,y2\n0,10,10,50,90\n0,80,10,120,90\n")
    many = ["--detector", f"boxes:{tmp_path / 'boxes.csv'}", "--set", "pipeline.follow.max_people=1"]
    result = demo(*words, *many)
    assert "at most 1 followed at once, up to 1 more seen" in result.stdout
    assert "max_people=2" in result.stdout


def test_a_benchmark_tells_every_stage_and_two_ratios(clip):
    measured = done(demo("--benchmark", clip, "--hand", "--json"))
    assert measured["frames"] == FRAMES - 10
    assert {"detect", "network", "smooth", "draw", "capture", "total"} <= measured["stages"].keys()
    for spread in measured["stages"].values():
        assert 0 <= spread["p50"] <= spread["p95"]
    assert measured["over_parts"] > 1
    assert measured["overlapped"]["frames_per_second"] > 0
    assert measured["overlapped"]["over_parts"] > 0
    assert measured["against_eager"] > 0
    assert measured["width"], measured["height"] == (480, 270)


def test_the_first_network_that_keeps_a_rate_is_taken():
    network = shipped_weights("hand")
    said = []

    class Report(Silent):
        def note(self, text):
            said.append(text)

    taken, rates = choose_network([network, network], "hand", 0.1, "fp32", "cpu", Report())
    assert taken.name.startswith("mesh-hand of humanpt")
    assert len(rates) == 1
    _, rates = choose_network([network], "hand", 1e9, "fp32", "cpu", Report())
    assert "no network keeps" in said[-1]
    _, rates = choose_network([network], "hand", None, "fp32", "cpu", Report())
    assert rates == {}


def test_options_that_stand_alone_take_their_usual_value(monkeypatch):
    seen = []
    monkeypatch.setattr(command, "run", lambda *given, **named: seen.append((given, named)) or {"command": "demo"})
    for words in (
        ["--webcam", "--serve", "--json"],
        ["--json", "--serve", "8123", "--webcam", "rtsp://a/b"],
        ["--json"],
    ):
        demo(*words)
    origins = [given[0].webcam for given, _ in seen]
    screens = [given[4] for given, _ in seen]
    assert origins == ["0", "rtsp://a/b", "0"]
    assert [screen.screen for screen in screens] == ["page", "page", "auto"]
    assert [screen.port for screen in screens] == [None, 8123, None]
    assert [screen.mirrored for screen in screens] == [True, False, True]


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["--webcam", "97"], ["camera 97"]),
        (["--video", "nowhere.mp4"], ["nowhere.mp4: no such file"]),
        (["--video", HAND_CLIP, "--images", "."], ["one of --webcam, --video and --images"]),
        (["--video", HAND_CLIP, "--model", "nowhere"], ["nowhere"]),
        (["--video", HAND_CLIP, "--serve", "70000"], ["70000", "port"]),
        (["--video", HAND_CLIP, "--focal", "-1"], ["focal length"]),
        (["--video", HAND_CLIP, "--detector", "outo", "--terminal"], ["did you mean auto"]),
        (["--finish", "nowhere"], ["nowhere: no unfinished recording"]),
        (["--video", HAND_CLIP, "--body", "--model", shipped_weights("hand")], ["--body", "knows hands"]),
        (["--video", HAND_CLIP, "--model", "a", "--model", "b"], ["--target-fps"]),
    ],
)
def test_what_cannot_work_is_one_line(words, parts):
    one_line_error(demo(*words), *parts)


@pytest.mark.parametrize(
    ("words", "idle"),
    [
        (["--finish", "a", "--video", "b"], "--video has no effect beside --finish"),
        (["--benchmark", "a", "--record", "b"], "--record has no effect beside --benchmark"),
        (["--webcam", "--once"], "--once has no effect beside --webcam"),
        (["--terminal", "--serve"], "--serve has no effect beside --terminal"),
        (["--terminal", "--no-mirror"], "--mirror has no effect beside --terminal"),
        (["--task", "completion", "--smooth", "none"], "--smooth has no effect beside --task completion"),
    ],
)
def test_options_that_would_go_unheard_are_refused(words, idle):
    one_line_error(demo(*words), idle)


def test_a_folder_of_folders_names_one_that_works(tmp_path):
    (tmp_path / "frames" / "one").mkdir(parents=True)
    cv2.imwrite(str(tmp_path / "frames" / "one" / "0.png"), np.zeros((32, 32, 3), np.uint8))
    for option in ("--video", "--images"):
        one_line_error(demo(option, tmp_path), f"such as {tmp_path / 'frames' / 'one'}")


def test_the_network_tells_whose_it_is():
    taken, _ = choose_network([shipped_weights("hand")], None, None, "fp32", "cpu", Silent())
    assert taken.subject == "hand"
    taken, _ = choose_network([], None, None, "fp32", "cpu", Silent())
    assert taken.subject == "body"


def test_a_folder_with_a_recording_is_refused_and_stays(recorded, clip):
    summary, out = recorded
    before = Path(summary["files"]["people.npz"]).read_bytes()
    one_line_error(demo("--video", clip, "--hand", "--record", out), "recording already")
    assert Path(summary["files"]["people.npz"]).read_bytes() == before


def test_a_full_disk_ends_the_command_with_what_to_do(clip, tmp_path):
    out = tmp_path / "out"
    words = ["--video", clip, "--hand", "--record", out, "--vertices", "--json"]
    process = subprocess.run(
        [sys.executable, "-m", "humanpt", "demo", *map(str, words)],
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY)),
    )
    assert process.returncode == 2, process.stderr
    summary = json.loads(process.stdout)
    assert "recording stopped after" in summary["trouble"]
    assert f"humanpt demo --finish {out}" in summary["trouble"]
    assert summary["stopped_by"] == "stop"  # nobody looks, so there is nothing to go on for
    finished = done(demo("--finish", out, "--json"))
    assert len(read_people(out).timestamp) > 0
    assert set(finished["files"]) >= {"people.npz", "overlay.mp4"}


def test_a_port_in_use_is_one_line_unless_nobody_asked_for_it(clip, tmp_path, monkeypatch):
    from humanpt.live import serve

    other = serve.PageServer(faces={}, controls=serve.Controls({}, lambda: None), port=0)
    try:
        words = ("--video", clip, "--hand", "--serve", other.port, "--record", tmp_path / "out")
        one_line_error(demo(*words), f"127.0.0.1:{other.port}")
        assert not (tmp_path / "out").exists()
        monkeypatch.setattr(serve, "PORT", other.port)
        with pytest.raises(OutputError):
            serve.PageServer(faces={}, controls=serve.Controls({}, lambda: None), port=other.port)
        summary = done(demo("--video", clip, "--hand", "--serve", "--once", "--json"))
        assert summary["shown"] > 0
    finally:
        other.close()


@pytest.mark.parametrize("written", ["about.json", "timestamp.npy"], ids=["as it is opened", "with its first picture"])
def test_ctrl_c_ends_a_recording_whole_and_the_page_is_there_meanwhile(tmp_path, written):
    words = ["--video", HAND_CLIP, "--hand", "--record", tmp_path / "out", "--serve", "0", "--json"]
    process = subprocess.Popen(
        [sys.executable, "-m", "humanpt", "demo", *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1", "COLUMNS": "200"},
    )
    told = ""
    for line in process.stderr:
        told += line
        if "http://127.0.0.1:" in line:
            break
    address = "http://127.0.0.1:" + told.split("http://127.0.0.1:")[1].split()[0].split("/")[0]
    with urllib.request.urlopen(address, timeout=60) as page:
        assert b"humanpt demo" in page.read()
    columns = tmp_path / "out" / "unfinished"
    first = columns / "people" / written
    deadline = time.monotonic() + 120
    while not (first.exists() and first.stat().st_size):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    summary = json.loads(out)
    assert summary["stopped_by"] == "SIGINT"
    assert not columns.exists()
    if summary["shown"] or written == "timestamp.npy":
        assert len(read_people(tmp_path / "out").timestamp) == summary["shown"]
    else:
        assert not (tmp_path / "out").exists()


def test_settings_that_cannot_be_are_refused():
    with pytest.raises(ConfigError, match="threads"):
        command.DemoConfig(threads=0)
    with pytest.raises(ConfigError, match="one of"):
        command.Origin()
