"""How long a mesh network takes for one crop: as it is, made quick, rounded, and run by ONNX Runtime.

Run by `python -m tests.benchmarks recover_speed`; the body models' part is in all of them. Also told is what rounding
costs in mm. Every form computes in one thread, and times are those of the processor, so that what else the machine does
counts for little. `conv 96` is the trunk of the networks that come with humanpt.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from importlib.util import find_spec

import numpy as np
import torch
from numpy.typing import NDArray

from humanpt.body.model import load_body_model
from humanpt.live.exported import RuntimeRecoverer
from humanpt.live.recoverer import TorchRecoverer
from humanpt.models.conv_trunk import ConvTrunk, ConvTrunkConfig
from humanpt.models.croco import tiny, vits16_small
from humanpt.models.mesh_heads import MeshNetwork
from humanpt.models.trunk import Trunk
from humanpt.tasks.mesh_config import MeshConfig
from humanpt.tasks.mesh_pictures import NetworkRecoverer, Recoverer

ROUNDS = 15
TRUNKS = {
    "conv 96": lambda: ConvTrunk(ConvTrunkConfig(image_size=96)),
    "ViT tiny": lambda: Trunk(tiny()),
    "ViT-S 224": lambda: Trunk(vits16_small()),
}


def main() -> None:
    """Print a line for each trunk and subject."""
    torch.set_num_threads(1)
    for name, make in TRUNKS.items():
        for subject, model in (("hand", "anny-hand"), ("body", "anny-body")):
            torch.manual_seed(0)
            config = MeshConfig(subject=subject, model=model)
            network = MeshNetwork(make(), config, load_body_model(model)).eval().requires_grad_(False)
            torch.nn.init.normal_(network.head.out.weight, std=0.05)
            size = network.trunk.config.image_size
            crop = np.random.default_rng(0).integers(0, 256, (1, size, size, 3), np.uint8)
            camera = np.array([[[2 * size, 0, size / 2], [0, 2 * size, size / 2], [0, 0, 1]]], np.float32)
            forms = {
                "eager": NetworkRecoverer(network, config),
                "quick": TorchRecoverer(network, config, precision="fp32"),
                "bf16": TorchRecoverer(network, config, precision="bf16"),
            }
            if find_spec("onnx") and find_spec("onnxruntime"):
                forms["ONNX Runtime"] = RuntimeRecoverer(network, config, threads=1)
            least = medians(forms, crop, camera)
            found = {form: recoverer(crop, camera) for form, recoverer in forms.items()}
            relative = {form: found[form].vertices - found[form].keypoints[:, :1] for form in forms}
            apart = 1000 * float((relative["bf16"] - relative["eager"]).norm(dim=-1).mean())
            told = ", ".join(f"{form} {ms:.1f} ms ({least['eager'] / ms:.2f}x)" for form, ms in least.items())
            print(f"{name} {subject}: {told}; bf16 moves vertices by {apart:.2f} mm relative to the root")


def medians(forms: Mapping[str, Recoverer], crop: NDArray[np.uint8], camera: NDArray[np.float32]) -> dict[str, float]:
    """Milliseconds of the processor that one crop takes."""
    spent = {form: [] for form in forms}
    for _ in range(ROUNDS):  # in turns, so that what else the machine does falls on all alike
        for form, recoverer in forms.items():
            start = time.process_time()
            recoverer(crop, camera)
            spent[form].append(1000 * (time.process_time() - start))
    return {form: float(np.median(times)) for form, times in spent.items()}


if __name__ == "__main__":
    main()
