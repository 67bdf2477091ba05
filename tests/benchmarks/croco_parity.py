"""Whether our network and the original one, naver/croco's, compute the same from the same weights, at every preset.

    python -m tests.benchmarks croco_parity --croco CHECKOUT [--presets v1 v2-small v2-base v2-large] [--pictures 1]

CHECKOUT is a folder with the original code (github.com/naver/croco), which is not part of this project. For each preset
the original network is made with random weights in all its parameters, saved as its authors save theirs, and read with
`--init`; then ours is made so, exported with `humanpt export --to croco` and loaded there strictly, and with `--to
timm` and loaded by timm. Printed are the largest differences in float32 between encoder outputs of a whole picture and
of visible patches alone, decoder outputs, and predicted pixels of withheld patches, beside the spread of what is
compared; more than 1e-5 of a spread of 1 ends the script with an error.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import timm
import torch
from torch import Tensor, nn

from humanpt.commands import export
from humanpt.commands.initialise import decided_by, initialise
from humanpt.engine.checkpoint import Provenance, save_checkpoint
from humanpt.engine.optim import OptimConfig, make_optimizer
from humanpt.engine.report import Silent
from humanpt.models import croco
from humanpt.models.croco import CroCo, CroCoConfig

TOLERANCE = 1e-5
LARGE = {"enc_embed_dim": 1024, "enc_depth": 24, "enc_num_heads": 16}
BASE_DECODER = {"dec_embed_dim": 768, "dec_depth": 12, "dec_num_heads": 12}
PRESETS: dict[str, tuple[CroCoConfig, dict[str, Any]]] = {
    "v1": (dataclasses.replace(croco.vitb16_small(), positions="cosine"), {}),
    "v2-small": (croco.vitb16_small(), {"pos_embed": "RoPE100"}),
    "v2-base": (croco.vitb16_base(), BASE_DECODER | {"pos_embed": "RoPE100"}),
    "v2-large": (croco.vitl16_base(), LARGE | BASE_DECODER | {"pos_embed": "RoPE100"}),
}
"""Our config and the arguments of the original network, as the published files have them."""


def main() -> None:
    """Compare at each preset, both ways."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--croco", type=Path, help="a checkout of github.com/naver/croco")
    parser.add_argument("--presets", nargs="+", choices=list(PRESETS), default=list(PRESETS))
    parser.add_argument("--pictures", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if options.croco is None or not (options.croco / "models" / "croco.py").is_file():
        print("no checkout of naver/croco given, so there is nothing to compare with: --croco CHECKOUT")
        return
    sys.path.insert(0, str(options.croco.resolve()))
    from models.croco import CroCoNet

    worst = 0.0
    for name in options.presets:
        config, kwargs = PRESETS[name]
        with tempfile.TemporaryDirectory() as folder, torch.no_grad():
            torch.manual_seed(options.seed)
            pictures = torch.randn(2, options.pictures, 3, config.image_size, config.image_size)
            mask = torch.rand(options.pictures, config.num_patches).argsort(dim=1) < int(0.9 * config.num_patches)
            theirs = random_weights(CroCoNet(**kwargs))
            read = read_theirs(theirs, config, kwargs, Path(folder), pictures, mask)
            worst = max(worst, tell(f"{name}, theirs read by us", read))
            del theirs
            ours = random_weights(CroCo(config))
            read = read_ours(ours, config, CroCoNet, Path(folder), pictures, mask)
            worst = max(worst, tell(f"{name}, ours read by them", read))
            worst = max(worst, tell(f"{name}, our encoder in timm", read_by_timm(ours, Path(folder), pictures)))
    print(f"the largest difference is {worst:.1e} of the spread; allowed is {TOLERANCE:.0e}")
    sys.exit(worst > TOLERANCE)


class Given(nn.Module):
    """A mask that is given, in the place of one that is drawn."""

    def __init__(self, mask: Tensor) -> None:
        super().__init__()
        self.mask = mask

    def forward(self, tokens: Tensor) -> Tensor:
        """The mask, whatever the tokens."""
        return self.mask


def random_weights(network: Any) -> Any:
    """Every parameter moved by chance, so that none is at a value that hides a mistake, such as a bias of zero."""
    for parameter in network.parameters():
        parameter.add_(0.02 * torch.randn_like(parameter))
    return network.eval()


def tell(what: str, compared: dict[str, tuple[Tensor, Tensor]]) -> float:
    """Print the differences of each pair of outputs; the largest, over the spread of the outputs."""
    shares = []
    for name, (first, second) in compared.items():
        difference, spread = float((first - second).abs().max()), float(second.std())
        shares.append(difference / max(spread, 1.0))
        print(f"{what:28} {name:18} largest difference {difference:.1e}, spread {spread:.2f}", flush=True)
    return max(shares)


def outputs(ours: CroCo, theirs: Any, pictures: Tensor, mask: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
    """What both networks make of the same pictures and mask."""
    image1, image2 = pictures
    theirs.mask_generator = Given(mask)  # theirs is drawn within
    whole, places, _ = theirs._encode_image(image1)
    other, other_places, _ = theirs._encode_image(image2)
    visible, all_places, _ = theirs._encode_image(image1, do_mask=True)
    compared = theirs._decoder(whole, places, None, other, other_places)
    pixels = theirs.prediction_head(theirs._decoder(visible, all_places, mask, other, other_places))
    return {
        "encoder": (ours.encoder(image1), whole),
        "encoder, visible": (ours.encoder(image1, keep=~mask), visible),
        "decoder": (ours.compare(image1, image2), compared),
        "pixels, withheld": (ours(image1, image2, mask), pixels[mask].view(len(mask), -1, pixels.shape[-1])),
    }


def read_theirs(
    theirs: nn.Module, config: CroCoConfig, kwargs: dict[str, Any], folder: Path, pictures: Tensor, mask: Tensor
) -> dict[str, tuple[Tensor, Tensor]]:
    """Their network's file read with --init."""
    file = folder / "theirs.pth"
    torch.save({"model": theirs.state_dict()} | ({"croco_kwargs": kwargs} if kwargs else {}), file)
    ours = CroCo(decided_by(file, config)).eval()
    ledger = initialise(ours, file, Silent())
    if ours.config != config or ledger["missing"] or ledger["unexpected"]:
        sys.exit(f"not every weight was read: {json.dumps(ledger)[:300]}")
    print(f"{len(ledger['matched']) + len(ledger['fixed'])} tensors, {parameters(ours):,} parameters")
    return outputs(ours, theirs, pictures, mask)


def read_ours(
    ours: CroCo, config: CroCoConfig, network: Any, folder: Path, pictures: Tensor, mask: Tensor
) -> dict[str, tuple[Tensor, Tensor]]:
    """Our checkpoint exported, and loaded strictly by their network."""
    provenance = Provenance(recipe="parity", config={"task": {"model": dataclasses.asdict(config)}})
    optimizer = make_optimizer(ours, OptimConfig())
    save_checkpoint(
        folder / "last.safetensors", ours, optimizer, device=torch.device("cpu"), step=0, provenance=provenance
    )
    written = export.run(folder, "croco", None, Silent())
    contents = torch.load(written["out"], weights_only=True)
    theirs = network(**contents["croco_kwargs"]).eval()
    theirs.load_state_dict(contents["model"], strict=True)
    return outputs(ours, theirs, pictures, mask)


def read_by_timm(ours: CroCo, folder: Path, pictures: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
    """The checkpoint that `read_ours` left, exported to timm and made there by name and arguments."""
    written = export.run(folder, "timm", None, Silent())
    encoder = timm.create_model(
        written["timm_model"], **written["timm_arguments"], checkpoint_path=written["out"]
    ).eval()
    return {"encoder": (ours.encoder(pictures[0]), encoder(pictures[0]))}


def parameters(network: nn.Module) -> int:
    """How many numbers training moves."""
    return sum(parameter.numel() for parameter in network.parameters())


if __name__ == "__main__":
    main()
