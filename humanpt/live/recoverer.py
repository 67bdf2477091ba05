"""Fine-tuned mesh networks made fast for one crop at a time; `commands.recoverers.open_recoverer` opens them."""

from __future__ import annotations

from humanpt.tasks.mesh_pictures import NetworkRecoverer, Recoverer, recover_boxes

__all__ = ["Recoverer", "TorchRecoverer", "recover_boxes"]


class TorchRecoverer(NetworkRecoverer):
    """A fine-tuned network, ready for live pictures; meets `Recoverer`."""
