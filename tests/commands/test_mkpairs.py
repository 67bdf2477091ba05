"""`humanpt mkpairs` on made clips: what it writes, what it refuses, and that interruptions change nothing."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from typer.testing import CliRunner

from humanpt.cli.app import app
from humanpt.commands import mkpairs as command
from humanpt.commands.from_clips import ClipMaker
from humanpt.config import override
from humanpt.data.harvest import HarvestConfig
from humanpt.data.image import encode_jpeg
from humanpt.data.shards import PairSet, ShardReader
from humanpt.engine.report import Silent
from tests.clips import write_sound
from tests.commands.results import one_line_error
from tests.scenes import figure_box, figure_clip, figure_frames

ROOT = Path(__file__).parents[2]
# Painted figures are nobody to a network that finds people, so what moves is looked for.
QUICK = ["--detector", "motion", "--workers", "1", "--set", "pairs.min_size=48", "--set", "pairs.min_motion=0.02"]

EASY = ["--set", "pairs.min_motion=0.002", "--set", "pairs.novelty=0"]  # the figure is a small part of a whole frame


def mkpairs(*words):
    return CliRunner().invoke(app, ["mkpairs", *QUICK, *map(str, words)])


def digests(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.glob("*.h5")}


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """A folder of three clips with somebody in them and one without."""
    folder = tmp_path_factory.mktemp("videos")
    for k in range(3):
        figure_clip(folder / f"walk{k}.mp4", seed=k)
    figure_clip(folder / "empty.mp4", still=True)
    return folder


@pytest.fixture(scope="module")
def made(clips, tmp_path_factory):
    """The folder and summary of one run over those clips."""
    out = tmp_path_factory.mktemp("made") / "pairs"
    result = mkpairs(clips, "--out", out, "--json", "--source-licence", "CC0")
    assert result.exit_code == 0, result.output
    return out, json.loads(result.stdout)


def test_every_clip_with_somebody_gives_pairs(made):
    out, summary = made
    per_part = {clip["name"]: clip["pairs"] for clip in summary["per_part"]}
    assert per_part.pop("empty.mp4") == 0
    assert len(per_part) == 3
    assert min(per_part.values()) > 3
    assert summary["pairs"] == sum(per_part.values()) == len(PairSet.open([out]))
    assert summary["frames"] == 4 * 60


def test_the_record_is_complete(made):
    out, _ = made
    reader = ShardReader(out / "pairs-00000.h5")
    assert reader.sources[0].licence == "CC0"
    assert reader.sources[0].frames == 60
    for row in range(len(reader)):
        record = reader.record(row)
        assert record.image1.frame != record.image2.frame
        assert 0.1 <= abs(record.image1.timestamp - record.image2.timestamp) <= 3
        assert 0.02 <= record.change <= 0.6
        for image in (record.image1, record.image2):
            assert image.mask_kind == "motion"
            assert image.mask.any()
            inside = np.array(image.square) - np.array(image.box)
            assert (inside[:2] <= 0).all()
            assert (inside[2:] >= 0).all()


def test_boxes_of_moving_figures_hold_the_figure(made):
    out, _ = made
    reader = ShardReader(out / "pairs-00000.h5")
    overlaps = []
    for row in range(len(reader)):
        image = reader.record(row).image1
        truth, box = np.array(figure_box(image.frame)), np.array(image.box)
        shared = np.prod(np.maximum(0, np.minimum(truth[2:], box[2:]) - np.maximum(truth[:2], box[:2])))
        overlaps.append(shared / (np.prod(truth[2:] - truth[:2]) + np.prod(box[2:] - box[:2]) - shared))
    assert np.median(overlaps) > 0.5


def test_the_preview_opens_offline(made):
    out, summary = made
    page = (out / "preview.html").read_text()
    assert page.count("data:image/jpeg;base64,") == 2 * min(24, summary["pairs"])
    assert 'src="http' not in page
    assert "walk1.mp4" in page
    assert "<svg" in page


def test_the_number_of_workers_changes_nothing(made, clips, tmp_path):
    result = mkpairs(clips, "--out", tmp_path / "pairs", "--workers", "3", "--source-licence", "CC0")
    assert result.exit_code == 0
    assert digests(tmp_path / "pairs") == digests(made[0])


def test_another_seed_draws_other_pairs(made, clips, tmp_path):
    mkpairs(clips, "--out", tmp_path / "pairs", "--seed", "1", "--source-licence", "CC0")
    assert digests(tmp_path / "pairs") != digests(made[0])


def test_small_groups_make_several_shards_of_the_same_pairs(made, clips, tmp_path):
    harvest = override(HarvestConfig(detector="motion"), [word for word in QUICK if "=" in word])
    config = command.MkpairsConfig(shard_bytes=1)
    summary = command.run(ClipMaker(inputs=[clips], config=harvest), tmp_path / "pairs", config, Silent())
    assert len(summary["shards"]) == 3
    assert len(PairSet.open([tmp_path / "pairs"])) == len(PairSet.open([made[0]]))


def test_a_picture_in_several_pairs_is_stored_once(made):
    reader = ShardReader(made[0] / "pairs-00000.h5")
    places = {(source, frame, track): set() for source, frame, track in moments(reader)}
    for key, place in zip(moments(reader), reader.column("jpeg_offset").ravel().tolist(), strict=True):
        places[key].add(place)
    assert len(places) < 2 * len(reader)
    assert all(len(stored) == 1 for stored in places.values())


def moments(reader):
    """Source, frame and track of every picture of a shard, in row order."""
    sources, frames = reader.column("source").ravel().tolist(), reader.frames.ravel().tolist()
    return list(zip(sources, frames, np.repeat(reader.tracks, 2).tolist(), strict=True))


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_an_interrupted_run_resumes_to_the_same_bytes(made, clips, tmp_path, how):
    out = tmp_path / "pairs"
    words = [sys.executable, "-m", "humanpt", "mkpairs", clips, "--out", out, *QUICK, "--source-licence", "CC0"]
    with subprocess.Popen(words, stderr=subprocess.PIPE, cwd=ROOT) as process:
        until = time.monotonic() + 60
        while not list((out / ".mkpairs").glob("0*.json")) and time.monotonic() < until:
            time.sleep(0.01)
        process.send_signal(how)
        _, said = process.communicate(timeout=60)
    if how == signal.SIGINT:
        assert process.returncode == 130
        assert b"--resume goes on from here" in said
    assert not (out / "summary.json").exists()
    one_line_error(mkpairs(clips, "--out", out, "--source-licence", "CC0"), "is not empty", "--resume")
    one_line_error(mkpairs(clips, "--out", out, "--resume"), "begun with other settings")
    assert mkpairs(clips, "--out", out, "--resume", "--source-licence", "CC0").exit_code == 0
    assert digests(out) == digests(made[0])
    assert not (out / ".mkpairs").exists()
    one_line_error(mkpairs(clips, "--out", out, "--resume", "--source-licence", "CC0"), "nothing to resume")


def test_resume_and_overwrite_exclude_each_other(clips, tmp_path):
    one_line_error(mkpairs(clips / "walk0.mp4", "--out", tmp_path, "--resume", "--overwrite"), "one of them")


def test_ctrl_c_at_a_terminal_reaches_every_process_and_ends_without_a_traceback(clips, tmp_path):
    """A terminal sends Ctrl-C to the whole group, also while the first worker is being started."""
    for delay in (0.3, 0.8, 1.3):
        out = tmp_path / f"pairs{delay}"
        words = [sys.executable, "-m", "humanpt", "mkpairs", clips, "--out", out, *QUICK]
        with subprocess.Popen(words, stderr=subprocess.PIPE, cwd=ROOT, start_new_session=True) as process:
            until = time.monotonic() + 60
            while not (out / ".mkpairs" / "plan.json").exists() and time.monotonic() < until:
                time.sleep(0.01)
            time.sleep(delay)
            os.killpg(process.pid, signal.SIGINT)
            _, said = process.communicate(timeout=60)
        assert b"Traceback" not in said, said.decode()
        assert process.returncode in (0, 130)


def test_a_changed_boxes_file_does_not_resume(clips, tmp_path):
    boxes, out = tmp_path / "boxes.csv", tmp_path / "pairs"
    boxes.write_text("frame,x1,y1,x2,y2\n0,1,1,90,90\n")
    words = (clips / "walk0.mp4", "--out", out, "--detector", f"boxes:{boxes}")
    mkpairs(*words)
    plan = {"version": "0", "settings": {}, "detector": "0", "clips": []}
    (out / ".mkpairs").mkdir(exist_ok=True)
    (out / ".mkpairs" / "plan.json").write_text(json.dumps(plan))
    one_line_error(mkpairs(*words, "--resume"), "begun with other")
    (out / ".mkpairs" / "plan.json").write_text("{")
    one_line_error(mkpairs(*words, "--resume"), "plan.json", "damaged")


def test_overwrite_starts_again_but_spares_what_it_did_not_write(clips, tmp_path):
    out = tmp_path / "pairs"
    assert mkpairs(clips / "walk0.mp4", "--out", out).exit_code == 0
    one_line_error(mkpairs(clips / "walk1.mp4", "--out", out), "is not empty")
    assert mkpairs(clips / "walk1.mp4", "--out", out, "--overwrite").exit_code == 0
    assert ShardReader(out / "pairs-00000.h5").sources[0].path == "walk1.mp4"
    (out / "thesis.tex").write_text("mine")
    one_line_error(mkpairs(clips / "walk0.mp4", "--out", out, "--overwrite"), "thesis.tex")
    assert (out / "thesis.tex").read_text() == "mine"


def test_overwrite_loses_nothing_when_no_clip_can_be_read(clips, tmp_path):
    out = tmp_path / "pairs"
    assert mkpairs(clips / "walk0.mp4", "--out", out).exit_code == 0
    before = digests(out)
    (tmp_path / "text.mp4").write_text("I am no video")
    one_line_error(mkpairs(tmp_path / "text.mp4", "--out", out, "--overwrite"), "text.mp4")
    assert digests(out) == before


def test_bad_clips_cost_themselves_alone(clips, tmp_path):
    folder = tmp_path / "videos"
    folder.mkdir()
    (folder / "walk.mp4").write_bytes((clips / "walk0.mp4").read_bytes())
    (folder / "text.mp4").write_text("I am no video")
    (folder / "zero.mp4").write_bytes(b"")
    write_sound(folder / "sound.mp4")
    result = mkpairs(folder, "--out", tmp_path / "pairs", "--json")
    assert result.exit_code == 0
    summary = json.loads(result.stdout)
    problems = {clip["name"]: clip["problem"] for clip in summary["per_part"]}
    assert problems["walk.mp4"] is None
    assert "not a video" in problems["text.mp4"]
    assert "empty" in problems["zero.mp4"]
    assert "no video" in problems["sound.mp4"]
    assert summary["unreadable"] == 3
    assert summary["pairs"] > 0


def test_a_truncated_clip_gives_what_is_left_and_says_so(tmp_path):
    folder = tmp_path / "videos"
    folder.mkdir()
    data = figure_clip(tmp_path / "whole.mkv", count=100).read_bytes()
    (folder / "cut.mkv").write_bytes(data[: int(len(data) * 0.6)])
    result = mkpairs(folder, "--out", tmp_path / "pairs", "--json")
    clip = json.loads(result.stdout)["per_part"][0]
    assert 20 < clip["frames"] < 100
    assert any("ends early" in note for note in clip["notes"])


def test_a_frame_folder_is_a_clip_and_a_stranger_in_it_is_named(tmp_path):
    frames = tmp_path / "videos" / "walk"
    frames.mkdir(parents=True)
    for i, frame in enumerate(figure_frames(40)):
        (frames / f"{i}.jpg").write_bytes(encode_jpeg(frame, 95))
    (frames / "12.jpg").write_text("not a picture")
    (frames / "20.jpg").rename(frames / "20.heic")
    (frames / "20.heic").write_bytes(b"another format")
    result = mkpairs(tmp_path / "videos", "--out", tmp_path / "pairs", "--json")
    clip = json.loads(result.stdout)["per_part"][0]
    assert clip["reader"] == "frames"
    assert clip["pairs"] > 0
    assert [note.partition(":")[0] for note in clip["notes"]] == ["12.jpg", "20.heic"]
    assert clip["frames"] == 38
    assert ShardReader(tmp_path / "pairs" / "pairs-00000.h5").frames.max() > 37  # nothing moved up


def test_boxes_from_a_file_are_followed(clips, tmp_path):
    rows = ["clip,frame,x1,y1,x2,y2,id"]
    rows += [",".join(map(str, ("walk0.mp4", i, *np.round(figure_box(i), 1), 7))) for i in range(60)]
    boxes = tmp_path / "boxes.csv"
    boxes.write_text("\n".join(rows))
    result = mkpairs(clips / "walk0.mp4", "--out", tmp_path / "pairs", "--detector", f"boxes:{boxes}", "--json")
    assert result.exit_code == 0, result.output
    record = ShardReader(tmp_path / "pairs" / "pairs-00000.h5").record(0)
    np.testing.assert_allclose(record.image1.box, figure_box(record.image1.frame), atol=0.06)
    assert record.image1.mask_kind == "box"


def test_whole_frames_need_no_detector(clips, tmp_path):
    result = mkpairs(clips / "walk0.mp4", "--out", tmp_path / "pairs", "--detector", "full", "--json", *EASY)
    assert json.loads(result.stdout)["pairs"] > 0


def test_hands_are_marked_as_hands(clips, tmp_path):
    assert mkpairs(clips / "walk0.mp4", "--out", tmp_path / "pairs", "--hand").exit_code == 0
    reader = ShardReader(tmp_path / "pairs" / "pairs-00000.h5")
    assert reader.subject_kind == "hand"
    assert reader.record(0).side == "unknown"


def test_nobody_anywhere_ends_with_1_and_advice(clips, tmp_path):
    out = tmp_path / "pairs"
    one_line_error(mkpairs(clips / "empty.mp4", "--out", out), "no people found", "--detector boxes:FILE", code=1)
    summary = json.loads((out / "summary.json").read_text())
    assert summary["pairs"] == 0
    assert "no people found in 1 clip (" in summary["problem"]
    assert mkpairs(clips / "walk0.mp4", "--out", out).exit_code == 0


def test_pairs_that_break_the_rules_are_counted_by_reason(clips, tmp_path):
    result = mkpairs(clips / "walk0.mp4", "--out", tmp_path / "pairs", "--set", "pairs.min_size=400")
    one_line_error(result, "box smaller than min_size", "--set", code=1)


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["missing/"], ["missing", "no such"]),
        (["{folder}"], ["{folder}", "no video"]),
        (["{text}"], ["text.mp4", "not a video"]),
        (["{zero}"], ["zero.mp4", "empty"]),
        (["{sound}"], ["sound.mp4", "no video"]),
        (["{walk}", "--detector", "telepathy"], ["telepathy", "motion"]),
        (["{walk}", "--detector", "boxes:{boxes}"], ["boxes.csv", "walk0.mp4"]),
        (["{walk}", "--detector", "boxes:none.csv"], ["none.csv"]),
        (["{walk}", "--detector", "onnx:{onnx}"], ["no-detector.onnx"]),
        (["{walk}", "--detector", "onnx:{text}"], ["text.mp4"]),
        (["{walk}", "--set", "pairs.min_moton=1"], ["pairs.min_moton", "pairs.min_motion"]),
        (["{walk}", "--set", "pairs.max_gap=-1"], ["gaps"]),
        (["{walk}", "--out", "{text}"], ["text.mp4", "--out"]),
        (["{walk}", "--out", "{text}/pairs"], ["text.mp4", "--out"]),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(clips, tmp_path, words, parts):
    names = {
        "folder": tmp_path / "folder",
        "text": tmp_path / "text.mp4",
        "zero": tmp_path / "zero.mp4",
        "sound": tmp_path / "sound.mp4",
        "walk": clips / "walk0.mp4",
        "boxes": tmp_path / "boxes.csv",
        "onnx": tmp_path / "no-detector.onnx",
    }
    names["folder"].mkdir()
    names["text"].write_text("I am no video")
    names["zero"].touch()
    write_sound(names["sound"])
    names["boxes"].write_text("clip,frame,x1,y1,x2,y2\nother.mp4,0,1,1,20,20\n")
    write_classifier(names["onnx"])
    words = [word.format(**names) for word in words]
    out = [] if "--out" in words else ["--out", tmp_path / "pairs"]
    one_line_error(mkpairs(*words, *out), *(part.format(**names) for part in parts))
    assert not list(tmp_path.glob("pairs/*.h5"))


def write_classifier(path):
    """An ONNX model that gives one number per class and no boxes."""
    shape = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, dims)
        for name, dims in (("x", [1, 3, 32, 32]), ("y", [1, 10]))
    ]
    value = helper.make_tensor("value", TensorProto.FLOAT, [1, 10], [0.0] * 10)
    node = helper.make_node("Constant", [], ["y"], value=value)
    graph = helper.make_graph([node], "classifier", shape[:1], shape[1:])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)


def test_a_full_disk_ends_in_one_line_and_keeps_finished_shards(clips, tmp_path):
    """A limit on file size stands for a full disk: the system refuses to write on."""
    out = tmp_path / "pairs"
    code = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000));"
        "sys.argv[0] = 'humanpt'; from humanpt.cli.app import main; main()"
    )
    words = [sys.executable, "-c", code, "mkpairs", clips / "walk0.mp4", "--out", out, *QUICK]
    ended = subprocess.run(words, capture_output=True, text=True, cwd=ROOT, check=False)
    assert ended.returncode == 2, ended.stderr
    assert "Traceback" not in ended.stderr
    assert ended.stderr.count("error: ") == 1
    assert "cannot be written" in ended.stderr or "limit" in ended.stderr
    assert not list(out.glob("*.h5"))
    assert mkpairs(clips / "walk0.mp4", "--out", out, "--resume").exit_code == 0


def test_a_worker_that_dies_costs_its_clip_alone(clips, tmp_path):
    """One clip's worker is killed while it works; the others' pairs are all there."""
    out = tmp_path / "pairs"
    figure_clip(tmp_path / "long.mp4", count=1500)
    words = [
        sys.executable,
        "-m",
        "humanpt",
        "mkpairs",
        clips / "walk0.mp4",
        tmp_path / "long.mp4",
        clips / "walk1.mp4",
    ]
    with subprocess.Popen(
        [*words, "--out", out, *QUICK, "--json"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=ROOT
    ) as process:
        victim = worker_on(tmp_path / "long.mp4", process.pid)
        os.kill(victim, signal.SIGKILL)
        said, _ = process.communicate(timeout=120)
    summary = json.loads(said)
    problems = {clip["name"]: clip["problem"] for clip in summary["per_part"]}
    assert "killed by SIGKILL" in problems["long.mp4"]
    assert problems["walk0.mp4"] is None
    assert problems["walk1.mp4"] is None
    assert process.returncode == 0


def worker_on(clip, main):
    """The id of the process, other than the main one, that has a file open."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        for folder in Path("/proc").glob("[0-9]*/fd"):
            try:
                if int(folder.parent.name) != main and any(link.readlink() == clip for link in folder.iterdir()):
                    return int(folder.parent.name)
            except OSError:
                continue
        time.sleep(0.01)
    raise AssertionError(f"no worker ever opened {clip}")
