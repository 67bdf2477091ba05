import json
import os
from dataclasses import replace

import numpy as np
import pytest
import torch

from humanpt.config import from_dict, override, to_json
from humanpt.data.augment import centre_view
from humanpt.data.shards import Kind, PairSet
from humanpt.errors import ConfigError, InputError, ShardError
from humanpt.models.croco import CroCoConfig
from humanpt.tasks.completion_config import CompletionConfig, MaskConfig, draw_mask
from humanpt.tasks.completion_pairs import CompletionSamples, HeldOutPairs, PairBatch, collate
from tests.tasks.conftest import write_shard

NO_PERSON = np.full((14, 14), np.nan, np.float32)


def coverage_of(people, seed=0):
    """A 14 x 14 grid with so many patches of a person at random places."""
    coverage = np.zeros(196, np.float32)
    coverage[np.random.default_rng(seed).permutation(196)[:people]] = 1.0
    return coverage.reshape(14, 14)


@pytest.mark.parametrize("pattern", ["human", "random"])
@pytest.mark.parametrize(("ratio", "count"), [(0.9, 176), (0.85, 166), (0.75, 147)])
@pytest.mark.parametrize("people", [0, 1, 20, 60, 150, 195, 196])
def test_a_mask_withholds_the_whole_part_of_its_share(pattern, ratio, count, people):
    mask = draw_mask(np.random.default_rng(0), coverage_of(people), ratio, MaskConfig(pattern=pattern))
    assert (mask.shape, mask.dtype, mask.sum()) == ((196,), np.bool_, count)


@pytest.mark.parametrize("people", [1, 2, 20, 60, 120, 180, 195])
def test_a_human_mask_withholds_as_much_of_the_person_as_its_formula_says(people):
    coverage = coverage_of(people)
    mask = draw_mask(np.random.default_rng(0), coverage, 0.9, MaskConfig())
    wanted = min(max(people * 95 // 100, 176 - (196 - people)), 176)  # r + b (1 - r) = 0.95
    assert mask[coverage.ravel() > 0].sum() == wanted


@pytest.mark.parametrize("people", [20, 60, 120, 195])
def test_a_human_mask_covers_the_person_more_than_a_random_one(people):
    coverage = coverage_of(people)
    covered = {
        pattern: np.mean(
            [
                draw_mask(np.random.default_rng(seed), coverage, 0.9, MaskConfig(pattern=pattern))[
                    coverage.ravel() > 0
                ].sum()
                for seed in range(200)
            ]
        )
        for pattern in ("human", "random")
    }
    assert covered["human"] > covered["random"] + 0.3


@pytest.mark.parametrize("bias", [0.0, 0.5, 0.99])
def test_a_bias_below_one_leaves_something_of_the_person_visible(bias):
    for people in range(1, 197):
        coverage = coverage_of(people)
        mask = draw_mask(np.random.default_rng(0), coverage, 0.9, MaskConfig(person_bias=bias))
        assert not mask[coverage.ravel() > 0].all()


def test_a_bias_of_one_withholds_the_whole_person_where_the_count_allows():
    coverage = coverage_of(60)
    assert draw_mask(np.random.default_rng(0), coverage, 0.9, MaskConfig(person_bias=1.0))[coverage.ravel() > 0].all()


@pytest.mark.parametrize("coverage", [NO_PERSON, np.zeros((14, 14)), np.full((14, 14), 0.4)])
def test_without_a_person_a_human_mask_is_a_random_one(coverage):
    human, random = (
        draw_mask(np.random.default_rng(7), coverage, 0.9, MaskConfig(pattern=pattern))
        for pattern in ("human", "random")
    )
    assert np.array_equal(human, random)


def test_every_patch_is_withheld_as_often_as_any_other_by_random_masks():
    rng = np.random.default_rng(0)
    share = np.mean([draw_mask(rng, NO_PERSON, 0.75, MaskConfig()) for _ in range(2000)], axis=0)
    assert abs(share - 0.75).max() < 0.05


def test_a_sample_is_a_function_of_its_position_alone(pairs, everything, config):
    one, two = (CompletionSamples(pairs, everything, config, seed=3, batch_size=6) for _ in range(2))
    later = [one[position] for position in (40, 3)]
    for position, sample in zip((40, 3), later, strict=True):
        again = two[position]
        assert sample.pair == again.pair
        assert all(np.array_equal(a, b) for a, b in zip(sample[:3], again[:3], strict=True))


def test_another_seed_gives_other_samples(pairs, everything, config):
    one, two = (CompletionSamples(pairs, everything, config, seed=seed, batch_size=6) for seed in (0, 1))
    assert any(not np.array_equal(one[p].mask, two[p].mask) for p in range(4))


def test_a_sample_has_the_sizes_of_the_network(pairs, everything, config):
    sample = CompletionSamples(pairs, everything, config, seed=0, batch_size=6)[0]
    assert (sample.image1.shape, sample.image1.dtype) == ((64, 64, 3), np.uint8)
    assert (sample.image2.shape, sample.mask.shape, sample.mask.sum()) == ((64, 64, 3), (16,), 14)
    assert sample.kind == pairs.kind[sample.pair]


@pytest.mark.parametrize(("share", "views"), [(0.5, 60), (0.25, 30), (0.1, 12)])
def test_the_stream_holds_the_mixture_of_kinds_asked_for(pairs, everything, config, share, views):
    samples = CompletionSamples(pairs, everything, replace(config, view_share=share), seed=0, batch_size=6)
    kinds = [pairs.kind[samples.locate(position)] for position in range(120)]
    assert kinds.count(Kind.CROSS_VIEW) == views
    assert abs(kinds[:20].count(Kind.CROSS_VIEW) - 20 * share) < 1


@pytest.mark.parametrize("share", [None, 0.3])
def test_every_training_pair_comes_up_and_no_other(pairs, config, share):
    indices = np.array([0, 2, 3, 5, 7])
    samples = CompletionSamples(pairs, indices, replace(config, view_share=share), seed=0, batch_size=6)
    assert {samples.locate(position) for position in range(40)} == set(indices.tolist())


def test_without_a_share_an_epoch_holds_every_pair_once(pairs, everything, config):
    samples = CompletionSamples(pairs, everything, replace(config, view_share=None), seed=0, batch_size=6)
    assert sorted(samples.locate(position) for position in range(len(samples))) == everything.tolist()


def test_a_kind_without_weight_is_not_read(pairs, everything, config):
    samples = CompletionSamples(pairs, everything, replace(config, view_weight=0.0), seed=0, batch_size=6)
    assert len(samples) == 8
    assert {samples[position].kind for position in range(8)} == {Kind.CROSS_POSE}
    assert len(HeldOutPairs(pairs, everything, replace(config, pose_weight=0.0))) == 4


def test_having_no_pair_of_a_counted_kind_is_refused(pairs, config):
    with pytest.raises(InputError, match="none of 2 training pairs is cross_view; give other pairs"):
        CompletionSamples(pairs, np.array([1, 2]), replace(config, pose_weight=0.0), seed=0, batch_size=6)


def test_held_out_samples_never_change(pairs, everything, config):
    one, two = (HeldOutPairs(pairs, everything, config) for _ in range(2))
    for place in range(len(one)):
        assert all(np.array_equal(a, b) for a, b in zip(one[place], two[place], strict=True))


def test_a_smaller_held_out_set_has_the_same_masks(pairs, everything, config):
    whole, few = HeldOutPairs(pairs, everything, config), HeldOutPairs(pairs, everything[:5], config)
    by_pair = {sample.pair: sample.mask for sample in (whole[place] for place in range(12))}
    assert all(np.array_equal(by_pair[few[place].pair], few[place].mask) for place in range(5))


def test_held_out_pairs_are_limited(pairs, everything, config):
    assert len(set(HeldOutPairs(pairs, everything, replace(config, heldout_pairs=7)).indices.tolist())) == 7


def test_wrong_references_come_from_other_sequences_even_where_one_alone_is_held_out(pairs, config):
    held = HeldOutPairs(pairs, np.arange(4), config)
    assert (pairs.sequence[held.wrong] != pairs.sequence[held.indices]).all()
    assert np.array_equal(held.wrong, HeldOutPairs(pairs, np.arange(4), config).wrong)
    stored = pairs.images(int(held.wrong[2]))[1]
    assert np.array_equal(held.wrong_reference(2), centre_view(stored, config.augment))


def test_a_set_of_one_sequence_has_no_wrong_reference(one_sequence, config):
    held = HeldOutPairs(one_sequence, np.arange(4), config)
    assert held.wrong is None
    with pytest.raises(ValueError, match="one sequence"):
        held.wrong_reference(0)


def test_a_batch_holds_its_samples(pairs, everything, config):
    samples = CompletionSamples(pairs, everything, config, seed=0, batch_size=6)
    taken = [samples[position] for position in range(3)]
    batch = collate(taken)
    assert len(batch) == 3
    assert (batch.image1.shape, batch.image1.dtype) == ((3, 3, 64, 64), torch.uint8)
    for row, sample in enumerate(taken):
        assert np.array_equal(batch.image1[row].permute(1, 2, 0).numpy(), sample.image1)
        assert np.array_equal(batch.image2[row].permute(1, 2, 0).numpy(), sample.image2)
        assert np.array_equal(batch.mask[row].numpy(), sample.mask)
        assert (batch.kind[row].item(), batch.pair[row].item()) == (sample.kind, sample.pair)


def test_a_batch_moves_its_pictures_and_keeps_its_mask(pairs, everything, config):
    batch = collate([CompletionSamples(pairs, everything, config, seed=0, batch_size=6)[0]])
    moved = batch.to(torch.device("meta"))
    assert isinstance(moved, PairBatch)
    assert (moved.image1.device.type, moved.image2.device.type, moved.kind.device.type) == ("meta",) * 3
    assert moved.mask is batch.mask


def test_data_loader_workers_give_what_this_process_gives(pairs, everything, config):
    samples = CompletionSamples(pairs, everything, config, seed=0, batch_size=6)
    loader = torch.utils.data.DataLoader(
        samples, batch_sampler=[[0, 1], [2, 3]], collate_fn=collate, num_workers=1, multiprocessing_context="fork"
    )
    for batch, positions in zip(loader, ([0, 1], [2, 3]), strict=True):
        here = collate([samples[position] for position in positions])
        assert torch.equal(batch.image1, here.image1)
        assert torch.equal(batch.mask, here.mask)


def test_the_config_survives_being_saved():
    config = override(CompletionConfig(), ["mask.cross_pose=0.75", "view_share=none", "model.positions=cosine"])
    assert from_dict(CompletionConfig, json.loads(to_json(config)), "here") == config


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MaskConfig(cross_view=1.0), "cross_view is 1.0; it is a share"),
        (lambda: MaskConfig(pattern="grid"), "pattern is 'grid'; choose human or random"),
        (lambda: MaskConfig(person_bias=2.0), "person_bias is 2.0"),
        (lambda: MaskConfig(person_share=0.0), "person_share is 0.0"),
        (lambda: CompletionConfig(model=CroCoConfig(image_size=64)), "crop_size is 224 and model.image_size 64"),
        (lambda: CompletionConfig(view_weight=0.0, pose_weight=0.0), "one must be positive"),
        (lambda: CompletionConfig(view_weight=-1.0), "neither may be negative"),
        (lambda: CompletionConfig(view_share=1.0), "view_share is 1.0"),
        (lambda: CompletionConfig(objective="other"), "objective is 'other'; choose completion or mae"),
        (lambda: CompletionConfig(objective="mae"), "mae has none: set model.cross_attention=false"),
        (lambda: CompletionConfig(model=CroCoConfig(cross_attention=False)), "set model.cross_attention=true"),
        (lambda: CompletionConfig(decode_share=0.0), "decode_share is 0.0"),
        (lambda: CompletionConfig(data_shares=(1.0, -1.0)), "data_shares is"),
        (lambda: CompletionConfig(data_shares=(0.0,)), "one must be positive"),
        (lambda: CompletionConfig(heldout_batch=0), "heldout_batch at least 1"),
        (lambda: CompletionConfig(mask=MaskConfig(cross_pose=0.001)), "mask.cross_pose is 0.001; of 196 patches"),
    ],
)
def test_settings_that_cannot_work_are_refused(make, message):
    with pytest.raises(ConfigError, match=message):
        make()


def steps_of(samples, steps, size):
    return [[samples[position] for position in range(step * size, (step + 1) * size)] for step in range(steps)]


@pytest.mark.parametrize("share", [0.5, 0.3, None])
def test_weighted_errors_of_a_step_sum_to_the_means_of_its_kinds(pairs, everything, config, share):
    config = replace(config, view_share=share)
    samples = CompletionSamples(pairs, everything, config, seed=0, batch_size=10)
    for step in steps_of(samples, 4, 10):
        errors = {sample.pair: 0.1 + sample.pair**2 for sample in step}
        means = [
            np.mean([errors[sample.pair] for sample in step if sample.kind == kind])
            for kind in Kind
            if any(sample.kind == kind for sample in step)
        ]
        assert sum(sample.weight * errors[sample.pair] for sample in step) / 10 == pytest.approx(sum(means))


def test_a_weight_is_a_function_of_the_position_alone(pairs, everything, config):
    config = replace(config, view_share=0.3)
    one, two = (CompletionSamples(pairs, everything, config, seed=0, batch_size=7) for _ in range(2))
    forward = [one[position].weight for position in range(21)]
    assert forward == [two[position].weight for position in reversed(range(21))][::-1]


def mae(config):
    return replace(config, objective="mae", model=replace(config.model, cross_attention=False))


def test_the_baseline_sees_either_picture_of_the_same_pairs_and_no_other(pairs, everything, config):
    both = CompletionSamples(pairs, everything, config, seed=0, batch_size=6)
    alone = CompletionSamples(pairs, everything, mae(config), seed=0, batch_size=6)
    firsts = 0
    for position in range(60):
        pair, single = both[position], alone[position]
        assert (single.pair, single.image2) == (pair.pair, None)
        first = np.array_equal(single.image1, pair.image1)
        assert first or np.array_equal(single.image1, pair.image2)
        assert not first or np.array_equal(single.mask, pair.mask)
        firsts += first
    assert 20 < firsts < 40
    batch = collate([alone[position] for position in range(3)])
    assert batch.to(torch.device("cpu")).views()[1] is None


def test_the_baseline_is_measured_on_the_same_pictures_and_masks(pairs, everything, config):
    both, alone = (HeldOutPairs(pairs, everything, c) for c in (config, mae(config)))
    for place in range(len(both)):
        assert all(np.array_equal(both[place][k], alone[place][k]) for k in (0, 2))
        assert alone[place].image2 is None
    assert alone.wrong is None


@pytest.mark.parametrize(("share", "count"), [(0.5, 7), (0.25, 4), (0.01, 1)])
def test_a_share_of_the_withheld_patches_is_predicted(pairs, everything, config, share, count):
    samples = CompletionSamples(pairs, everything, replace(config, decode_share=share), seed=0, batch_size=6)
    whole = CompletionSamples(pairs, everything, config, seed=0, batch_size=6)
    batch = collate([samples[position] for position in range(6)])
    assert (batch.predicted.sum(dim=1) == count).all()
    assert not (batch.predicted & ~batch.mask).any()
    assert np.array_equal(samples[3].mask, whole[3].mask)
    assert whole[3].predicted is None
    assert HeldOutPairs(pairs, everything, replace(config, decode_share=share))[0].predicted is None


@pytest.mark.parametrize("objective", ["completion", "mae"])
def test_views_are_the_same_wherever_they_are_made(pairs, everything, config, objective):
    config = mae(config) if objective == "mae" else config
    here, there = (
        collate([samples[position] for position in range(6)])
        for samples in (
            CompletionSamples(pairs, everything, replace(config, augment_on_device=device), seed=0, batch_size=6)
            for device in (False, True)
        )
    )
    assert torch.equal(here.mask, there.mask)
    for one, two in zip(here.views(), there.views(), strict=True):
        assert (one is None) == (two is None)
        if one is not None:
            assert one.shape == two.shape
            assert (one - two).abs().mean() < 0.02  # of colours that spread by 1


def test_folders_are_mixed_as_asked_for(tmp_path, config):
    for name, count in (("a", 12), ("b", 8)):
        (tmp_path / name).mkdir()
        write_shard(tmp_path / name / "0.h5", count)
    pairs = PairSet.open([tmp_path / "a", tmp_path / "b"])
    everything = np.arange(len(pairs))
    assert np.bincount(pairs.dataset).tolist() == [12, 8]
    samples = CompletionSamples(pairs, everything, replace(config, data_shares=(1.0, 3.0)), seed=0, batch_size=8)
    for start in range(0, 80, 8):
        found = [samples.locate(position) for position in range(start, start + 8)]
        assert abs((pairs.dataset[found] == 1).sum() - 6) <= 2
        assert abs((pairs.kind[found] == Kind.CROSS_VIEW).sum() - 4) <= 2
    found = [samples.locate(position) for position in range(10_000)]
    assert abs((pairs.dataset[found] == 1).mean() - 0.75) < 2e-4
    assert abs((pairs.kind[found] == Kind.CROSS_VIEW).mean() - 0.5) < 2e-4
    left_out = CompletionSamples(pairs, everything, replace(config, data_shares=(0.0, 1.0)), seed=0, batch_size=8)
    assert len(left_out) == 8


def test_shares_that_do_not_fit_the_folders_are_refused(pairs, everything, config):
    with pytest.raises(ConfigError, match="data_shares has 2 numbers for 1 folders"):
        CompletionSamples(pairs, everything, replace(config, data_shares=(1.0, 1.0)), seed=0, batch_size=6)


def test_a_shard_cut_short_under_a_worker_is_one_line(tmp_path, config):
    write_shard(tmp_path / "0.h5", 12)
    pairs = PairSet.open([tmp_path])
    samples = CompletionSamples(pairs, np.arange(12), config, seed=0, batch_size=6)
    _ = samples[0]
    os.truncate(tmp_path / "0.h5", 4096)
    with pytest.raises(ShardError, match=r"0\.h5: was cut short while in use; bring it back whole") as told:
        _ = samples[1]
    assert "\n" not in str(told.value)
    pairs.readers[0].release()
    with pytest.raises(ShardError, match=r"0\.h5: was changed while in use"):
        _ = samples[1]
    (tmp_path / "0.h5").unlink()
    with pytest.raises(ShardError, match=r"0\.h5: cannot be read any more"):
        _ = samples[1]
