"""The labelled pictures of a fine-tuning run: found, split, a share of the labels taken, and told in the ledger."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch.utils.data import Dataset

from humanpt.commands.finetune_config import AnyConfig
from humanpt.commands.finetune_families import FAMILIES, Family, Indices
from humanpt.data.labelled.subset import labelled_share
from humanpt.data.worker_memory import check_workers, pair_bytes
from humanpt.engine.distributed import World
from humanpt.engine.report import Report
from humanpt.errors import InputError


@dataclass(frozen=True, kw_only=True, eq=False)
class FinetuneData:
    """The labelled pictures of a run and their split."""

    spec: str
    """What the user calls the data set."""
    data: Any
    """The data set, of the kind that its family opens."""
    training: Indices
    """Those to train on."""
    heldout: Indices
    """Those held out."""
    stream: Dataset[Any]
    """The training samples by stream position."""
    measured: Dataset[Any] | None
    """What is held out, as the task measures it; None where that is nothing."""

    def names(self, indices: Indices) -> list[str]:
        """Names of some samples."""
        return [self.data.name(index) for index in indices.tolist()]


def open_data(
    config: AnyConfig, spec: str | None, chosen: Collection[str] | None, world: World, report: Report
) -> tuple[AnyConfig, FinetuneData]:
    """Find the labelled pictures of a run.

    Args:
        config: of the run.
        spec: what the user calls the data set; None for what the task generates.
        chosen: fields that the user set; None where a run goes on and the data decide nothing any more.
        world: the processes of the run, of which the first alone generates.
        report: told what is generated or left out.

    Returns:
        The config with what the data decide, and the pictures.

    Raises:
        HumanptError: of some kind, if the data set is missing, damaged, of another subject, or has too few pictures.
    """
    family: Family[Any, Any] = FAMILIES[config.kind]
    with world.first_alone():
        spec, data = family.open(config, spec, report)
    if chosen is not None:
        config = family.settle(config, data, chosen, report)
    size, pictures = config.image_size, family.views(config)
    check_workers(config.workers * world.neighbours, config.loop.micro_batch // world.size * pair_bytes(size, pictures))
    rest, heldout = family.split(config, data)
    if not len(rest):
        raise InputError(f"{spec}: no pictures are left to train on; hold out fewer by --set heldout=0.1")
    classes = family.classes(data)
    names = [data.name(index) for index in rest.tolist()]
    training = rest[labelled_share(names, config.labels, config.seed, None if classes is None else classes[rest])]
    return config, FinetuneData(
        spec=spec,
        data=data,
        training=training,
        heldout=heldout,
        stream=family.samples(config, data, training, training=True),
        measured=family.samples(config, data, heldout, training=False) if len(heldout) else None,
    )


def ledger_of(config: AnyConfig, data: FinetuneData) -> dict[str, Any]:
    """What the weights come from: the data with their licence, the split, the labels."""

    def part(indices: Indices) -> dict[str, Any]:
        return {"pictures": len(indices), "sha256": digest_of(data.data, indices)}

    about = json.loads(json.dumps(FAMILIES[config.kind].about(data.data)))
    return {
        "data": data.spec,
        "about": about,
        "sources": [{"path": data.spec, "licence": about["licence"]}],
        "training": part(data.training),
        "heldout": part(data.heldout),
        "labels": {"share": config.labels, "seed": config.seed},
    }


def digest_of(data: Any, indices: Indices) -> str:
    """Digest of the names of some samples in their order, as the ledger tells it."""
    return digest_of_names([data.name(index) for index in indices.tolist()])


def digest_of_names(names: Sequence[str]) -> str:
    """The same of the names themselves."""
    return hashlib.sha256("\n".join(names).encode()).hexdigest()


def refuse_other_data(begun: Mapping[str, Any], ledger: Mapping[str, Any], last: Path) -> None:
    """Refuse to go on with other pictures: the order of samples would be another.

    Raises:
        InputError: if the ledgers tell of different pictures or labels.
    """
    for what in ("about", "training", "heldout"):
        if begun[what] != ledger[what]:
            raise InputError(
                f"{ledger['data']}: not the pictures that this run was begun with ({what} differ); bring those back, "
                f"or begin a new run with --init {last}"
            )


def doubts_about(config: AnyConfig, data: FinetuneData) -> list[str]:
    """What a user should know of the data before trusting figures."""
    found = []
    if not len(data.heldout) and config.heldout:
        found.append("all pictures are of one group, so nothing is held out and no figure tells how it generalises")
    if FAMILIES[config.kind].views(config) == 2:
        alone = int((data.data.partners[data.training] < 0).sum())
        if alone:
            found.append(
                f"{alone} of {len(data.training)} pictures have no second view, so they see themselves, cut anew; "
                "the decoder learns little of them"
            )
    if len(data.training) < config.loop.batch_size:
        found.append(
            f"there are only {len(data.training)} labelled pictures to train on, fewer than a batch of "
            f"{config.loop.batch_size}, so that each comes several times in a step"
        )
    return found
