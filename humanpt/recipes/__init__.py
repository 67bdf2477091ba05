"""Complete configs by name."""

from __future__ import annotations

import difflib

from humanpt.commands.pretrain import PretrainConfig
from humanpt.errors import ConfigError
from humanpt.recipes.pretrain import PRETRAIN, Subject


def pretrain_recipe(name: str, subject: Subject) -> PretrainConfig:
    """The pre-training recipe of that name for bodies or hands.

    Raises:
        ConfigError: if there is none; the nearest name is offered.
    """
    if name not in PRETRAIN:
        near = difflib.get_close_matches(name, PRETRAIN, n=1, cutoff=0.0)[0]
        raise ConfigError(f"there is no recipe {name!r}; did you mean {near}? The recipes are {', '.join(PRETRAIN)}")
    return PRETRAIN[name](subject)
