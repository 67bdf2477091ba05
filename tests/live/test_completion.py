"""Masked completion, live, with a network of random weights: what it is shown, when that changes, and what is drawn."""

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from humanpt.cli.app import app
from humanpt.commands.pretrained import open_pretrained
from humanpt.config import to_dict
from humanpt.data.augment import AugmentConfig
from humanpt.detect.detector import Detections
from humanpt.engine.checkpoint import Provenance, save_checkpoint
from humanpt.errors import CheckpointError, ConfigError, InputError
from humanpt.live.completion import (
    CompletionPipeline,
    LiveCompletionConfig,
    about_boxes,
    cut_out,
    open_completion,
)
from humanpt.live.controls import Controls, Status
from humanpt.live.panel_drawer import PanelDrawer
from humanpt.live.people_spool import read_people
from humanpt.live.pipeline import PipelineConfig, detector_for
from humanpt.live.recorder import RecordConfig, Recorder, save_snapshot
from humanpt.live.serve import PageServer
from humanpt.live.shot import Camera, Shot
from humanpt.models.croco import tiny
from humanpt.tasks.completion import CompletionConfig, CompletionTask
from tests.clips import write_clip
from tests.live.browser import CHROMIUM, browser

AUGMENT = AugmentConfig(crop_size=64)
WIDTH, HEIGHT = 160, 120
BOX = np.array([60, 30, 110, 90], np.float32)
PATCHES, SIDE = 16, 16  # of the tiny network: how many, and pixels of each


@pytest.fixture(scope="module")
def task():
    return task_of(CompletionConfig(model=tiny(), augment=AUGMENT))


@pytest.fixture(scope="module")
def alone():
    """A network of one picture."""
    model = replace(tiny(), cross_attention=False)
    return task_of(CompletionConfig(model=model, augment=AUGMENT, objective="mae"))


def task_of(config):
    torch.manual_seed(0)
    task = CompletionTask(config)
    task.model.eval().requires_grad_(False)
    return task


class Seer:
    """A detector that finds whoever is at `boxes`."""

    name, remark = "seer", None

    def __init__(self, *boxes):
        self.boxes = list(boxes)

    def start(self, clip_name, width, height):
        pass

    def detect(self, frame):
        count = len(self.boxes)
        boxes = np.array(self.boxes, np.float32).reshape(-1, 4)
        return Detections(boxes=boxes, scores=np.full(count, 0.9, np.float32), kinds=("hand",) * count)


def pipeline_of(task, *boxes, reference=None, **settings):
    seer = Seer(*(boxes or [BOX]))
    _, config = detector_for(PipelineConfig(subject="hand"))
    return CompletionPipeline(task, seer, config, LiveCompletionConfig(**settings), reference=reference), seer


def shot_of(number, grey=None, rate=10):
    """A picture of one grey, which tells its number."""
    picture = np.full((HEIGHT, WIDTH, 3), number if grey is None else grey, np.uint8)
    camera = Camera(intrinsics=np.eye(3, dtype=np.float32), focal_from="assumed")
    return Shot(number=number, timestamp=number / rate, picture=picture, camera=camera, arrived=0.0)


def noise_shot(number, seed=0, rate=10):
    picture = np.random.default_rng(seed).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    return replace(shot_of(number, rate=rate), picture=picture)


def withheld(panels):
    """(16,) True at the patches that the masked picture does not show; the picture itself is noise."""
    kept = (panels["masked"] == panels["as it was"]).reshape(4, SIDE, 4, SIDE, 3).all(axis=(1, 3, 4))
    return ~kept.ravel()


def test_a_subject_fills_what_the_network_is_shown_as_in_pairs():
    picture = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    picture[30:91, 60:121] = 255  # 61 pixels, from edge 59.5 to 120.5
    shown, coverage = cut_out(picture, np.array([59.5, 29.5, 120.5, 90.5], np.float32), AUGMENT, 4)
    assert shown.shape == (64, 64, 3)
    assert (shown[32, :, 0] > 172).sum() == pytest.approx(64 / (1.2 * 0.875), abs=1.5)
    assert coverage[1:3, 1:3].min() == 1
    assert 0.5 < coverage[0, 0] < 1


def test_without_a_picture_the_reference_is_the_same_hand_a_moment_ago(task):
    pipeline, _ = pipeline_of(task, ago=1.0)
    views = [pipeline(shot_of(number, grey=8 * number, rate=8)) for number in range(30)]
    assert views[0].panels == {}  # nothing was before
    for number, view in enumerate(views[2:], 2):
        (panels,) = view.panels.values()
        assert list(panels) == ["reference", "masked", "completed", "as it was"]
        np.testing.assert_allclose(panels["as it was"], 8.0 * number, atol=1)
        np.testing.assert_allclose(panels["reference"], 8.0 * max(0, number - 8), atol=1)


def test_at_a_high_rate_the_past_stays_short(task):
    pipeline, _ = pipeline_of(task, ago=1.0)
    for number in range(150):
        view = pipeline(shot_of(number, rate=60))
    (panels,) = view.panels.values()
    assert 60 <= 149 - int(panels["reference"][0, 0, 0]) <= 67
    assert all(len(past.views) <= 12 for past in pipeline._pasts.values())


def test_what_is_withheld_stays_for_a_while_and_changes_then(alone):
    pipeline, _ = pipeline_of(alone, hold=1.0)
    masks = [withheld(next(iter(pipeline(noise_shot(number)).panels.values()))) for number in range(40)]
    assert all(mask.sum() == int(0.9 * PATCHES) for mask in masks)
    changes = [number for number in range(1, 40) if (masks[number] != masks[number - 1]).any()]
    assert changes
    assert set(changes) <= {10, 20, 30}


def test_what_is_visible_stays_as_it_was_and_the_rest_is_predicted(task):
    pipeline, _ = pipeline_of(task)
    for number in range(3):
        view = pipeline(noise_shot(number))
    (panels,) = view.panels.values()
    equal = (panels["completed"] == panels["as it was"]).reshape(4, SIDE, 4, SIDE, 3).all(axis=(1, 3, 4)).ravel()
    np.testing.assert_array_equal(equal, ~withheld(panels))


def test_a_network_of_one_picture_begins_at_once_and_has_no_reference(alone):
    pipeline, _ = pipeline_of(alone)
    (panels,) = pipeline(noise_shot(0)).panels.values()
    assert list(panels) == ["masked", "completed", "as it was"]


def test_those_followed_longest_are_completed(alone):
    other = BOX + np.array([-55, 0, -55, 0], np.float32)
    for shown, wanted in ((1, [0]), (2, [0, 1])):
        pipeline, seer = pipeline_of(alone, shown=shown)
        pipeline(noise_shot(0))
        seer.boxes.append(other)
        view = pipeline(noise_shot(1))
        assert [subject.identity for subject in view.subjects] == [0, 1]
        assert list(view.panels) == wanted


def test_after_a_cut_nobody_is_shown_what_was_before_it(task):
    pipeline, _ = pipeline_of(task)
    views = [pipeline(noise_shot(number)) for number in range(20)]
    assert views[-1].panels
    cut = pipeline(shot_of(20, grey=255))
    assert (len(cut.subjects), cut.panels) == (1, {})


def test_nobody_in_view_costs_no_network(task):
    pipeline, seer = pipeline_of(task)
    seer.boxes.clear()
    view = pipeline(shot_of(0))
    assert (view.subjects, view.panels) == ((), {})


def test_the_reference_is_cut_out_of_a_given_picture(task, tmp_path):
    picture = np.full((64, 64, 3), 200, np.uint8)
    cv2.imwrite(str(tmp_path / "given.png"), picture)
    config = PipelineConfig(detector="full", separate=True)
    pipeline, _ = open_completion(task, "hand", config, LiveCompletionConfig(), reference=tmp_path / "given.png")
    (panels,) = pipeline(shot_of(0)).panels.values()  # the first picture has one already
    assert panels["reference"][32, 32].tolist() == [200, 200, 200]


def test_what_cannot_help_is_refused_in_one_line(task, alone, tmp_path):
    empty = tmp_path / "empty.png"
    cv2.imwrite(str(empty), np.full((64, 64, 3), 128, np.uint8))
    for network, reference, config, error, told in (
        (task, tmp_path / "none.png", PipelineConfig(), InputError, "none.png: cannot be read"),
        (task, empty, PipelineConfig(), InputError, "no hand was found"),
        (alone, empty, PipelineConfig(), ConfigError, "leave it out"),
        (task, None, PipelineConfig(separate=True), ConfigError, "--reference"),
    ):
        with pytest.raises(error, match=told) as refused:
            open_completion(network, "hand", config, LiveCompletionConfig(), reference=reference)
        assert "\n" not in str(refused.value)


def test_the_strip_keeps_its_size_and_a_mirror_turns_each_panel(task):
    pipeline, _ = pipeline_of(task)
    views = [pipeline(noise_shot(number)) for number in range(3)]
    titles = ("reference", "masked", "completed", "as it was")
    before, drawn = (PanelDrawer(titles, bars=False)(view) for view in (views[0], views[2]))
    turned = PanelDrawer(titles, mirrored=True, bars=False)(views[2])
    assert before.shape == drawn.shape == turned.shape
    assert drawn.shape[0] > HEIGHT
    side = (WIDTH - 6) // 4 - 6
    for place in range(4):
        there = slice(15 + 1, 15 + side - 1), slice(6 + place * (side + 6) + 1, 6 + place * (side + 6) + side - 1)
        panel, mirrored, empty = (picture[HEIGHT:][there] for picture in (drawn, turned, before))
        np.testing.assert_array_equal(panel[:, ::-1], mirrored)
        assert len(np.unique(empty)) == 1
        assert panel.std() > 0


def test_recordings_hold_the_film_and_boxes(task, tmp_path):
    pipeline, seer = pipeline_of(task)
    about = about_boxes("hand", network="a trial", source="made")
    draw = PanelDrawer(("reference", "masked", "completed", "as it was"), bars=False)
    recorder = Recorder(tmp_path / "r", about, RecordConfig(animation=False))
    for number in range(5):
        if number == 4:
            seer.boxes.append(BOX + np.array([-55, 0, -55, 0], np.float32))
        view = pipeline(noise_shot(number))
        recorder.show(view, draw(view))
    assert set(recorder.close()) == {"overlay.mp4", "people.npz"}
    people = read_people(tmp_path / "r")
    assert people.identity.tolist() == [0, 0, 0, 0, 0, 1]
    np.testing.assert_array_equal(people.box[-1], view.subjects[1].box)
    assert people.keypoints.shape == (6, 0, 3)
    assert people.rotations is None
    assert set(save_snapshot(tmp_path, view, draw(view), about)) == {"snapshot-000004.png", "snapshot-000004.npz"}
    assert read_people(tmp_path / "snapshot-000004.npz").identity.tolist() == [0, 1]


def save(path, task, config, recipe="tiny"):
    provenance = Provenance(recipe=recipe, config=config)
    optimizer = torch.optim.SGD(task.model.parameters(), lr=1.0)
    save_checkpoint(path, task.model, optimizer, device=torch.device("cpu"), step=1, provenance=provenance)


@pytest.fixture(scope="module")
def run(task, tmp_path_factory):
    path = tmp_path_factory.mktemp("run") / "best.safetensors"
    save(path, task, {"recipe": "tiny", "subject": "hand", "task": to_dict(task.config)})
    return path.parent


def test_a_run_is_opened_as_it_was_trained(task, run, tmp_path):
    opened = open_pretrained(run, device="cpu")
    assert (opened.subject, opened.precision, opened.task.config) == ("hand", "fp32", task.config)
    assert not opened.task.model.training
    for name, weights in task.model.state_dict().items():
        torch.testing.assert_close(opened.task.model.state_dict()[name], weights)
    save(tmp_path / "other.safetensors", task, {"task": {"margin": 0.9}}, recipe="hand-mesh")
    with pytest.raises(CheckpointError, match="recipe hand-mesh, and not pre-trained"):
        open_pretrained(tmp_path / "other.safetensors", device="cpu")


def test_the_demo_completes_a_clip_and_refuses_what_needs_meshes(run, tmp_path):
    clip = write_clip(tmp_path / "clip.mp4", range(12))
    words = ["--task", "completion", "--model", run, "--video", clip, "--detector", "full", "--terminal", "--json"]

    def demo(*more):
        return CliRunner().invoke(app, ["demo", *map(str, [*words, "--device", "cpu", *more])])

    result = demo("--record", tmp_path / "out", "--once")
    assert result.exit_code == 0, result.output
    summary = json.loads(result.stdout)
    assert (summary["shown"], summary["network"]) == (12, str(run))
    assert set(summary["files"]) == {"overlay.mp4", "people.npz"}
    assert len(read_people(tmp_path / "out").identity) == 12
    for more, told in (
        (["--obj"], "no meshes"),
        (["--target-fps", "5"], "--target-fps"),
        (["--model", run], "one run"),
    ):
        refused = demo("--once", *more)
        assert refused.exit_code == 2
        assert told in refused.stderr


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium to look at the page with")
def test_the_page_shows_pictures_and_no_3d_view_where_there_are_no_meshes(task, tmp_path):
    pipeline, _ = pipeline_of(task)
    controls = Controls({}, lambda: Status(source="made"))
    server = PageServer(faces={}, controls=controls, port=0)
    try:
        for number in range(3):
            view = pipeline(noise_shot(number))
        drawn = PanelDrawer(("reference", "masked", "completed", "as it was"))(view)
        server.show(view, drawn)
        with browser(tmp_path) as page:
            page.open(server.url)
            page.until("document.body.dataset.number === '2'")
            assert page.value("document.getElementById('picture').height") == len(drawn)
            assert page.value("document.getElementById('scene')") is None
    finally:
        server.close()
