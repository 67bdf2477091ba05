"""Whether our network and naver/croco's give the same answers from the same weights, both ways. Run as a script.

    python tests/benchmarks/croco_parity.py --croco CHECKOUT [--presets NAME...] [--pictures N] [--json FILE]

CHECKOUT is a clone of naver/croco; without one there is nothing to compare with, and the script says so. For each
network that was published its code makes random weights and saves them as the published file is saved; we read that
file as `pretrain --init` does. Then our own random weights are exported and their code loads them strictly. Both see
the same pictures and withhold the same patches, on the CPU in float32. Printed are the largest differences of the
encoder's tokens (whole picture, and visible patches alone), the decoder's tokens and the pixels, and the largest value
compared. It ends with an error where a difference is above 1e-5.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from humanpt.commands import export
from humanpt.commands.initialise import decided_by, initialise
from humanpt.config import to_dict
from humanpt.engine.checkpoint import Provenance, save_checkpoint
from humanpt.engine.optim import OptimConfig, make_optimizer
from humanpt.engine.report import Silent
from humanpt.models import croco
from humanpt.models.croco import CroCo, CroCoConfig
from humanpt.recipes.pretrain import PRETRAIN

TOLERANCE = 1e-5
ROPE = {"pos_embed": "RoPE100"}
BASE_DECODER = {"dec_depth": 12, "dec_embed_dim": 768, "dec_num_heads": 12}
LARGE_ENCODER = {"enc_depth": 24, "enc_embed_dim": 1024, "enc_num_heads": 16}
PUBLISHED = {
    "v1": (croco.vitb16_small, {}),  # no arguments in its file: all defaults
    "v2 small": (croco.vitb16_small, ROPE),
    "v2 base": (croco.vitb16_base, ROPE | BASE_DECODER),
    "v2 large": (croco.vitl16_base, ROPE | BASE_DECODER | LARGE_ENCODER),
}
PARTS = ("picture", "visible", "decoder", "pixels")


def shake(network: nn.Module) -> None:
    """Move biases and norms away from 0 and 1, or a mistake in them would not show."""
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))


@contextmanager
def importable(checkout: Path) -> Iterator[type]:
    """The network's class of a checkout, whose folders have names that others may want."""
    sys.path.insert(0, str(checkout))
    try:
        from models.croco import CroCoNet

        yield CroCoNet
    finally:
        sys.path.remove(str(checkout))


def theirs(network: nn.Module, image1: torch.Tensor, image2: torch.Tensor) -> dict[str, torch.Tensor]:
    """What the original computes, and the patches that it withheld."""
    visible, places, mask = network._encode_image(image1, do_mask=True)
    memory, memory_places, _ = network._encode_image(image2)
    tokens = network._decoder(visible, places, mask, memory, memory_places)
    pixels = network.prediction_head(tokens)[mask]
    return {"mask": mask, "picture": memory, "visible": visible, "decoder": tokens, "pixels": pixels}


def ours(model: CroCo, image1: torch.Tensor, image2: torch.Tensor, mask: torch.Tensor) -> dict[str, torch.Tensor]:
    """What our network computes with the same patches withheld."""
    tokens: list[torch.Tensor] = []
    hook = model.decoder.register_forward_hook(lambda module, given, out: tokens.append(out))
    pixels = model(image1, image2, mask).flatten(0, 1)
    hook.remove()
    return {
        "picture": model.encoder(image2),
        "visible": model.encoder(image1, ~mask),
        "decoder": tokens[0],
        "pixels": pixels,
    }


def differences(network: nn.Module, model: CroCo, pictures: int) -> dict[str, float]:
    """The largest differences, and the largest value, of both networks on random pictures."""
    size = model.config.image_size
    image1, image2 = torch.randn(2, pictures, 3, size, size).unbind()
    network.eval(), model.eval()
    with torch.no_grad():
        wanted = theirs(network, image1, image2)
        got = ours(model, image1, image2, wanted.pop("mask"))
    found = {name: float((got[name] - value).abs().max()) for name, value in wanted.items()}
    return found | {"largest": max(float(value.abs().max()) for value in wanted.values())}


def save_run(model: CroCo, config: CroCoConfig, recipe: str, folder: Path) -> Path:
    """A run's folder as pre-training leaves it, with these weights."""
    whole = PRETRAIN[recipe]("body")
    whole = replace(whole, task=replace(whole.task, model=config))
    save_checkpoint(
        folder / "last.safetensors",
        model,
        make_optimizer(model, OptimConfig()),
        device=torch.device("cpu"),
        step=0,
        provenance=Provenance(recipe=recipe, config=to_dict(whole), ledger={}),
    )
    return folder


def measure(name: str, network_class: type, pictures: int, folder: Path) -> list[dict[str, object]]:
    """Both ways for one published network."""
    preset, arguments = PUBLISHED[name]
    torch.manual_seed(0)
    network = network_class(**arguments)
    shake(network)
    file = folder / "theirs.pth"
    torch.save({"model": network.state_dict()} | ({"croco_kwargs": arguments} if arguments else {}), file)
    config = decided_by(file, preset())
    model = CroCo(config)
    ledger = initialise(model, file, Silent())
    assert not ledger["missing"], ledger["missing"]
    read = {"network": name, "way": "theirs read by ours", "tensors": len(network.state_dict())}
    rows = [read | differences(network, model, pictures)]

    model = CroCo(config)
    shake(model)
    file = folder / "ours.pth"
    export.run(save_run(model, config, preset.__name__, folder / "run"), "croco", file, Silent())
    contents = torch.load(file, weights_only=True)
    network = network_class(**contents["croco_kwargs"])
    network.load_state_dict(contents["model"], strict=True)
    written = {"network": name, "way": "ours read by theirs", "tensors": len(contents["model"])}
    return [*rows, written | differences(network, model, pictures)]


def main() -> None:
    """Print the differences."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--croco", type=Path, help="a clone of naver/croco")
    parser.add_argument("--presets", nargs="+", choices=list(PUBLISHED), default=list(PUBLISHED))
    parser.add_argument("--pictures", type=int, default=2)
    parser.add_argument("--json", type=Path, help="write the figures there too")
    options = parser.parse_args()
    if options.croco is None:
        print("no --croco CHECKOUT was given, so there is no original network to compare with")
        return
    torch.set_num_threads(1)
    rows = []
    heading = " ".join(f"{part:>9}" for part in PARTS)
    print(f"{'network':9} {'':20} tensors {heading}  largest")
    with importable(options.croco) as network_class:
        for name in options.presets:
            with tempfile.TemporaryDirectory() as folder:
                for row in measure(name, network_class, options.pictures, Path(folder)):
                    rows.append(row)
                    shown = " ".join(f"{row[part]:9.1e}" for part in PARTS)
                    print(f"{name:9} {row['way']:20} {row['tensors']:7} {shown} {row['largest']:8.2f}", flush=True)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2) + "\n")
    worst = max(row[part] for row in rows for part in PARTS)
    if worst > TOLERANCE:
        sys.exit(f"the largest difference is {worst:.1e}, above {TOLERANCE:.0e}")


if __name__ == "__main__":
    main()
