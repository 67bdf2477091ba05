"""Networks in the format of ONNX, by torch's exporter that traces them."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from humanpt.models.graph import Graph

OPSET = 17


def to_onnx(graph: Graph, given: tuple[Tensor, ...]) -> bytes:
    """A network as an ONNX file, for batches of any size.

    Args:
        graph: what is to be told.
        given: its inputs, two of each, by which it is traced.
    """
    names, file = list(graph.inputs), io.BytesIO()
    with tracing():
        torch.onnx.register_custom_op_symbolic("aten::mT", _transposed, OPSET)  # type: ignore[attr-defined]
        torch.onnx.export(
            graph,
            given,
            file,  # type: ignore[arg-type]  # this exporter takes it
            dynamo=False,  # torch.export takes minutes for what this takes seconds
            input_names=names,
            output_names=list(graph.outputs),
            dynamic_axes={name: {0: "batch"} for name in (*names, *graph.outputs)},
            opset_version=OPSET,
        )
    return file.getvalue()


@contextmanager
def tracing() -> Iterator[None]:
    """Inside, no warnings of TorchScript, which torch calls old, and of tracing, which warns of sizes that stay."""
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        yield


def _transposed(graph: Any, matrix: Any) -> Any:
    """The last two axes of a tensor swapped, in ONNX; its exporter does not know `mT`."""
    rank = matrix.type().dim()
    return graph.op("Transpose", matrix, perm_i=[*range(rank - 2), rank - 1, rank - 2])
