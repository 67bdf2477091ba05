"""COCO's run-length masks: bits column by column, as the lengths of runs of zeros and ones in turn, zeros first.

In JSON a mask is {"size": [H, W], "counts": ...}, the counts a list of numbers or packed as text. Packed, each number
from the fourth on is the difference to the one two before it; a number goes in groups of five bits, the lowest first,
each as the character 48 + group, plus 32 where another follows; the highest bit of the last group is the sign.

Source: the format of cocodataset.org, as its API (mask.h) describes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray


def decode_mask(packed: Mapping[str, Any]) -> NDArray[np.bool_]:
    """The (H, W) mask.

    Raises:
        ValueError: if the runs do not fill it, or it is packed in another way.
    """
    try:
        height, width = (int(side) for side in packed["size"])
        counts = packed["counts"]
        runs = _unpack(counts) if isinstance(counts, str | bytes) else [int(count) for count in counts]
    except (KeyError, TypeError) as error:
        raise ValueError(f"no mask of COCO ({type(error).__name__}: {error})") from None
    if min(runs, default=0) < 0 or sum(runs) != height * width:
        raise ValueError(f"runs of {sum(runs)} pixels in a mask of {height} x {width}")
    bits = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    return bits.reshape(width, height).T


def _unpack(text: str | bytes) -> list[int]:
    """The numbers in packed text."""
    numbers: list[int] = []
    value, shift = 0, 0
    for code in text.encode("latin1") if isinstance(text, str) else text:
        group = code - 48
        if not 0 <= group < 64:
            raise ValueError(f"character {chr(code)!r} in packed runs")
        value |= (group & 31) << shift
        shift += 5
        if group & 32:
            continue
        if group & 16:
            value -= 1 << shift
        numbers.append(value + (numbers[-2] if len(numbers) > 2 else 0))
        value, shift = 0, 0
    if shift:
        raise ValueError("packed runs are cut short")
    return numbers
