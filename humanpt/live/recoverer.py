"""Fine-tuned mesh networks made quick with one crop at a time; `commands.recoverers.open_recoverer` opens them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch

from humanpt.data.labelled.record import Floats
from humanpt.engine.runtime import choose_precision
from humanpt.live.exported import RuntimeRecoverer
from humanpt.models.mesh_heads import MeshNetwork
from humanpt.models.mesh_inference import for_inference, round_products
from humanpt.tasks.mesh_config import MeshConfig
from humanpt.tasks.mesh_pictures import NetworkRecoverer, Recoverer

WORTHWHILE = 0.85
"""Share of the time in float32 that bfloat16 must stay under to be chosen: it costs about a millimetre."""
ROUNDS = 3


def quickest(
    network: MeshNetwork, config: MeshConfig, name: str, ledger: Mapping[str, Any], precision: str = "auto"
) -> Recoverer:
    """A network in a form that is quick with few crops: bf16 where that is worth it, else ONNX Runtime on a processor.

    Args:
        network, config, name, ledger, precision: as for `TorchRecoverer`; bf16 is torch's.

    Raises:
        ConfigError: as `TorchRecoverer`.
    """
    by_torch = TorchRecoverer(network, config, name, ledger, precision)
    installed = find_spec("onnxruntime") and find_spec("onnx")
    if by_torch.precision == "bf16" or network.mean_camera.device.type != "cpu" or not installed:
        return by_torch
    return RuntimeRecoverer(network, config, name, ledger, torch.get_num_threads())


class TorchRecoverer(NetworkRecoverer):
    """A fine-tuned network in a form that is quick with few crops at once; meets `Recoverer`.

    Args:
        network: as `load_finetuned` gives it, on the device where it computes; it stays as it is.
        config: of its task.
        name: what it was made from.
        ledger: of its weights.
        precision: `fp32`; `bf16`, in which the trunk's products are then made; or `auto`: bf16 on a GPU that has it,
            and on a processor that has it where it is found to be worth its rounding, which takes some forward passes.

    Raises:
        ConfigError: if there is no such precision, or the device has none.
    """

    def __init__(
        self,
        network: MeshNetwork,
        config: MeshConfig,
        name: str = "network",
        ledger: Mapping[str, Any] | None = None,
        precision: str = "auto",
    ) -> None:
        device = network.mean_camera.device
        chosen = choose_precision(precision, device)
        quick = for_inference(network) if device.type == "cpu" else network
        super().__init__(quick, config, name, ledger)
        if chosen == "bf16":
            rounded = for_inference(network)
            round_products(rounded)
            if (
                precision == "bf16"
                or device.type != "cpu"
                or self._seconds(rounded) < WORTHWHILE * self._seconds(quick)
            ):
                self.network = rounded
        self.runtime = "torch"
        self.precision = "fp32" if self.network is quick else "bf16"
        """What the trunk's products are made in."""

    def _seconds(self, network: MeshNetwork) -> float:
        """The least that one crop takes."""
        crop = np.zeros((1, self.image_size, self.image_size, 3), np.uint8)
        camera: Floats = np.array([[[100, 0, 0], [0, 100, 0], [0, 0, 1]]], np.float32)
        trial, spent = NetworkRecoverer(network, self.config), []
        for _ in range(1 + ROUNDS):
            start = time.perf_counter()
            trial(crop, camera)
            spent.append(time.perf_counter() - start)
        return min(spent[1:])
