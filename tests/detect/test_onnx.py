"""Each layout of ONNX models is known by its shapes, and its box comes home to source pixels.

The models give constant outputs. A known box of the source picture is written into them in each layout's own terms.
"""

import builtins
import math

import cv2
import numpy as np
import pytest

from humanpt.detect.choose import make_detector
from humanpt.detect.detector import DetectConfig
from humanpt.detect.onnx import OnnxDetector, _suppress
from humanpt.detect.onnx_layouts import Layout, prepare
from humanpt.errors import InputError

onnx = pytest.importorskip("onnx")

TRUE = np.array([30.25, 20.5, 90.75, 101.0])  # x1, y1, x2, y2 in humanpt's pixels of the source picture
SOURCES = [(161, 117), (97, 203), (640, 427)]  # width, height
SIZES = [(96, 128), (128, 128)]  # height, width of the model's input


def in_input(box, source, size, stretch=False):
    """A box of the source picture in the input's pixels, counted from the corner that both pictures share."""
    width, height = size[1], size[0]
    if not stretch:
        ratio = min(width / source[0], height / source[1])
        width, height = round(source[0] * ratio), round(source[1] * ratio)
    return (box + 0.5) * np.array([width / source[0], height / source[1]] * 2)


def centre_size(edges):
    return np.concatenate([(edges[:2] + edges[2:]) / 2, edges[2:] - edges[:2]])


def cell_count(size):
    return sum((size[0] // stride) * (size[1] // stride) for stride in (8, 16, 32))


def yolox(edges, size, classes=80, undone=False):
    """(1, N, 5 + C): every cell holds itself with score 0, but the one of stride 16 at the box's centre the box."""
    rows = []
    x, y, w, h = centre_size(edges)
    for stride in (8, 16, 32):
        for line in range(size[0] // stride):
            for column in range(size[1] // stride):
                hit = stride == 16 and (line, column) == (y // 16, x // 16)
                box = (x, y, w, h) if hit else ((column + 0.5) * stride, (line + 0.5) * stride, stride, stride)
                if not undone:
                    sides = math.log(box[2] / stride), math.log(box[3] / stride)
                    box = (box[0] / stride - column, box[1] / stride - line, *sides)
                rows.append([*box, 0.9 * hit, 0.8, *[0.0] * (classes - 1)])
    return {"output": np.array([rows], np.float32)}


def mmdeploy(edges, size):
    dets = np.array([[[*edges, 0.9], [1, 1, 9, 9, 0.8], [1, 1, 9, 9, 0.1]]], np.float32)
    return {"dets": dets, "labels": np.array([[0, 5, 0]], np.int64)}


def yolov8(edges, size, classes=80, more=0):
    columns = np.zeros((1, 4 + classes + more, cell_count(size)), np.float32)
    columns[0, :4, 7] = centre_size(edges)
    columns[0, :4, 8] = centre_size(edges) + 1
    columns[0, 4, 7:9] = 0.9, 0.8
    return {"output0": columns}


def end_to_end(edges, size):
    rows = np.zeros((1, 300, 6), np.float32)
    rows[0, :2] = [*edges, 0.9, 0], [1, 1, 9, 9, 0.8, 2]
    return {"output0": rows}


def detr(edges, size, classes=92, person=1):
    logits = np.full((1, 100, classes), -9, np.float32)
    logits[0, :, -1] = 5 if classes != 80 else -9
    logits[0, 3, person] = 9
    boxes = np.full((1, 100, 4), 0.5, np.float32)
    boxes[0, 3] = centre_size(edges) / [size[1], size[0], size[1], size[0]]
    return {"logits": logits, "pred_boxes": boxes, "last_hidden_state": np.zeros((1, 100, 16), np.float32)}


MODELS = {
    "YOLOX": (yolox, {}),
    "YOLOX with its grid undone": (yolox, {"undone": True}),
    "mmdeploy": (mmdeploy, {}),
    "YOLOv8": (yolov8, {}),
    "YOLOv10": (end_to_end, {}),
    "DETR": (detr, {}),
    "RT-DETR": (detr, {"classes": 80, "person": 0}),
}


def find(path, source, frame, subject="body", config=None):
    detector = make_detector(f"onnx:{path}", subject, config)
    detector.start("clip.mp4", *source)
    return detector, detector.detect(frame(*source))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("layout", MODELS)
def test_each_layout_is_told_apart_and_its_box_comes_home(layout, source, size, tiny_onnx, frame):
    write, how = MODELS[layout]
    edges = in_input(TRUE, source, size, stretch="DETR" in layout)
    detector, found = find(tiny_onnx(write(edges, size, **how), size=size), source, frame)
    assert detector.layout.name == layout
    assert found.kinds == ("body",)
    np.testing.assert_allclose(found.boxes, [TRUE], atol=1e-3)
    assert 0.7 < found.scores[0] <= 1


@pytest.mark.parametrize("layout", ["YOLOX", "YOLOv8", "DETR"])
def test_open_input_sizes_take_the_configured_one(layout, tiny_onnx, frame):
    write, how = MODELS[layout]
    edges = in_input(TRUE, (161, 117), (96, 96), stretch=layout == "DETR")
    path = tiny_onnx(write(edges, (96, 96), **how))
    _, found = find(path, (161, 117), frame, config=DetectConfig(input_size=96))
    np.testing.assert_allclose(found.boxes, [TRUE], atol=1e-3)


@pytest.mark.parametrize(("write", "classes"), [(yolox, 1), (yolov8, 1)])
def test_a_model_of_one_class_counts_as_the_subject(write, classes, tiny_onnx, frame):
    path = tiny_onnx(write(in_input(TRUE, (161, 117), (96, 128)), (96, 128), classes=classes), size=(96, 128))
    assert find(path, (161, 117), frame, subject="hand")[1].kinds == ("hand",)


def test_mmdeploys_hand_model_counts_as_the_subject(tiny_onnx, frame):
    path = tiny_onnx(mmdeploy(in_input(TRUE, (161, 117), (96, 128)), (96, 128)), size=(96, 128))
    assert find(path, (161, 117), frame, subject="hand")[1].kinds == ("hand",)


def test_names_in_the_model_say_which_class_is_wanted(tiny_onnx, frame):
    outputs = yolov8(in_input(TRUE, (161, 117), (96, 128)), (96, 128), classes=3)
    path = tiny_onnx(outputs, size=(96, 128), names={0: "Left Hand", 1: "person", 2: "cup"})
    assert find(path, (161, 117), frame, subject="hand")[1].kinds == ("hand_left",)
    assert find(path, (161, 117), frame, subject="body")[1].kinds == ()


def test_further_channels_of_pose_models_are_not_classes(tiny_onnx, frame):
    outputs = yolov8(in_input(TRUE, (161, 117), (96, 128)), (96, 128), classes=1, more=51)
    outputs["output0"][0, 5:] = 99  # key points in pixels
    path = tiny_onnx(outputs, size=(96, 128), names={0: "person"})
    np.testing.assert_allclose(find(path, (161, 117), frame)[1].boxes, [TRUE], atol=1e-3)


def test_a_model_that_does_not_know_the_subject_is_refused(tiny_onnx):
    coco = tiny_onnx(yolov8(TRUE, (96, 128)), size=(96, 128), file="coco.onnx")
    with pytest.raises(InputError, match=r"coco\.onnx: has 80 classes without names, so which is a hand"):
        OnnxDetector(coco, "hand")
    cups = tiny_onnx(yolov8(TRUE, (96, 128), classes=2), size=(96, 128), file="cups.onnx", names={0: "cup", 1: "car"})
    with pytest.raises(InputError, match=r"cups\.onnx: finds cup, car, but no body"):
        OnnxDetector(cups, "body")


def test_a_file_that_is_no_model_is_refused_in_one_line(tmp_path):
    (tmp_path / "text.onnx").write_text("not a model\n" * 30)
    for name, message in (("text.onnx", "is no ONNX model"), ("none.onnx", "there is no such model file")):
        with pytest.raises(InputError, match=message) as caught:
            OnnxDetector(tmp_path / name, "body")
        assert str(caught.value).startswith(str(tmp_path / name))
        assert "\n" not in str(caught.value)


def test_outputs_that_fit_no_layout_are_refused_with_the_shapes_seen_and_the_layouts_known(tiny_onnx):
    path = tiny_onnx(
        {"logits": np.zeros((1, 1000), np.float32), "maps": np.zeros((1, 7, 9), np.float32)}, size=(96, 96)
    )
    with pytest.raises(
        InputError, match=r"logits \(1, 1000\), maps \(1, 7, 9\).*YOLOX.*mmdeploy.*YOLOv8.*DETR"
    ) as caught:
        OnnxDetector(path, "body")
    assert "\n" not in str(caught.value)


def test_an_input_that_is_no_picture_is_refused(tiny_onnx):
    path = tiny_onnx(end_to_end(TRUE, (96, 96)), size=(96, 96), input_type=onnx.TensorProto.INT64)
    with pytest.raises(InputError, match=r"the inputs are images tensor\(int64\)"):
        OnnxDetector(path, "body")


@pytest.mark.parametrize("size", [(64, 64, 3), (64,)])
def test_an_input_of_another_shape_is_refused(size, tiny_onnx):
    path = tiny_onnx(end_to_end(TRUE, (96, 96)), size=size)
    with pytest.raises(InputError, match=r"its input is .* must be one picture, \(1, 3, height, width\)"):
        OnnxDetector(path, "body")


def test_half_precision_models_and_detrs_pixel_mask_are_served(tiny_onnx, frame):
    outputs = detr(in_input(TRUE, (161, 117), (96, 128), stretch=True), (96, 128))
    path = tiny_onnx(outputs, size=(96, 128), input_type=onnx.TensorProto.FLOAT16, mask=True)
    np.testing.assert_allclose(find(path, (161, 117), frame)[1].boxes, [TRUE], atol=1e-3)


def test_a_missing_onnx_runtime_is_told_with_what_to_install(monkeypatch, tmp_path):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name == "onnxruntime":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(InputError, match=r"pip install 'humanpt\[onnx\]'"):
        OnnxDetector(tmp_path / "model.onnx", "body")


def test_weak_detections_are_left_out_and_the_best_come_first(tiny_onnx, frame):
    rows = np.zeros((1, 5, 6), np.float32)
    rows[0] = [(10 * i, 10, 10 * i + 8, 20, score, 0) for i, score in enumerate([0.2, 0.5, 0.31, 0.9, 0.1])]
    path = tiny_onnx({"output0": rows}, size=(64, 64))
    np.testing.assert_allclose(find(path, (64, 64), frame)[1].scores, [0.9, 0.5, 0.31])
    config = DetectConfig(min_score=0.15, max_detections=2)
    np.testing.assert_allclose(find(path, (64, 64), frame, config=config)[1].scores, [0.9, 0.5])


def test_boxes_are_cut_at_the_picture_and_dropped_outside_it(tiny_onnx, frame):
    rows = np.array(
        [[[-20, -20, 500, 500, 0.9, 0], [300, 300, 400, 400, 0.8, 0], [np.nan, 0, 9, 9, 0.8, 0]]], np.float32
    )
    _, found = find(tiny_onnx({"output0": rows}, size=(64, 64)), (64, 48), frame)
    np.testing.assert_array_equal(found.boxes, [[-0.5, -0.5, 63.5, 47.5]])


@pytest.mark.parametrize("present", [True, False])
def test_overlapping_boxes_of_one_kind_leave_the_best_with_and_without_opencvs_suppression(present, monkeypatch):
    if not present:
        monkeypatch.delattr(cv2.dnn, "NMSBoxes")
    edges = np.array([[0, 0, 10, 10], [1, 1, 11, 11], [0, 0, 10, 10], [20, 0, 30, 10], [6, 0, 16, 10]], np.float32)
    scores = np.array([0.9, 0.8, 0.7, 0.6, 0.5], np.float32)
    kinds = ["hand_left", "hand_left", "hand_right", "hand_left", "hand_left"]
    assert _suppress(edges, scores, kinds, range(5), 0.5) == [0, 2, 3, 4]
    assert _suppress(edges, scores, kinds, [], 0.5) == []


def test_pictures_are_prepared_in_the_models_colours_at_the_top_left_of_a_grey_canvas():
    rgb = np.full((2, 4, 3), (10, 20, 30), np.uint8)
    layout = Layout(name="", decode=len, classes=1, suppress=False, bgr=True, mean=(1, 2, 3), std=(1, 2, 1))
    tensor, scale = prepare(rgb, (8, 8), layout)
    np.testing.assert_allclose(tensor[0, :, 0, 0], [29, 9, 7])
    np.testing.assert_allclose(tensor[0, :, 4, 0], [113, 56, 111])
    np.testing.assert_allclose(scale, [2, 2, 2, 2])


def test_what_the_model_sees_lies_where_its_boxes_are_undone_to():
    rgb = np.zeros((117, 161, 3), np.uint8)
    rgb[21:101, 30:91] = 255
    tensor, scale = prepare(rgb, (96, 128), Layout(name="", decode=len, classes=1, suppress=False))
    columns, rows = np.flatnonzero(tensor[0, 0, 48] > 0.5), np.flatnonzero(tensor[0, 0, :, 48] > 0.5)
    seen = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]) / scale - 0.5
    np.testing.assert_allclose(seen, [29.5, 20.5, 90.5, 100.5], atol=0.65)  # half a pixel of the input


def test_wild_numbers_in_a_few_cells_do_not_make_a_grid_undone(tiny_onnx):
    outputs = yolox(in_input(TRUE, (161, 117), (96, 128)), (96, 128))
    outputs["output"][0, ::10, :2] = 300
    assert OnnxDetector(tiny_onnx(outputs, size=(96, 128)), "body").layout.name == "YOLOX"
