"""Cards: what makes two evaluations unlike."""

import json
from dataclasses import replace

import pytest

from humanpt.config import from_dict
from humanpt.errors import ConfigError
from humanpt.scoring.card import Card, differences

CARD = Card(
    benchmark="freihand",
    dataset="freihand",
    split="evaluation",
    count=3960,
    samples_sha256="a" * 64,
    subject="hand",
    joints=("wrist", "thumb1"),
    rules={"f_thresholds": [0.005, 0.015], "pck": [0.0, 0.05, 100]},
    reflections=True,
)


def test_whose_predictions_they_are_makes_no_difference():
    other = replace(CARD, predictor="another", predictions_sha256="b" * 64)
    assert differences(CARD, other) == []


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"split": "training"}, "split (evaluation and training)"),
        ({"reflections": False}, "reflections (True and False)"),
        ({"count": 100, "samples_sha256": "c" * 64}, "count (3960 and 100)"),
        ({"samples_sha256": "c" * 64}, "which samples"),
        ({"joints": ("wrist",)}, "joints (2 and 1: only the first has thumb1)"),
        ({"joints": ("thumb1", "wrist")}, "joints (the same names in another order)"),
        ({"rules": CARD.rules | {"pck": [0.0, 0.03, 100]}}, "pck ([0.0, 0.05, 100] and [0.0, 0.03, 100])"),
    ],
)
def test_each_difference_of_protocol_is_named(change, told):
    assert differences(CARD, replace(CARD, **change)) == [told]


def test_a_card_survives_its_file():
    read = from_dict(Card, json.loads(json.dumps(CARD.document())), "card.json")
    assert read == CARD
    assert differences(read, CARD) == []


def test_a_card_of_another_version_is_told_in_one_line():
    with pytest.raises(ConfigError, match=r"card\.json: unknown field 'colour'"):
        from_dict(Card, {"colour": 1}, "card.json")
