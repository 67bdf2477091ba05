"""The probe reads what features know, chooses its strength on what it may see, and treats both hands alike."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from humanpt.data.augment import AugmentConfig
from humanpt.data.shards import PairSet
from humanpt.errors import ConfigError, InputError
from humanpt.models.croco import CroCo, tiny
from humanpt.tasks.probe import Probe, ProbeConfig, fit_ridge, pool, read_examples
from tests import shards

AUGMENT = AugmentConfig(crop_size=64)
"""The pictures of `tests.shards` are 32 px; they are enlarged."""


def written(path, *, sides=("none",), sequences=("a", "b", "c"), each=12, names=shards.TRUTH.keypoint_names):
    """A shard of pairs whose pictures have random truth and cameras."""
    layout = replace(shards.TRUTH, keypoint_names=names)
    records = []
    for k in range(each * len(sequences)):
        camera = np.eye(4)
        camera[:3, 3] = (0.1, 0.2, 2.0)
        cameras = {"cam_from_world": camera, "intrinsics": np.eye(3), "mask_kind": "rendered"}
        pictures = {
            f"image{n}": shards.picture(2 * k + n, k // each, truth=shards.truth(2 * k + n), **cameras) for n in (1, 2)
        }
        records.append(shards.pair(k, k // each, side=sides[k % len(sides)], **pictures))
    sources = [shards.source(sequence) for sequence in sequences]
    return PairSet.open([shards.write_shard(path / "0.h5", records, sources, truth=layout)])


HAND = ("wrist", "thumb1", "thumb2", "thumb3")


@pytest.fixture
def network():
    torch.manual_seed(0)
    return CroCo(tiny()).eval()


@pytest.fixture
def features():
    generator = torch.Generator().manual_seed(3)
    return torch.randn(60, 12, generator=generator).double()


def test_a_linear_rule_is_found_again(features):
    rule = torch.randn(12, 3, generator=torch.Generator().manual_seed(4)).double()
    linear = fit_ridge(features[:40], features[:40] @ rule + 5)
    assert_close(linear.apply(features[40:]), features[40:] @ rule + 5, rtol=1e-4, atol=1e-4)


def test_features_that_know_nothing_give_the_mean(features):
    targets = torch.randn(60, 3, generator=torch.Generator().manual_seed(5)).double()
    predicted = fit_ridge(torch.ones(60, 4).double(), targets).apply(torch.ones(7, 4).double())
    assert_close(predicted, targets.mean(dim=0).expand(7, 3))


def test_the_chosen_strength_is_that_of_leaving_each_example_out_by_hand(features):
    """Generalised cross-validation with every strength solved the long way, by the hat matrix in feature space."""
    targets = features[:, :3] + torch.randn(60, 3, generator=torch.Generator().manual_seed(6)).double()
    standard = (features - features.mean(0)) / features.std(0)
    centred = targets - targets.mean(0)
    unit = torch.linalg.eigvalsh(standard @ standard.T).mean()
    best = None
    for strength in torch.logspace(-6, 4, 41).double() * unit:
        inverse = torch.linalg.inv(standard.T @ standard + strength * torch.eye(12).double())
        hat = standard @ inverse @ standard.T
        score = (centred - hat @ centred).square().sum() / (60 - hat.trace() - 1) ** 2
        if best is None or score < best[0]:
            best = score, inverse @ standard.T @ centred
    assert_close(fit_ridge(features, targets).weights, best[1], rtol=1e-5, atol=1e-7)


def test_more_features_than_examples_are_no_trouble():
    generator = torch.Generator().manual_seed(7)
    features = torch.randn(30, 500, generator=generator).double()
    linear = fit_ridge(features, features[:, :2])
    assert linear.weights.isfinite().all()


def test_pooling_averages_the_cells_it_says():
    tokens = torch.arange(16.0).view(1, 16, 1)
    assert_close(pool(tokens, (4, 4), 1), torch.tensor([[7.5]]))
    assert_close(pool(tokens, (4, 4), 2), torch.tensor([[2.5, 4.5, 10.5, 12.5]]))
    assert_close(pool(tokens, (4, 4), 4), torch.arange(16.0)[None])
    assert_close(pool(tokens, (4, 4), 9), torch.arange(16.0)[None])  # no more cells than patches


def test_a_left_hand_is_its_mirrored_picture_with_its_mirrored_points(tmp_path):
    (tmp_path / "left").mkdir()
    (tmp_path / "right").mkdir()
    rows = np.arange(5)
    left = read_examples(written(tmp_path / "left", sides=("left",), names=HAND), rows, AUGMENT)
    right = read_examples(written(tmp_path / "right", sides=("right",), names=HAND), rows, AUGMENT)
    assert np.array_equal(left.pictures, right.pictures[:, :, ::-1])
    assert_close(left.keypoints, right.keypoints * torch.tensor([-1.0, 1.0, 1.0]))


def test_key_points_are_relative_to_the_root_in_the_axes_of_the_camera(tmp_path):
    pairs = written(tmp_path, names=HAND)
    found = read_examples(pairs, np.array([3]), AUGMENT).keypoints
    for which, picture in enumerate((pairs.record(3).image1, pairs.record(3).image2)):
        points = picture.truth.keypoints.astype(float) @ picture.cam_from_world[:3, :3].T
        assert_close(found[which].numpy(), points - points[0])


def test_bodies_hang_from_the_middle_of_their_hips(tmp_path):
    names = ("nose", "left_hip", "right_hip", "left_ear")
    points = read_examples(written(tmp_path, names=names), np.arange(3), AUGMENT).keypoints
    assert_close(points[:, 1] + points[:, 2], torch.zeros(6, 3, dtype=torch.float64))


def test_the_figures_are_the_same_again_and_whatever_the_batch(tmp_path, network):
    pairs = written(tmp_path, names=HAND)
    probe = Probe(pairs, ProbeConfig(), AUGMENT)
    figures = probe.measure(network)
    assert set(figures) == {
        "probe_mpjpe_mm",
        "probe_pa_mm",
        "retrieval_pa_mm",
        "probe_mean_mm",
        "probe_pixels_mm",
        "retrieval_random_mm",
    }
    assert all(np.isfinite(value) and value > 0 for value in figures.values())
    assert probe.measure(network) == figures
    again = Probe(pairs, ProbeConfig(batch=7), AUGMENT).measure(network)
    assert again == pytest.approx(figures, rel=1e-3)


def test_nobody_is_in_both_parts(tmp_path, network):
    probe = Probe(written(tmp_path, names=HAND), ProbeConfig(), AUGMENT)
    assert (len(probe.fit.pictures), len(probe.test.pictures)) == (48, 24)
    seen = {picture.tobytes() for picture in probe.fit.pictures}
    assert not any(picture.tobytes() in seen for picture in probe.test.pictures)


def test_who_has_seen_the_picture_finds_its_pose(tmp_path, network):
    probe = Probe(written(tmp_path, names=HAND), ProbeConfig(), AUGMENT)
    probe.test = probe.fit
    assert probe.measure(network)["retrieval_pa_mm"] == pytest.approx(0, abs=1e-6)


def test_features_that_hold_the_pose_read_it_and_those_of_noise_do_not(tmp_path, network, monkeypatch):
    probe = Probe(written(tmp_path, names=HAND, each=40), ProbeConfig(), AUGMENT)
    truth = {id(group.pictures): group.keypoints for group in (probe.fit, probe.test)}
    mixing = torch.randn(12, 20, generator=torch.Generator().manual_seed(1)).double()

    def knowing(self, model, pictures):
        return truth[id(pictures)].flatten(1) @ mixing

    monkeypatch.setattr(Probe, "_features", knowing)
    figures = probe.measure(network)
    assert figures["probe_mpjpe_mm"] < 0.01 * figures["probe_mean_mm"]
    assert figures["retrieval_pa_mm"] < figures["retrieval_random_mm"]

    def ignorant(self, model, pictures):
        return torch.randn(len(pictures), 20, generator=torch.Generator().manual_seed(len(pictures))).double()

    monkeypatch.setattr(Probe, "_features", ignorant)
    figures = probe.measure(network)
    assert figures["probe_mpjpe_mm"] == pytest.approx(figures["probe_mean_mm"], rel=0.1)


def test_pairs_that_cannot_be_probed_are_refused_in_a_line(tmp_path):
    for name in ("one", "clips"):
        (tmp_path / name).mkdir()
    with pytest.raises(InputError, match="two sequences"):
        Probe(written(tmp_path / "one", sequences=("a",), names=HAND), ProbeConfig(), AUGMENT)
    clips = PairSet.open([shards.write_sequences(tmp_path / "clips" / "0.h5", {"a": 3, "b": 3})])
    with pytest.raises(InputError, match="no key points in it"):
        Probe(clips, ProbeConfig(), AUGMENT)


@pytest.mark.parametrize(
    "wrong", [{"pictures": 30}, {"pictures": 101}, {"seed": -1}, {"test_share": 1.0}, {"grid": 0}, {"batch": 0}]
)
def test_settings_that_cannot_work_are_refused(wrong):
    with pytest.raises(ConfigError, match="probe"):
        ProbeConfig(**wrong)
