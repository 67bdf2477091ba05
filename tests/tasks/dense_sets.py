"""A data set of dense poses that is made up: bright parts on a dark ground, known everywhere or at points."""

from __future__ import annotations

import numpy as np

from humanpt.data.labelled.dense import DenseLayout, DenseMaps, DensePoints

NAMES = ("palm", "thumb", "index")
SIZE = 48


class MadeSet:
    """Pictures of two upright bars: the left one is part 1 or 2, the right one part 3; u runs across, v down.

    Args:
        count: of pictures.
        points: whether points and a mask are known in place of maps.
        sides: of the hands, by turns.
        loose: rows at the top of which nothing is known.
    """

    def __init__(self, count: int = 4, *, points: bool = False, sides: tuple[str, ...] = ("right",), loose: int = 0):
        self.count, self.only_points, self.sides, self.loose = count, points, sides, loose
        self.layout = DenseLayout(
            dataset="made", split="all", subject="hand", part_names=NAMES, charts="made", licence="", site=""
        )
        self.groups = np.arange(count)
        self.asked: list[int] = []

    def __len__(self) -> int:
        return self.count

    def name(self, index: int) -> str:
        return str(index)

    def side(self, index: int):
        return self.sides[index % len(self.sides)]

    def square(self, index: int):
        return np.array([-0.5, -0.5, SIZE - 0.5, SIZE - 0.5], np.float32)

    def part(self, index: int):
        part = np.zeros((SIZE, SIZE), np.int64)
        left = 4 + 2 * (index % 3)
        part[6:40, left : left + 12] = 1 + index % 2
        part[12:44, 30:42] = 3
        return part

    def uv(self, index: int):
        y, x = np.mgrid[0:SIZE, 0:SIZE] / np.float32(SIZE)
        return np.stack([x, y], axis=-1).astype(np.float32) * (self.part(index) > 0)[..., None]

    def picture(self, index: int):
        colours = np.array([(20, 30, 40), (200, 60, 60), (60, 200, 60), (60, 60, 200)], np.uint8)
        return colours[self.part(index)]

    def known(self, index: int):
        known = np.ones((SIZE, SIZE), np.bool_)
        known[: self.loose] = False
        return known

    def maps(self, index: int):
        self.asked.append(index)
        if self.only_points:
            return None
        return DenseMaps(part=self.part(index), known=self.known(index), uv=self.uv(index))

    def mask(self, index: int):
        return self.part(index) > 0

    def points(self, index: int):
        y, x = np.nonzero(self.part(index))
        return DensePoints(
            pixels=np.stack([x, y], axis=1).astype(np.float32),
            part=self.part(index)[y, x],
            uv=self.uv(index)[y, x],
        )
