from dataclasses import dataclass, field
from typing import Literal

import pytest

from humanpt.config import field_names, from_dict, override, to_dict
from humanpt.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Inner:
    rate: float = 0.5
    sizes: tuple[int, ...] = (1, 2)


@dataclass(frozen=True, kw_only=True)
class Outer:
    name: str = "a"
    steps: int | None = None
    on: bool = True
    mode: Literal["x", "y"] = "x"
    count: Literal[1, 2] = 1
    inner: Inner = field(default_factory=Inner)

    def __post_init__(self):
        if self.steps == 0:
            raise ConfigError("steps is 0")


@dataclass(frozen=True, kw_only=True)
class Range:
    low: int = 1
    high: int = 3

    def __post_init__(self):
        if self.low >= self.high:
            raise ConfigError(f"low {self.low} is not below high {self.high}")


@dataclass(frozen=True, kw_only=True)
class Pair:
    inner: Range = field(default_factory=Range)
    limit: int = 3

    def __post_init__(self):
        if self.limit != self.inner.high:
            raise ConfigError("limit is not high")


def test_a_choice_of_numbers_is_read_as_a_number():
    assert override(Outer(), ["count=2"]).count == 2
    with pytest.raises(ConfigError, match="1 or 2"):
        override(Outer(), ["count=3"])


def test_overrides_reach_nested_fields_with_their_types():
    changed = override(Outer(), ["inner.rate=0.25", "steps=7", "on=false", "mode=y", "inner.sizes=3,4,5", "name=b=c"])
    assert changed == Outer(name="b=c", steps=7, on=False, mode="y", inner=Inner(rate=0.25, sizes=(3, 4, 5)))


def test_changes_are_checked_together():
    changed = override(Pair(), ["inner.low=4", "inner.high=8", "limit=8"])
    assert (changed.inner.low, changed.inner.high, changed.limit) == (4, 8, 8)


def test_none_can_be_set_where_it_is_allowed():
    assert override(Outer(steps=3), ["steps=none"]).steps is None


@pytest.mark.parametrize(
    ("assignment", "part"),
    [
        ("inner.rat=1", "did you mean inner.rate?"),
        ("rate=1", "did you mean inner.rate?"),
        ("zzzz=1", "no such field"),
        ("inner=1", "no such field"),
        ("name.x=1", "no such field"),
        ("steps=many", "does not fit"),
        ("mode=z", "does not fit"),
        ("on=maybe", "does not fit"),
        ("steps", "field=value"),
        ("steps=0", "steps is 0"),
        ("inner.rate=inf", "does not fit"),
        ("inner.rate=nan", "does not fit"),
    ],
)
def test_what_cannot_be_set_is_refused_in_one_line(assignment, part):
    with pytest.raises(ConfigError, match="(?s)" + part.replace("?", r"\?").replace(".", r"\.")) as caught:
        override(Outer(), [assignment])
    assert "\n" not in str(caught.value)


def test_a_config_survives_its_journey_through_a_dict():
    config = override(Outer(), ["inner.sizes=9", "steps=4"])
    assert from_dict(Outer, to_dict(config), "here") == config


def test_a_field_of_another_version_is_refused():
    with pytest.raises(ConfigError, match=r"run\.json: unknown field 'colour'"):
        from_dict(Outer, {"colour": 1}, "run.json")


def test_names_of_nested_fields_carry_dots():
    assert field_names(Outer()) == ["name", "steps", "on", "mode", "count", "inner.rate", "inner.sizes"]
