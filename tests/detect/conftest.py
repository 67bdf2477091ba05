"""Frames that need no video."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class PaintedFrame:
    """A picture in memory that meets `detector.Frame`."""

    picture: NDArray[np.uint8]
    number: int = 0
    name: str | None = None

    @property
    def timestamp(self) -> float:
        return self.number / 25

    @property
    def width(self) -> int:
        return self.picture.shape[1]

    @property
    def height(self) -> int:
        return self.picture.shape[0]

    def rgb(self) -> NDArray[np.uint8]:
        return self.picture

    def small(self, longest: int) -> NDArray[np.uint8]:
        ratio = min(1.0, longest / max(self.width, self.height))
        size = max(1, round(self.width * ratio)), max(1, round(self.height * ratio))
        return np.asarray(cv2.resize(self.picture, size), np.uint8)


FrameMaker = Callable[..., PaintedFrame]


@pytest.fixture
def frame() -> FrameMaker:
    """Makes an empty (black) frame: frame(width, height, number=..., name=...)."""

    def make(width: int = 64, height: int = 48, number: int = 0, name: str | None = None) -> PaintedFrame:
        return PaintedFrame(picture=np.zeros((height, width, 3), np.uint8), number=number, name=name)

    return make


@pytest.fixture
def tiny_onnx(tmp_path: Path) -> Callable[..., Path]:
    """Writes an ONNX model that gives the same outputs for every picture.

    Call it with the outputs by name; `size` is the input's height and width (None leaves them open).
    """
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")

    def make(
        outputs: dict[str, NDArray[Any]],
        size: tuple[int, int] | None = None,
        names: dict[int, str] | None = None,
        file: str = "model.onnx",
        input_type: int = onnx.TensorProto.FLOAT,
        mask: bool = False,
    ) -> Path:
        helper = onnx.helper
        sides = size or ("height", "width")
        inputs = [helper.make_tensor_value_info("images", input_type, [1, 3, *sides])]
        if mask:
            inputs.append(helper.make_tensor_value_info("pixel_mask", onnx.TensorProto.INT64, [1, "h", "w"]))
        nodes, infos = [], []
        for name, array in outputs.items():
            nodes.append(helper.make_node("Constant", [], [name], value=onnx.numpy_helper.from_array(array)))
            kind = helper.np_dtype_to_tensor_dtype(array.dtype)
            infos.append(helper.make_tensor_value_info(name, kind, array.shape))
        graph = helper.make_graph(nodes, "tiny", inputs, infos)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        if names is not None:
            helper.set_model_props(model, {"names": str(names)})
        path = tmp_path / file
        onnx.save(model, path)
        return path

    return make
