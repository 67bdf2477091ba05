"""Dense pose of generated people and hands: exact, for every pixel, drawn again from the numbers in the shards.

Each picture is a crop, and the whole of it is the sample. Points are drawn from the maps for those who want points.

Letters: S side of a crop.
"""

from __future__ import annotations

from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from humanpt.body.charts import charts_of
from humanpt.body.skeletons import BODY_PARTS, HAND_PARTS
from humanpt.data.image import Rgb
from humanpt.data.labelled.dense import DenseLayout, DenseMaps, DensePoints, Floats
from humanpt.data.pairset import PairSet
from humanpt.data.people.truth import TruthMaps, maps
from humanpt.data.records import SIDES, Side, TruthLayout
from humanpt.errors import ShardError

POINTS = 150
"""Points that are drawn from a picture's maps; annotators of DensePose-COCO set up to 14 on each part that they see."""


class GeneratedDense:
    """Both pictures of each generated pair; sample 2k is `image1` of pair k, 2k + 1 its `image2`.

    Args:
        pairs: generated pairs, with truth.

    Raises:
        ShardError: if a shard has no truth, or shards were made with different models.
    """

    def __init__(self, pairs: PairSet) -> None:
        truths: dict[TruthLayout, Path] = {}
        for reader in pairs.readers:
            if reader.truth is None:
                raise ShardError(f"{reader.path}: has no truth; make generated pairs with `humanpt mkpairs synthetic`")
            truths.setdefault(reader.truth, reader.path)
        if len(truths) > 1:
            models = " and ".join(f"{truth.model} ({path.name})" for truth, path in truths.items())
            raise ShardError(f"{pairs.folders[0]}: shards of different models are mixed: {models}; give those of one")
        self.pairs = pairs
        self.model = next(iter(truths)).model
        self.layout = DenseLayout(
            dataset="generated",
            split="all",
            subject=pairs.subject_kind,
            part_names=BODY_PARTS if pairs.subject_kind == "body" else HAND_PARTS,
            charts=f"canonical:{self.model}",
            licence="; ".join(sorted({source.licence for reader in pairs.readers for source in reader.sources})),
            site="`humanpt mkpairs synthetic`",
        )

    @property
    def groups(self) -> NDArray[np.int64]:
        """(N,) the recording, which is one person in one room."""
        return np.repeat(self.pairs.sequence, 2)

    def __len__(self) -> int:
        return 2 * len(self.pairs)

    def name(self, index: int) -> str:
        """The pair's recording, its frame and which of its two pictures this is, as `GeneratedSet` calls them."""
        pair, which = divmod(index, 2)
        reader, row = self.pairs.locate(pair)
        frame = int(reader.frames[row, which])
        return f"{self.pairs.sequences[self.pairs.sequence[pair]]}/{frame:06d}-{row}-{which + 1}"

    def side(self, index: int) -> Side:
        """Which hand; "none" for a body."""
        reader, row = self.pairs.locate(index // 2)
        return cast("Side", SIDES[reader.side[row]])

    def square(self, index: int) -> Floats:
        """(4,) the whole picture."""
        size = self.pairs.locate(index // 2)[0].crop_size
        return np.array([-0.5, -0.5, size - 0.5, size - 0.5], np.float32)

    def beside(self, index: int) -> tuple[int, ...]:
        """Nobody else is labelled in a picture."""
        return ()

    def area(self, index: int) -> float | None:
        """None: that of the mask."""
        return None

    def picture(self, index: int) -> Rgb:
        """(S, S, 3) uint8."""
        return self.pairs.image(index // 2, index % 2)

    def maps(self, index: int) -> DenseMaps:
        """The labels of every pixel.

        Raises:
            ShardError: if the pair is damaged or was made with another model.
        """
        truth = self._truth(index)
        part = np.where(truth.surface, truth.part + 1, 0)
        uv = np.zeros((*part.shape, 2), np.float32)
        canonical = truth.canonical[truth.surface]
        if self.side(index) == "left":  # charts are those of the right hand
            canonical = canonical * np.array([-1, 1, 1], np.float32)
        uv[truth.surface] = charts_of(self.model).coordinates(truth.face[truth.surface], canonical)
        return DenseMaps(part=part, known=truth.surface | ~truth.mask, uv=uv)

    def mask(self, index: int) -> NDArray[np.bool_]:
        """(S, S) True on the subject, loose clothes and hair included."""
        return self._truth(index).mask

    def points(self, index: int) -> DensePoints:
        """Up to `POINTS` points of the maps, always the same."""
        known = self.maps(index)
        rows, columns = np.nonzero(known.part)
        rng = np.random.default_rng(index)
        chosen = np.sort(rng.permutation(len(rows))[:POINTS])
        y, x = rows[chosen], columns[chosen]
        pixels = np.stack([x, y], axis=1).astype(np.float32)
        return DensePoints(pixels=pixels, part=known.part[y, x], uv=known.uv[y, x])

    def _truth(self, index: int) -> TruthMaps:
        reader, row = self.pairs.locate(index // 2)
        return maps(reader, row, 1 if index % 2 == 0 else 2)
