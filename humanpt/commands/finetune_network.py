"""The network of a fine-tuning run: its sizes and first weights, which of them are trained, and reading it back."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from humanpt.commands.finetune_config import AnyConfig, FinetuneMeshConfig, Kind, Tune
from humanpt.commands.finetune_families import FAMILIES, Family
from humanpt.commands.initialise import decided_by, initialise, read_start
from humanpt.commands.runs import checkpoint_of
from humanpt.config import from_dict, override
from humanpt.detect.heatmap import load_weights, weights_file
from humanpt.engine.average import Averaged
from humanpt.engine.checkpoint import Header, put_weights, read_header
from humanpt.engine.report import Report
from humanpt.engine.runtime import seed_everything
from humanpt.engine.weight_files import read_weight_file, sha256
from humanpt.errors import CheckpointError, ConfigError
from humanpt.models.conv_trunk import ConvTrunk
from humanpt.models.mesh_heads import MeshNetwork
from humanpt.models.trunk import Trunk

MEAN = "model.average."
"""Before the names of the weights that evaluate."""


def with_encoder_of(init: Path, config: AnyConfig, changes: Sequence[str]) -> AnyConfig:
    """The config with the encoder that weights are of: our own bring all its sizes, others their position code.

    Args:
        init: as for `initialise.decided_by`.
        config: whose sizes count for the files of others.
        changes: `field=value` texts, of which those of the encoder still hold.

    Raises:
        CheckpointError: as `initialise.decided_by`.
        ConfigError: if the trunk is not the encoder.
    """
    if isinstance(config, FinetuneMeshConfig) and config.trunk == "conv":
        raise ConfigError("trunk=conv begins with the weights of our own detector; leave out --init")
    start = read_start(init)
    encoder = start.config or decided_by(init, config.encoder)
    config = override(replace(config, encoder=encoder), [text for text in changes if text.startswith("encoder.")])
    if FAMILIES[config.kind].views(config) == 2 and not config.encoder.cross_attention:
        assert isinstance(config, FinetuneMeshConfig)  # MAE's decoder never saw a second picture
        encoder, task = replace(config.encoder, cross_attention=True), replace(config.task, decoder="random")
        return replace(config, encoder=encoder, task=task)
    return config


def make_model(
    config: AnyConfig, samples: Any, init: Path | None, report: Report, *, fresh: bool
) -> tuple[Averaged[nn.Module], dict[str, Any] | None]:
    """The network and the mean of its weights, and what the ledger says of where these come from.

    Args:
        config: with all that the data decide.
        samples: the training samples, at whose mean a head may begin.
        init: what pre-trained weights come from; None for random ones.
        report: told which weights fitted.
        fresh: whether a run begins; one that goes on reads its weights afterwards.
    """
    family = FAMILIES[config.kind]
    seed_everything(config.seed)
    network = _build(family, config)
    begun = None
    if fresh:
        family.start(network, samples)
        if isinstance(network.trunk, ConvTrunk):
            begun = _from_detector(network)
            report.note("the first weights of the trunk are those of our own detector")
        elif init is None:
            report.note("the first weights are random; --init takes those of a pre-trained run")
        else:
            random_decoder = isinstance(config, FinetuneMeshConfig) and config.task.decoder == "random"
            begun = initialise(_trunk(network), init, report, part="encoder." if random_decoder else "")
    choose_trained(network, config.tune)
    if isinstance(network.trunk, Trunk):
        network.trunk.checkpoint_activations = config.checkpoint_activations
    return Averaged(network), begun


def choose_trained(network: nn.Module, tune: Tune) -> None:
    """Let "all" weights of a network be trained, those of its "head", or these and the trunk's "norm"s."""
    trunk = network.trunk
    assert isinstance(trunk, nn.Module)
    trunk.requires_grad_(tune == "all")
    if tune == "norm":
        for module in trunk.modules():
            if isinstance(module, nn.LayerNorm):
                module.requires_grad_(True)


def load_finetuned(
    run: Path, device: torch.device, wanted: Collection[str] = tuple(FAMILIES)
) -> tuple[AnyConfig, nn.Module, Header]:
    """Read a fine-tuned network, ready to predict.

    Args:
        run: a run's folder, whose best checkpoint counts, or a checkpoint.
        device: where to bring the network.
        wanted: the kinds that will do.

    Returns:
        Its config, the running mean of its weights in evaluation mode, and what the checkpoint says of itself.

    Raises:
        CheckpointError: if there is none, it is damaged, or of another task.
        InputError: if a licensed body model that it needs is missing.
    """
    path = checkpoint_of(run)
    header = read_header(path)
    kind = header.provenance.recipe
    if kind not in FAMILIES or kind not in wanted:
        what = f"of the task {kind}" if kind in FAMILIES else f"of the recipe {kind}, and not fine-tuned for a task"
        raise CheckpointError(f"{path}: it is {what}; give a run of `humanpt finetune {' or '.join(wanted)}`")
    family: Family[Any, Any] = FAMILIES[cast(Kind, kind)]
    config: AnyConfig = from_dict(family.config_type, header.provenance.config, str(path))
    network = _build(family, config)
    saved = read_weight_file(path).weights
    weights = {name.removeprefix(MEAN): tensor for name, tensor in saved.items() if name.startswith(MEAN)}
    fitted = put_weights(path, weights, network)
    if fitted.missing or fitted.misshaped or fitted.unexpected:
        raise CheckpointError(f"{path}: its weights are not those of its config: {fitted.summary()}; take another")
    return config, network.to(device).eval().requires_grad_(False), header


def _build(family: Family[Any, Any], config: AnyConfig) -> nn.Module:
    network = family.network(config)
    if config.attention != "auto" and isinstance(network.trunk, Trunk):
        network.trunk.attention = config.attention
    return network


def _from_detector(network: nn.Module) -> dict[str, Any]:
    """Give a convolutional trunk the weights of the shipped detector of its subject, and tell the ledger of them."""
    assert isinstance(network, MeshNetwork)
    assert isinstance(network.trunk, ConvTrunk)
    subject = network.config.subject
    file = weights_file(subject)
    detector, pyramid = load_weights(file, subject), network.trunk.pyramid
    weights = detector.network.state_dict()
    pyramid.load_state_dict({name: weights[name] for name in pyramid.state_dict()})
    made = {"file": file.name, "sha256": sha256(file), "kind": "detector", "licence": "Apache-2.0"}
    return made | {"ledger": detector.record}


def _trunk(network: nn.Module) -> Trunk:
    trunk = network.trunk
    assert isinstance(trunk, Trunk)
    return trunk
