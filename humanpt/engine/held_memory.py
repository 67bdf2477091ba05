"""How much memory tensors hold while a step of training goes on, counted exactly and on any device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from weakref import finalize

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakIdKeyDictionary


class Held(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts, inside, the bytes of the storages that operations make, for as long as anything holds them.

    A forward pass comes to what autograd keeps for the backward pass, a backward pass also to what is computed again
    for it. Memory that a kernel takes and gives back within one operation is not seen.
    """

    after: list[int]
    """The bytes held after each operation."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.after = []
        self._now = 0
        self._known = WeakIdKeyDictionary()

    def __torch_dispatch__(
        self, operation: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run an operation, and count the storages of its results that it was not given."""
        given = {id(storage) for storage in _storages((args, kwargs))}
        results = operation(*args, **(kwargs or {}))
        for storage in _storages(results):
            if id(storage) not in given and storage not in self._known:
                self._known[storage] = True
                self._now += storage.nbytes()
                finalize(storage, self._forget, storage.nbytes())
        self.after.append(self._now)
        return results

    def _forget(self, size: int) -> None:
        self._now -= size


def _storages(values: Any) -> list[torch.UntypedStorage]:
    return [value.untyped_storage() for value in tree_leaves(values) if isinstance(value, Tensor)]


def most_held(few: Sequence[int], more: Sequence[int], times: float) -> int:
    """Most bytes that a step holds, after any of its operations, with so many times the pairs added that `more` has.

    Not the most of the one and of the other: what depends on the pairs is at its most at the end of the forward pass,
    what does not (gradients that wait for others of the same weight) at the end of the backward pass.
    """
    if len(few) != len(more):  # should a kernel take other operations for other sizes
        few, more = [max(few)], [max(more)]
    return round(max(less + (much - less) * times for less, much in zip(few, more, strict=True)))
