"""Early warnings: silence over sound runs and data, one line each over those that are not."""

import numpy as np
import pytest

from humanpt.data.augment import AugmentConfig
from humanpt.data.shards import Kind, PairSet
from humanpt.models.croco import tiny
from humanpt.tasks import completion_health
from humanpt.tasks.completion import CompletionConfig
from humanpt.tasks.completion_health import Health, data_warnings
from tests.scenes import write_pairs

# Both kinds' losses, held-out margins and waiting as the two runs of examples/quickstart.py logged them.
SOUND = {
    "body": ([(1.052, 1.053), (0.987, 0.988), (0.936, 0.957), (0.893, 0.931)], [0.177, 0.236, 0.245, 0.287], 0.092),
    "hand": ([(1.047, 1.044), (0.965, 0.929), (0.917, 0.806), (0.878, 0.762)], [0.151, 0.223, 0.281, 0.299], 0.091),
}


def log(losses, *, every=50, steps=3000, margins=(), waiting=0.06, eval_every=250):
    """Lines of a log; the last loss, margin and so on stay to the end."""

    def at(values, number):
        return values[min(number, len(values) - 1)]

    lines = [{"step": 0, "heldout_margin": 0.0}] if margins else []
    for number, step in enumerate(range(every, steps + 1, every)):
        view, pose = at(losses, number)
        line = {"step": step, "cross_view": view, "cross_pose": pose, "waiting": waiting}
        if margins and step % eval_every == 0:
            line["heldout_margin"] = at(margins, step // eval_every - 1)
        lines.append(line)
    return lines


def told(lines, **settings):
    health = Health(**{"warmup": 100, "workers": 2} | settings)
    return [text for line in lines for text in health(line)]


@pytest.mark.parametrize("kind", SOUND)
def test_sound_runs_are_left_in_peace(kind):
    losses, margins, waiting = SOUND[kind]
    assert told(log(losses, margins=margins, waiting=waiting)) == []


def test_a_run_on_pairs_of_one_kind_is_judged_by_that_kind():
    losses, margins, waiting = SOUND["body"]
    alone = [(float("nan"), pose) for _, pose in losses]  # what the loop gives for a kind without pairs
    assert told(log(alone, margins=margins, waiting=waiting)) == []


def test_a_loss_that_does_not_fall_is_told_once_and_not_before_it_could():
    (text,) = told(log([(1.05, None), (1.0, None), (0.995, None)]))
    assert text.startswith("step 600:")
    assert "not falling" in text
    assert "base_lr" in text


def test_a_run_from_trained_weights_may_stay_where_it_began():
    assert told(log([(0.8, 0.8)])) == []


def test_targets_that_are_not_normalised_are_judged_by_where_they_began():
    assert told(log([(0.08, 0.08), (0.05, 0.05)]), normalised=False) == []
    assert "not falling" in told(log([(0.08, 0.08)]), normalised=False)[0]


def test_a_loss_that_rises_again_is_told():
    (text,) = told(log([(1.05, 1.05)] + [(0.8, 0.8)] * 20 + [(0.95, 0.95)]))
    assert "rising" in text
    assert "0.800" in text


def test_an_unused_reference_is_told_after_three_measurements_of_a_loss_that_falls():
    (text,) = told(log([(1.05, 1.05), (0.9, 0.9)], margins=[0.001]))
    assert text.startswith("step 1250:")
    assert "reference picture is not used" in text
    assert told(log([(1.05, 1.05), (0.9, 0.9)], margins=[0.001, 0.002, 0.001, 0.03])) == []


def test_a_device_that_waits_is_told_with_what_to_try():
    (text,) = told(log([(0.8, 0.8)], waiting=0.41), workers=0)
    assert "41%" in text
    assert "task.augment_on_device=true" in text


def test_one_slow_line_is_no_matter():
    lines = log([(1.05, 1.05), (0.8, 0.8)])
    lines[0]["waiting"] = lines[7]["waiting"] = 0.5
    assert told(lines) == []


def test_a_resumed_run_is_judged_by_its_whole_past():
    lines = log([(1.05, 1.05), (0.8, 0.8), (0.7, 0.7)])
    for cut in (3, 13, 40):
        health = Health(warmup=100, workers=2, past=lines[:cut])
        assert [text for line in lines[cut:] for text in health(line)] == []
    bad = log([(1.05, None), (1.0, None)])
    health = Health(warmup=100, past=bad[:30])
    assert [text for line in bad[30:] for text in health(line)] == []  # it was said before the stop


def halves(pairs):
    return pairs.split(0.3, 0)


@pytest.fixture
def config():
    return CompletionConfig(model=tiny(), augment=AugmentConfig(crop_size=64), view_weight=0.0)


def opened(folder, **made):
    folder.mkdir(parents=True)
    write_pairs(folder / "a.h5", **made)
    return PairSet.open([folder])


def test_sound_pairs_are_left_in_peace(tmp_path, config):
    pairs = opened(tmp_path / "pairs")
    assert data_warnings(pairs, *halves(pairs), config) == []


def test_pairs_given_twice_are_told_on_both_sides_of_the_split(tmp_path, config):
    for name in "ab":
        opened(tmp_path / name)
    shards = [tmp_path / name / "a.h5" for name in "ab"]
    pairs = PairSet.open(shards)
    training, heldout = np.arange(0, 30), np.arange(30, 48)
    texts = data_warnings(pairs, training, heldout, config)
    assert any("18 of 18 held-out pairs are trained on as well" in text for text in texts)
    assert any("6 of 48 pairs repeat another one" in text for text in texts)


def test_a_kind_that_is_trained_on_but_not_held_out_is_told(tmp_path):
    pairs = opened(tmp_path / "pairs")
    both = CompletionConfig(model=tiny(), augment=AugmentConfig(crop_size=64))
    training, heldout = halves(pairs)
    assert data_warnings(pairs, training, heldout, both) == []  # one kind alone is no fault
    pairs.kind = pairs.kind.copy()
    pairs.kind[training[0]] = Kind.CROSS_VIEW
    (text,) = data_warnings(pairs, training, heldout, both)
    assert "no cross-view pair is held out" in text


def masked(monkeypatch, mask):
    monkeypatch.setattr(PairSet, "masks", lambda self, index: (mask, mask))


def test_pairs_without_masks_are_told_unless_that_is_meant(tmp_path, config, monkeypatch):
    from dataclasses import replace

    pairs = opened(tmp_path / "pairs")
    masked(monkeypatch, None)
    (text,) = data_warnings(pairs, *halves(pairs), config)
    assert "none of" in text
    assert "task.mask.pattern=random" in text
    meant = replace(config, mask=replace(config.mask, pattern="random"))
    assert data_warnings(pairs, *halves(pairs), meant) == []


def test_a_subject_smaller_than_any_patch_is_told(tmp_path, config, monkeypatch):
    pairs = opened(tmp_path / "pairs")
    small = np.zeros((64, 64), np.bool_)
    small[30:33, 30:33] = True
    masked(monkeypatch, small)
    (text,) = data_warnings(pairs, *halves(pairs), config)
    assert "never lean to the subject" in text


def test_a_mask_that_covers_nobody_is_told(tmp_path, config, monkeypatch):
    from dataclasses import replace

    pairs = opened(tmp_path / "pairs")
    mask = np.zeros((64, 64), np.bool_)
    mask[4:20, 4:20] = True  # about one patch of sixteen
    masked(monkeypatch, mask)
    few = replace(config, mask=replace(config.mask, pattern="random", cross_pose=0.07))
    (text,) = data_warnings(pairs, *halves(pairs), few)
    assert "covers none of its patches" in text


def test_of_more_pairs_than_are_read_as_many_are_told_as_there_likely_are(tmp_path, config, monkeypatch):
    monkeypatch.setattr(completion_health, "READ", 12)
    for name in "ab":
        opened(tmp_path / name)
    pairs = PairSet.open([tmp_path / name / "a.h5" for name in "ab"])
    texts = data_warnings(pairs, np.arange(len(pairs)), np.arange(0), config)
    assert any("about 24 of 48 pairs repeat another one" in text for text in texts)
