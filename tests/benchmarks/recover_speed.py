"""How long a mesh network takes for one crop: as it is, made quick, and rounded; and what rounding costs in mm.

Run by `python -m tests.benchmarks.recover_speed`; the body models' part is in all of them. With the extra `onnx`, the
networks of the recipe `live` are also measured as ONNX Runtime runs their exports. Every form computes in one thread,
and times are those of the processor, so that what else the machine does counts for little.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from numpy.typing import NDArray

from humanpt.body.model import load_body_model
from humanpt.commands import export
from humanpt.commands.finetune_config import Kind
from humanpt.commands.finetune_families import FAMILIES
from humanpt.commands.recoverers import open_plain, open_recoverer
from humanpt.config import to_dict
from humanpt.engine.average import Averaged
from humanpt.engine.checkpoint import Provenance, save_checkpoint
from humanpt.engine.optim import make_optimizer
from humanpt.engine.report import Silent
from humanpt.live.recoverer import TorchRecoverer
from humanpt.models.conv_trunk import ConvTrunk, ConvTrunkConfig
from humanpt.models.croco import tiny, vits16_small
from humanpt.models.mesh_heads import MeshNetwork
from humanpt.models.trunk import Trunk
from humanpt.recipes.finetune import finetune_recipe
from humanpt.tasks.mesh_config import MeshConfig
from humanpt.tasks.mesh_pictures import NetworkRecoverer, Recoverer, assumed_intrinsics

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
        for subject, model in (("hand", "anny-hand"), ("body", "anny-body-small")):
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
            least = medians(forms, crop, camera)
            found = {form: recoverer(crop, camera) for form, recoverer in forms.items()}
            relative = {form: found[form].vertices - found[form].keypoints[:, :1] for form in forms}
            apart = 1000 * float((relative["bf16"] - relative["eager"]).norm(dim=-1).mean())
            told = ", ".join(f"{form} {ms:.1f} ms ({least['eager'] / ms:.2f}x)" for form, ms in least.items())
            print(f"{name} {subject}: {told}; bf16 moves vertices by {apart:.2f} mm relative to the root")
    for kind in ("hand-mesh", "body-mesh"):
        exported(kind)


def exported(kind: Kind) -> None:
    """Print a line for a network of the recipe `live`, random but for its trunk, as an export."""
    if find_spec("onnx") is None or find_spec("onnxruntime") is None:
        print("live networks by ONNX Runtime: not measured, the extra onnx is not installed")
        return
    config = finetune_recipe(kind, "live")
    torch.manual_seed(0)
    model = Averaged(FAMILIES[kind].network(config))
    torch.nn.init.normal_(model.average.head.out.weight, std=0.02)
    with TemporaryDirectory() as folder:
        run, out = Path(folder) / "last.safetensors", Path(folder) / "mesh.onnx"
        provenance = Provenance(recipe=kind, config=to_dict(config))
        optimizer = make_optimizer(model, config.optim)
        save_checkpoint(run, model, optimizer, device=torch.device("cpu"), step=1, provenance=provenance)
        export.run(run, "onnx", out, Silent())
        forms = {
            "eager": open_plain(run, device="cpu"),
            "quick": open_recoverer(run, device="cpu", precision="fp32"),
            "ONNX Runtime": open_recoverer(out, threads=1),
        }
    size = config.conv.image_size
    crop = np.random.default_rng(0).integers(0, 256, (1, size, size, 3), np.uint8)
    least = medians(forms, crop, assumed_intrinsics(size, size)[None])
    told = ", ".join(f"{form} {ms:.1f} ms ({least['eager'] / ms:.2f}x)" for form, ms in least.items())
    print(f"live {kind}, one thread: {told}")


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
