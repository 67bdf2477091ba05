"""Networks made quick answer as they are, and crops are those of evaluation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from humanpt.body.model import load_body_model
from humanpt.errors import ConfigError
from humanpt.live import recoverer
from humanpt.live.exported import RuntimeRecoverer
from humanpt.live.recoverer import TorchRecoverer, quickest
from humanpt.models.conv_trunk import ConvTrunk, ConvTrunkConfig
from humanpt.models.croco import tiny
from humanpt.models.mesh_heads import MeshNetwork
from humanpt.models.mesh_inference import for_inference
from humanpt.models.trunk import Trunk
from humanpt.tasks.mesh_config import MeshConfig
from humanpt.tasks.mesh_pictures import NetworkRecoverer, assumed_intrinsics, recover_boxes

BOXES = np.array([[20.0, 16.0, 52.0, 56.0], [100.0, 40.0, 150.0, 96.0]])
PICTURE = np.random.default_rng(0).integers(0, 256, (120, 160, 3), dtype=np.uint8)
CAMERA = assumed_intrinsics(160, 120)


def network(config, trunk=None):
    torch.manual_seed(0)
    made = MeshNetwork(trunk or Trunk(tiny(), config.views), config, load_body_model(config.model)).eval()
    torch.nn.init.normal_(made.head.out.weight, std=0.05)
    return made.requires_grad_(False)


def by_torch(net, config):
    return TorchRecoverer(net, config, precision="fp32")


def by_runtime(net, config):
    pytest.importorskip("onnx", reason="ONNX is the extra onnx")
    pytest.importorskip("onnxruntime", reason="ONNX Runtime is the extra onnx")
    return RuntimeRecoverer(net, config, threads=1)


FORMS = [by_torch, by_runtime]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "config",
    [
        MeshConfig(),
        MeshConfig(head="points", side=True),
        MeshConfig(free=True),
        MeshConfig(rotation="6d"),
        MeshConfig(subject="body", model="anny-body-small"),
    ],
)
def test_the_quick_form_answers_as_the_network_does(config, form):
    net = network(config)
    quick, plain = form(net, config), NetworkRecoverer(net, config)
    assert quick.keypoint_names == plain.keypoint_names
    assert quick.body.layout.name == config.model
    for one, other in zip(
        recover_boxes(quick, PICTURE, CAMERA, BOXES, ["right", "left"]),
        recover_boxes(plain, PICTURE, CAMERA, BOXES, ["right", "left"]),
        strict=True,
    ):
        assert_close(one.vertices, other.vertices, atol=5e-6, rtol=1e-6)
        assert_close(one.pixels, other.pixels, atol=2e-3, rtol=0)
        assert one.right == (None if other.right is None else pytest.approx(other.right, abs=1e-5))
        for name in ("pose", "shape", "transl"):
            assert_close(getattr(one, name), getattr(other, name), atol=3e-5, rtol=1e-5)


@pytest.mark.parametrize("form", FORMS)
def test_its_body_model_gives_the_mesh_of_other_poses(form):
    config = MeshConfig()
    net = network(config)
    rng = np.random.default_rng(0)
    shape = net.body.sample_shape(rng, 3)
    pose = net.body.identity_pose(3)
    pose[:, 5] = torch.linalg.matrix_exp(torch.tensor([[0.0, -0.5, 0.1], [0.5, 0.0, 0.2], [-0.1, -0.2, 0.0]]))
    for found, wanted in zip(form(net, config).points(shape, pose), net.points(shape, pose), strict=True):
        assert_close(found, wanted, atol=5e-6, rtol=1e-6)


def test_networks_of_free_vertices_have_no_body_model_to_ask():
    config = MeshConfig(free=True)
    assert [form(network(config), config).points for form in FORMS] == [None, None]


def test_all_of_a_quick_head_is_on_one_device():
    net = network(MeshConfig())
    net.head.to("meta")  # another device that every machine has
    net.mean_camera = net.mean_camera.to("meta")
    quick = for_inference(net)
    assert {tensor.device.type for tensor in (*quick.head.parameters(), *quick.head.buffers())} == {"meta"}


def test_where_onnx_runtime_is_missing_torch_computes(monkeypatch):
    config = MeshConfig()
    monkeypatch.setattr(recoverer, "find_spec", lambda name: None)
    assert quickest(network(config), config, "network", {}, "fp32").runtime == "torch"
    monkeypatch.undo()
    assert quickest(network(config), config, "network", {}, "bf16").runtime == "torch"


def test_bfloat16_moves_meshes_little_and_is_what_was_asked_for():
    config = MeshConfig()
    for trunk in (None, ConvTrunk(ConvTrunkConfig(image_size=64)).eval()):
        net = network(config, trunk)
        rounded, exact = (TorchRecoverer(net, config, precision=name) for name in ("bf16", "fp32"))
        assert (rounded.precision, exact.precision) == ("bf16", "fp32")
        one, other = (recover_boxes(made, PICTURE, CAMERA, BOXES[:1], ["right"])[0] for made in (rounded, exact))
        moved = (one.vertices - other.vertices).norm(dim=1).mean()
        assert 0 < moved < 0.1 * other.vertices[:, 2].mean()


def test_parameters_give_the_vertices_of_either_hand():
    config = MeshConfig()
    made = recover_boxes(TorchRecoverer(network(config), config), PICTURE, CAMERA, BOXES, ["right", "left"])
    for side, mesh in zip(("right", "left"), made, strict=True):
        body = load_body_model("anny-hand", side=side)
        again = body(mesh.shape[None], mesh.pose[None], mesh.transl[None]).vertices[0]
        assert_close(again, mesh.vertices, atol=1e-5, rtol=1e-5)


def test_a_hand_taken_for_a_left_one_is_a_right_one_with_the_rest_of_the_probability():
    config = MeshConfig(side=True)
    asked = NetworkRecoverer(network(config), config)
    flipped = np.ascontiguousarray(PICTURE[:, ::-1])
    mirrored = BOXES[:, [2, 1, 0, 3]] * [-1, 1, -1, 1] + [159, 0, 159, 0]
    right = recover_boxes(asked, PICTURE, CAMERA, BOXES, ["right"] * 2)
    left = recover_boxes(asked, flipped, CAMERA, mirrored, ["left"] * 2)
    for one, other in zip(right, left, strict=True):
        assert one.right == pytest.approx(1 - other.right, abs=1e-5)


def test_a_precision_that_is_none_is_refused():
    config = MeshConfig()
    with pytest.raises(ConfigError, match="no precision 'int8'"):
        TorchRecoverer(network(config), config, precision="int8")
