"""Which samples an evaluation measures, and how they are read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Generator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from humanpt.commands.finetune import LABELS
from humanpt.commands.finetune_config import AnyConfig, FinetuneDensePoseConfig, FinetuneMeshConfig
from humanpt.commands.finetune_data import digest_of, digest_of_names
from humanpt.commands.finetune_families import FAMILIES
from humanpt.commands.runs import batches_of
from humanpt.data.labelled import find_data
from humanpt.data.labelled.class_folders import ClassSet, evaluation_split
from humanpt.data.labelled.dense import DenseSet
from humanpt.data.labelled.generated import GeneratedSet
from humanpt.data.labelled.generated_dense import GeneratedDense
from humanpt.data.labelled.open_dense import find_dense
from humanpt.data.labelled.record import LabelledSet
from humanpt.data.split import spread
from humanpt.engine.checkpoint import Header
from humanpt.engine.report import Report
from humanpt.engine.runtime import leave_signals_to_the_parent
from humanpt.errors import ConfigError, HumanptError, InputError, unwrapped
from humanpt.scoring.benchmarks import EVALUATION_SPLITS

HELD_OUT = "held-out"
"""The split of the samples that a run held out from its training."""
MAY_BE_SEEN = "The run may have been trained on some of these samples, so its figures say little of others."
SEEN = "The run was trained on {:,} of these {:,} samples, by their names, so its figures say little of others."

NAMED_IN_SPLITS = ("interhand",)
"""Data sets that have other samples of one name in another split."""
IDLE = ("count", "device")
"""Settings of generated pairs that change none of them."""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How samples are looked at."""

    device: torch.device
    """Where the network is."""
    batch: int = 32
    """Samples looked at together; without effect on the figures."""
    workers: int = 2
    """Processes that read pictures; 0 reads in this one."""

    def __post_init__(self) -> None:
        if self.batch < 1 or self.workers < 0:
            raise ConfigError(f"batch is {self.batch} and workers {self.workers}; at least 1 and at least 0")

    def batches(self, samples: Dataset[Any], collate: Callable[[list[Any]], Any]) -> Generator[Any]:
        """All samples in order, in batches; to be closed where they are left early, which ends the workers.

        Raises:
            HumanptError: of some kind, if a sample cannot be read or a worker dies.
        """
        loader: DataLoader[Any] = DataLoader(
            samples,
            batch_size=self.batch,
            num_workers=self.workers,
            collate_fn=collate,
            worker_init_fn=leave_signals_to_the_parent,
        )
        try:
            yield from batches_of(loader)
        except HumanptError as error:
            raise unwrapped(error) from error
        except RuntimeError as error:
            if not str(error).startswith("DataLoader worker"):
                raise
            raise InputError(f"{str(error).splitlines()[0].rstrip('. ')}; try fewer --workers") from error


@dataclass(frozen=True, kw_only=True, eq=False)
class Chosen:
    """The samples that are measured."""

    spec: str
    """What the user calls the data set."""
    dataset: str
    """Its name."""
    split: str
    """Which part of it, as a card tells."""
    data: Any
    """The data set, of the kind that the task opens."""
    indices: NDArray[np.int64]
    """Which samples."""
    notes: tuple[str, ...] = ()
    """What a reader of the figures should know of them, one sentence each."""

    @property
    def sha256(self) -> str:
        """Digest of their names in their order, as cards tell it."""
        names = (self.data.name(number) for number in self.indices.tolist())
        return hashlib.sha256(b"".join(name.encode() + b"\0" for name in names)).hexdigest()

    def samples(self, config: AnyConfig) -> Any:
        """The samples as the task of a run measures them, every one of the indices."""
        family = FAMILIES[config.kind]
        samples: Any = family.samples(config, self.data, self.indices, training=False)
        samples.indices = self.indices  # a run in training measures a part at most
        return samples


def choose_samples(
    config: AnyConfig,
    header: Header,
    folder: Path,
    spec: str | None,
    split: str | None,
    most: int | None,
    report: Report,
) -> Chosen:
    """Find the samples.

    Args:
        config: of the run that is measured.
        header: of its checkpoint.
        folder: of the run, where it wrote down what it was trained on.
        spec: a folder, or NAME:FOLDER; None takes the data of the run.
        split: by the owners' name, or `HELD_OUT`; None takes the part for evaluation of data that are named, else what
            the run held out of its own data, else all.
        most: so many at most, spread evenly; None takes all.
        report: told what is generated.

    Raises:
        HumanptError: of some kind, if data are missing or damaged, nothing was held out, or the run's data have changed
            since.
    """
    family, own = FAMILIES[config.kind], str(header.provenance.ledger["data"])
    its_own = spec is None or place_of(spec) == place_of(own)
    if split == HELD_OUT and not its_own:
        raise ConfigError(f"--split {HELD_OUT} is a part of the run's own data, {own}; leave out --data")
    official = None if spec is None or split is not None else official_split(config, spec)
    held_out = its_own and official is None and split in (None, HELD_OUT)
    spec = spec or own
    wanted = config.split if held_out else split or official
    spec, data = family.open(replace(config, split=wanted), spec, report)
    indices = family.split(config, data)[1] if held_out else np.arange(len(data))
    if not len(indices):
        raise InputError(f"{spec}: the run held nothing of it out; name other data with --data, or --split")
    if held_out and digest_of(data, indices) != header.provenance.ledger["heldout"]["sha256"]:
        raise InputError(
            f"{spec}: not the samples that this run was begun with, so what it held out cannot be told from what it "
            "learned; bring those back, or name other data with --data"
        )
    part = str(data.part if isinstance(data, ClassSet) else data.layout.split)
    if most is not None:
        indices = spread(indices, most)
    about, trained = family.about(data), header.provenance.ledger["about"]
    names = _trained_on(folder, header)
    if names is None:
        other_part = part != trained.get("split") and part == official_split(config, spec)
        notes = (MAY_BE_SEEN,) if its_own and not held_out and not other_part else ()
    else:
        same = ("dataset", "subject", "split") if about["dataset"] in NAMED_IN_SPLITS else ("dataset", "subject")
        same_set = all(about.get(key) == trained.get(key) for key in same)
        seen = _count_seen(data, indices, names if same_set else [], [place_of(own) / name for name in names])
        notes = (SEEN.format(seen, len(indices)),) if seen else ()
    return Chosen(
        spec=spec,
        dataset=str(about["dataset"]),
        split=HELD_OUT if held_out else part,
        data=data,
        indices=indices,
        notes=notes,
    )


def _trained_on(folder: Path, header: Header) -> list[str] | None:
    """Names of the samples that a run was trained on; None where its folder does not tell, or tells of another run."""
    try:
        names = [str(name) for name in json.loads((folder / LABELS).read_text())["names"]]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return names if digest_of_names(names) == header.provenance.ledger["training"]["sha256"] else None


def _count_seen(data: Any, indices: NDArray[np.int64], names: Sequence[str], files: Sequence[Path]) -> int:
    """How many of the samples have one of the names; of pictures in folders also how many are one of the files."""
    known, numbers = set(names), indices.tolist()
    if not isinstance(data, ClassSet):
        return sum(data.name(number) in known for number in numbers)
    places = {file.resolve() for file in files}
    return sum(data.name(number) in known or data.paths[number].resolve() in places for number in numbers)


def described(data: LabelledSet | DenseSet) -> str:
    """What a card calls a data set; generated ones by a digest too of how they were made, which names do not tell."""
    if not isinstance(data, GeneratedSet | GeneratedDense):
        return data.layout.dataset
    ways = {
        json.dumps([{name: value for name, value in reader.config.items() if name not in IDLE}, asdict(reader.truth)])
        for reader in data.pairs.readers
        if reader.truth is not None
    }
    return f"{data.layout.dataset} {hashlib.sha256(json.dumps(sorted(ways)).encode()).hexdigest()[:12]}"


def official_split(config: AnyConfig, spec: str) -> str | None:
    """The part of a data set that is for evaluation, by its owners' name; None where there is none of its own."""
    if isinstance(config, FinetuneMeshConfig):
        return EVALUATION_SPLITS.get(find_data(spec)[0])
    if isinstance(config, FinetuneDensePoseConfig):
        return EVALUATION_SPLITS.get(find_dense(spec)[0])
    return evaluation_split(Path(spec).expanduser())


def place_of(spec: str) -> Path:
    """The folder that a user's words name."""
    name, colon, place = spec.partition(":")
    return Path(place if colon else name).expanduser().resolve()
