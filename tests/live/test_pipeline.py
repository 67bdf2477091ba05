"""The pipeline with a network that knows the truth where its crop shows it, and makes a hand up where it does not."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from torch.testing import assert_close

from humanpt.body.model import load_body_model
from humanpt.detect.detector import DetectConfig, Detections
from humanpt.detect.matching import overlaps
from humanpt.errors import ConfigError
from humanpt.geometry.rotations import mirror_x, rotvec_to_rotmat
from humanpt.live.pipeline import WEAKER, Pipeline, PipelineConfig, detector_for, open_pipeline
from humanpt.live.shot import Camera, Shot
from humanpt.live.smooth import SmoothConfig
from humanpt.models.croco import tiny
from humanpt.models.mesh_heads import MeshNetwork, ModelPoints
from humanpt.models.trunk import Trunk
from humanpt.tasks.mesh_config import MeshConfig
from humanpt.tasks.mesh_pictures import NetworkRecoverer, assumed_intrinsics

WIDTH, HEIGHT = 160, 120
INTRINSICS = assumed_intrinsics(WIDTH, HEIGHT)
RAW = SmoothConfig(method="none")


@pytest.fixture(scope="module")
def body():
    return load_body_model("anny-hand")


@pytest.fixture(scope="module")
def still(body):
    """A right hand with its wrist at the origin: pose, shape and mesh."""
    pose = rotvec_to_rotmat(
        0.2 * torch.randn(1, len(body.layout.joint_names), 3, generator=torch.Generator().manual_seed(0))
    )
    shape = body.mean_shape()
    keypoints, vertices, shift = ModelPoints(body, "hand")(shape, pose)
    return SimpleNamespace(pose=pose[0], shape=shape[0], keypoints=keypoints[0], vertices=vertices[0], shift=shift[0])


def mesh_at(still, place, *, left=False, right=None):
    """What a network says of a hand with its wrist at a place (3,)."""
    signs, place = torch.tensor([-1.0 if left else 1.0, 1, 1]), torch.as_tensor(place, dtype=torch.float32)
    return SimpleNamespace(
        keypoints=still.keypoints * signs + place,
        vertices=still.vertices * signs + place,
        pose=mirror_x(still.pose) if left else still.pose,
        shape=still.shape,
        transl=still.shift * signs + place,
        right=right,
    )


def seen_at(points):
    """(M, 3) metres to pixels (M, 2) of a WIDTH x HEIGHT picture."""
    points = points.numpy()
    return points[:, :2] / points[:, 2:] * INTRINSICS[0, 0] + INTRINSICS[:2, 2]


def box_of(mesh):
    pixels = seen_at(mesh.vertices)
    return np.concatenate([pixels.min(0), pixels.max(0)]).astype(np.float32)


class World:
    """Hands that move, a detector and a network that see them; `places` are those of the wrists."""

    name, remark = "world", None

    def __init__(self, still, *, left=(), found=1.0, score=0.9, tells_sides=False, tremble=0.0):
        self.still, self.left, self.found, self.score = still, left, found, score
        self.tells_sides, self.tremble = tells_sides, tremble
        self.places = {}
        self.rng = np.random.default_rng(0)
        self.started, self.looks, self.asked = [], 0, []

    def meshes(self):
        return {name: mesh_at(self.still, place, left=name in self.left) for name, place in self.places.items()}

    def start(self, clip_name, width, height):
        self.started.append((clip_name, width, height))

    def detect(self, frame):
        self.looks += 1
        boxes = [box_of(mesh) for mesh in self.meshes().values() if self.rng.random() < self.found]
        boxes = np.array(boxes, np.float32).reshape(-1, 4) + self.rng.normal(scale=0.5, size=(len(boxes), 4))
        return Detections(
            boxes=boxes.astype(np.float32),
            scores=np.full(len(boxes), self.score, np.float32),
            kinds=("hand",) * len(boxes),
        )

    def recover(self, picture, intrinsics, boxes, sides):
        """The hand that a box shows, or one in its middle where it shows none."""
        self.asked.append(list(sides))
        there = self.meshes()
        answers = []
        for box, side in zip(boxes, sides, strict=True):
            seen = {name: overlaps(box[None], box_of(mesh)[None])[0, 0] for name, mesh in there.items()}
            best = max(seen, key=seen.get, default=None)
            if best is None or seen[best] < 0.1:
                middle = ((box[:2] + box[2:]) / 2 - INTRINSICS[:2, 2]) / INTRINSICS[0, 0] * 0.5
                answers.append(mesh_at(self.still, [*middle, 0.5], left=side == "left", right=0.5))
                continue
            place = np.asarray(self.places[best]) + self.tremble * self.rng.normal(size=3)
            right = (0.1 if best in self.left else 0.9) if self.tells_sides else None
            answers.append(mesh_at(self.still, place, left=side == "left", right=right))
        return answers


def pipeline_of(world, body, *, smooth=RAW, **config):
    return Pipeline(
        world.recover, world, PipelineConfig(smooth=smooth, **config), posed=ModelPoints(body, "hand"), root=[0]
    )


def shot_of(number, picture=None, *, timestamp=None, name=None):
    if picture is None:
        picture = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    return Shot(
        number=number,
        timestamp=number / 30 if timestamp is None else timestamp,
        picture=picture,
        camera=Camera(intrinsics=assumed_intrinsics(picture.shape[1], picture.shape[0]), focal_from="assumed"),
        arrived=0.0,
        name=name,
    )


def test_two_hands_that_cross_keep_their_identities_and_detection_is_rare(still, body):
    world = World(still, found=0.7)
    pipeline, shares, crossed = pipeline_of(world, body), [], []
    for number in range(150):
        across = 0.15 * np.cos(number / 25)
        world.places = {"one": [across, 0.09, 0.5], "other": [-across, -0.03, 0.75]}
        view = pipeline(shot_of(number))
        shares.append(view.detected)
        if number > 20:
            assert [subject.identity for subject in view.subjects] == [0, 1]
            depths = [subject.keypoints[0, 2] for subject in view.subjects]
            crossed.append(depths[0] < depths[1])
    assert len(set(crossed)) == 1  # each stayed with its own hand
    assert np.mean(shares) < 0.35


def test_what_is_shown_is_what_the_network_said_where_nothing_is_smoothed(still, body):
    world = World(still)
    world.places = {"one": [0.02, 0.01, 0.5]}
    view = pipeline_of(world, body)(shot_of(0))
    (subject,), (mesh,) = view.subjects, world.meshes().values()
    assert_close(torch.from_numpy(subject.vertices), mesh.vertices)
    assert_close(torch.from_numpy(subject.transl), mesh.transl)
    np.testing.assert_allclose(subject.box, box_of(mesh), atol=1e-3)
    np.testing.assert_allclose(subject.pixels, seen_at(mesh.keypoints), atol=1e-3)
    assert subject.kind == "hand"
    assert 0 < subject.score <= 1
    assert view.detected
    assert set(view.seconds) == {"detect", "network", "smooth"}
    assert all(array.dtype == np.float32 for array in (subject.pose, subject.keypoints, subject.pixels, subject.box))


def test_a_hand_that_trembles_is_shown_steadier(still, body):
    tremble = {}
    for name, smooth in (("raw", RAW), ("smooth", SmoothConfig())):
        world, places = World(still, tremble=0.004), []
        world.places = {"one": [0.02, 0.01, 0.5]}
        pipeline = pipeline_of(world, body, smooth=smooth)
        for number in range(25):
            (subject,) = pipeline(shot_of(number)).subjects
            places.append(subject.keypoints[0])
        tremble[name] = np.abs(np.diff(places[5:], axis=0)).mean()
    assert tremble["smooth"] < 0.7 * tremble["raw"]


def test_a_hand_that_leaves_is_not_made_up_for_long(still, body):
    world = World(still)
    world.places = {"one": [0.0, 0.0, 0.5]}
    pipeline = pipeline_of(world, body)
    for number in range(60):
        pipeline(shot_of(number))
    world.places = {}
    seen = [len(pipeline(shot_of(60 + number)).subjects) for number in range(120)]
    assert seen[0] == 1
    assert sum(seen) < 90
    assert seen[-1] == 0


def test_nobody_in_view_costs_no_network(still, body):
    world = World(still)
    pipeline = pipeline_of(world, body)
    for number in range(30):
        assert pipeline(shot_of(number)).subjects == ()
    assert world.asked == []


def test_a_left_hand_is_named_and_asked_for_as_left_once_the_network_said_so_often(still, body):
    world = World(still, left=("one",), tells_sides=True)
    world.places = {"one": [-0.1, 0.0, 0.5], "other": [0.1, 0.0, 0.5]}
    pipeline = pipeline_of(world, body, smooth=SmoothConfig())
    kinds = [tuple(subject.kind for subject in pipeline(shot_of(number)).subjects) for number in range(16)]
    assert kinds[0] == ("hand", "hand")
    assert set(kinds[10:]) == {("hand_left", "hand_right")}
    assert world.asked[-1] == ["left", "right"]


def test_smoothing_starts_anew_when_the_side_is_known(still, body):
    world = World(still, left=("one",), tells_sides=True)
    world.places = {"one": [0.0, 0.0, 0.5]}
    pipeline = pipeline_of(world, body, smooth=SmoothConfig())
    for number in range(30):
        (subject,) = pipeline(shot_of(number)).subjects
        if subject.kind == "hand_left":
            break
    assert_close(torch.from_numpy(subject.vertices), mesh_at(still, [0, 0, 0.5], left=True).vertices, atol=1e-4, rtol=0)


def textured(seed):
    noise = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return cv2.resize(noise, (WIDTH, HEIGHT), interpolation=cv2.INTER_NEAREST)


def test_a_cut_another_size_and_time_that_runs_backwards_start_anew(still, body):
    world = World(still)
    world.places = {"one": [0.0, 0.0, 0.5]}
    pipeline = pipeline_of(world, body, clip="walk.mp4")

    def identity(shot):
        return pipeline(shot).subjects[0].identity

    first = textured(0)
    assert identity(shot_of(0, first)) == 0
    assert identity(shot_of(1, np.roll(first, 3, axis=1))) == 0
    assert identity(shot_of(2, textured(1))) == 1
    assert identity(shot_of(3, textured(1))) == 1
    assert identity(shot_of(4, cv2.resize(textured(1), (200, 150)))) == 2
    assert identity(shot_of(5, cv2.resize(textured(1), (200, 150)), timestamp=0.0)) == 3
    sizes = [(WIDTH, HEIGHT), (WIDTH, HEIGHT), (200, 150), (200, 150)]
    assert world.started == [("walk.mp4", *size) for size in sizes]


def test_a_change_of_light_is_no_cut(still, body):
    world = World(still)
    world.places = {"one": [0.0, 0.0, 0.5]}
    pipeline, picture = pipeline_of(world, body), textured(0) // 2
    identities = [pipeline(shot_of(number, picture + 60 * number)).subjects[0].identity for number in range(2)]
    assert identities == [0, 0]
    assert len(world.started) == 1


def test_pictures_of_a_folder_stand_on_their_own(still, body):
    world = World(still, tremble=0.01)
    world.places = {"one": [0.0, 0.0, 0.5]}
    pipeline = pipeline_of(world, body, smooth=SmoothConfig(), separate=True)
    for number in range(4):
        view = pipeline(shot_of(number, timestamp=float(number), name=f"{number}.jpg"))
        assert [subject.identity for subject in view.subjects] == [number]
        assert view.detected


def test_networks_without_parameters_give_points_alone(still, body):
    world = World(still)
    world.places = {"one": [0.0, 0.0, 0.5]}
    recover = world.recover

    def points_alone(*given):
        for mesh in recover(*given):
            mesh.pose = mesh.shape = mesh.transl = None
            yield mesh

    pipeline = Pipeline(lambda *given: list(points_alone(*given)), world, PipelineConfig(), root=[0])
    for number in range(3):
        (subject,) = pipeline(shot_of(number)).subjects
    assert subject.pose is None
    assert subject.shape is None
    assert subject.transl is None
    (mesh,) = world.meshes().values()
    assert_close(torch.from_numpy(subject.vertices), mesh.vertices, atol=1e-4, rtol=0)


def test_a_model_is_asked_for_weaker_answers_than_begin_to_follow_somebody():
    detector, config = detector_for(PipelineConfig(detector="own"), DetectConfig(min_score=0.4))
    assert config.follow.start_score == 0.4
    assert detector.config.min_score == pytest.approx(0.4 * WEAKER)
    _, config = detector_for(PipelineConfig(detector="full"))
    assert config.follow.trusted
    _, config = detector_for(PipelineConfig(detector="motion"))
    assert (config.follow.start_score, config.follow.trusted) == (0.0, False)
    with pytest.raises(ConfigError, match="there is no detector"):
        detector_for(PipelineConfig(detector="yolo"))


def test_boxes_of_a_file_are_where_the_crops_are_taken(tmp_path, still, body):
    rows = ["frame,track,x1,y1,x2,y2,kind"] + [f"{number},5,40,30,100,90,hand" for number in range(5)]
    (tmp_path / "boxes.csv").write_text("\n".join(rows) + "\n")
    detector, config = detector_for(
        PipelineConfig(detector=f"boxes:{tmp_path / 'boxes.csv'}", smooth=RAW, clip="a.mp4")
    )
    asked, world = [], World(still)

    def recover(picture, intrinsics, boxes, sides):
        asked.append(boxes.tolist())
        return world.recover(picture, intrinsics, boxes, sides)

    pipeline = Pipeline(recover, detector, config, root=[0])
    identities = [[subject.identity for subject in pipeline(shot_of(number)).subjects] for number in range(6)]
    assert identities == [[0]] * 5 + [[]]
    assert asked == [[[40, 30, 100, 90]]] * 5


@pytest.mark.parametrize("free", [False, True])
def test_a_real_network_and_the_whole_picture_as_a_box(free):
    torch.manual_seed(0)
    config = MeshConfig(free=free)
    network = MeshNetwork(Trunk(tiny(), 1), config, load_body_model("anny-hand")).eval()
    pipeline = open_pipeline(NetworkRecoverer(network, config), PipelineConfig(detector="full"))
    for number in range(3):
        view = pipeline(shot_of(number, textured(number)))
    assert pipeline.config.subject == "hand"
    (subject,) = view.subjects
    assert np.isfinite(subject.vertices).all()
    assert (subject.pose is None) == free


def test_impossible_settings_are_refused():
    with pytest.raises(ConfigError, match="cut_change"):
        PipelineConfig(cut_change=300)
    with pytest.raises(ConfigError, match="cut_likeness"):
        replace(PipelineConfig(), cut_likeness=2)
