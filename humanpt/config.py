"""Dataclass configs: override by name, save as JSON, read back.

A config is a frozen, keyword-only dataclass whose fields are numbers, strings, booleans, None, tuples of these, or
other such configs. Names with dots reach into nested configs: `optim.lr`.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import math
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from humanpt.errors import ConfigError

T = TypeVar("T")


def field_names(config: Any) -> list[str]:
    """Every leaf field of a config, nested ones with dots, in the order of their definition."""
    names = []
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            names += [f"{field.name}.{inner}" for inner in field_names(value)]
        else:
            names.append(field.name)
    return names


def override(config: T, assignments: Sequence[str]) -> T:
    """Apply `field=value` texts, as given to `--set`, all at once, and return a new config.

    Raises:
        ConfigError: if a text has no `=`, there is no such field (the nearest is offered), or a value does not fit.
    """
    known = field_names(config)
    changes: dict[str, Any] = {}
    for text in assignments:
        name, equals, value = text.partition("=")
        name, value = name.strip(), value.strip()
        if not equals:
            raise ConfigError(f"--set {text}: write it as field=value, for example --set seed=1")
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
            near = near or [k for k in known if k.split(".")[-1] == name.split(".")[-1]][:1]
            hint = f"did you mean {near[0]}?" if near else f"fields are {', '.join(known)}"
            raise ConfigError(f"--set {name}: there is no such field; {hint}")
        hint = _hint(config, name)
        try:
            changes[name] = _parse(value, hint)
        except ValueError:
            choices = typing.get_args(hint) if typing.get_origin(hint) is typing.Literal else ()
            wanted = " or ".join(map(str, choices)) or getattr(hint, "__name__", str(hint))
            raise ConfigError(f"--set {name}={value}: the value does not fit; it wants {wanted}") from None
    return _changed(config, changes)


def _hint(config: Any, name: str) -> Any:
    """The type of a field, nested ones with dots."""
    head, _, rest = name.partition(".")
    return _hint(getattr(config, head), rest) if rest else typing.get_type_hints(type(config))[head]


def _changed(config: T, changes: Mapping[str, Any]) -> T:
    """The config with some fields changed, each level rebuilt and checked once, from the inside out."""
    values = {name: value for name, value in changes.items() if "." not in name}
    for head in {name.partition(".")[0] for name in changes if "." in name}:
        inner = {name.partition(".")[2]: value for name, value in changes.items() if name.startswith(f"{head}.")}
        values[head] = _changed(getattr(config, head), inner)
    return dataclasses.replace(config, **values) if values else config  # type: ignore[type-var]


def _parse(text: str, hint: Any) -> Any:
    """Read one value of the hinted type from text; ValueError where it does not fit."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        if type(None) in args and text.lower() in ("none", "null"):
            return None
        for option in args:
            if option is not type(None):
                try:
                    return _parse(text, option)
                except ValueError:
                    continue
        raise ValueError(text)
    if origin is typing.Literal:
        fitting = [choice for choice in args if str(choice) == text]
        if not fitting:
            raise ValueError(text)
        return fitting[0]
    if origin is tuple:
        parts = [part.strip() for part in text.strip("()[]").split(",") if part.strip()]
        inner = [args[0]] * len(parts) if args[-1] is Ellipsis else list(args)
        if len(parts) != len(inner):
            raise ValueError(text)
        return tuple(_parse(part, kind) for part, kind in zip(parts, inner, strict=True))
    if hint is bool:
        if text.lower() not in ("true", "false", "1", "0", "yes", "no"):
            raise ValueError(text)
        return text.lower() in ("true", "1", "yes")
    if hint is float and not math.isfinite(float(text)):
        raise ValueError(text)
    if hint in (int, float, str):
        return hint(text)
    raise ValueError(text)


def to_dict(config: Any) -> dict[str, Any]:
    """A config as nested plain dicts, ready for JSON."""
    return dataclasses.asdict(config)


def to_json(config: Any) -> str:
    """A config as indented JSON text."""
    return json.dumps(to_dict(config), indent=2)


def from_dict(kind: type[T], values: Mapping[str, Any], where: str) -> T:
    """Rebuild a config of the given kind from what `to_dict` made.

    Args:
        where: the file that the values come from, for the error line.

    Raises:
        ConfigError: if a field is unknown, or a value does not fit.
    """
    hints = typing.get_type_hints(kind)
    unknown = sorted(set(values) - set(hints))
    if unknown:
        raise ConfigError(f"{where}: unknown field {unknown[0]!r}; it was written by another version of humanpt")
    read = {name: _restore(hints[name], value, where) for name, value in values.items()}
    try:
        return kind(**read)
    except TypeError as error:
        raise ConfigError(f"{where}: {error}; it was written by another version of humanpt") from None


def _restore(hint: Any, value: Any, where: str) -> Any:
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        if not isinstance(value, Mapping):
            raise ConfigError(f"{where}: expected fields of {hint.__name__}, found {value!r}")
        return from_dict(hint, value, where)
    if isinstance(value, list):
        return tuple(value)
    return value
