"""The pictures of a probe are made once, and again only where they are not sound."""

from __future__ import annotations

import os

import pytest

from humanpt.commands import mkpairs, probe_set
from humanpt.data.augment import AugmentConfig
from humanpt.engine.report import Silent
from humanpt.errors import InputError, OutputError
from humanpt.models.croco import CroCo, tiny
from humanpt.tasks.probe import Probe, ProbeConfig
from tests import shards

FEW = ProbeConfig(pictures=64)


class Listener(Silent):
    def __init__(self):
        self.notes = []

    def note(self, text):
        self.notes.append(text)


@pytest.fixture
def made(tmp_path, monkeypatch):
    """A cache of its own, and a maker that writes plain shards; the list holds how each call was made."""
    monkeypatch.setenv("HUMANPT_CACHE", str(tmp_path / "cache"))
    calls = []

    def run(maker, out, config, report, **how):
        calls.append((maker.config.subject, maker.config.count, maker.config.seed, how))
        out.mkdir(parents=True, exist_ok=True)
        for old in out.iterdir():
            old.unlink()
        shards.write_sequences(out / "pairs-00000.h5", {"a": 16, "b": 16})
        (out / mkpairs.SUMMARY).write_text("{}")

    monkeypatch.setattr(mkpairs, "run", run)
    return calls


def test_they_are_made_once(made):
    report = Listener()
    assert len(probe_set.probe_pairs("body", FEW, report)) == 32
    assert len(probe_set.probe_pairs("body", FEW, report)) == 32
    assert made == [("body", 32, FEW.seed, {"resume": False, "overwrite": True})]
    assert len(report.notes) == 1


def test_each_subject_number_and_seed_has_pictures_of_its_own(made):
    folders = {
        probe_set.probe_folder(*which)
        for which in (("body", FEW), ("hand", FEW), ("body", ProbeConfig()), ("body", ProbeConfig(pictures=64, seed=1)))
    }
    assert len(folders) == 4


@pytest.mark.parametrize("harm", ["cut", "lost", "few"])
def test_unsound_ones_are_made_again(made, harm):
    probe_set.probe_pairs("body", FEW, Silent())
    shard = probe_set.probe_folder("body", FEW) / "pairs-00000.h5"
    if harm == "cut":
        os.truncate(shard, shard.stat().st_size // 2)
    elif harm == "lost":
        shard.unlink()
    else:
        shard.unlink()
        shards.write_sequences(shard, {"a": 16, "b": 2})
    report = Listener()
    assert len(probe_set.probe_pairs("body", FEW, report)) == 32
    assert "making the pictures of the probe again" in report.notes[0]
    assert len(made) == 2


def test_an_interrupted_generation_goes_on(made, monkeypatch):
    (probe_set.probe_folder("body", FEW) / probe_set.WORK).mkdir(parents=True)
    monkeypatch.setattr(mkpairs, "run", lambda *args, **how: made.append(how))
    with pytest.raises(InputError):
        probe_set.probe_pairs("body", FEW, Silent())
    assert made == [{"resume": True, "overwrite": False}]


def test_a_cache_that_cannot_be_written_is_told_in_a_line(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HUMANPT_CACHE", str(tmp_path / "file"))
    with pytest.raises(OutputError, match="set HUMANPT_CACHE"):
        probe_set.probe_pairs("body", FEW, Silent())


def test_missing_pictures_are_told_in_a_line(made, monkeypatch):
    monkeypatch.setattr(mkpairs, "run", lambda *args, **how: None)
    with pytest.raises(InputError, match="not all pictures"):
        probe_set.probe_pairs("body", FEW, Silent())


@pytest.mark.slow
def test_generated_hands_can_be_probed(tmp_path, monkeypatch):
    monkeypatch.setenv("HUMANPT_CACHE", str(tmp_path))
    pairs = probe_set.probe_pairs("hand", FEW, Silent())
    figures = Probe(pairs, FEW, AugmentConfig(crop_size=64)).measure(CroCo(tiny()))
    assert 20 < figures["probe_mean_mm"] < 250  # a hand is that large
