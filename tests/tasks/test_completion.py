from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from humanpt.data.shards import Kind
from humanpt.engine.task import Task
from humanpt.losses import normalise_patches, pair_errors, patchify
from humanpt.models.positions import kept
from humanpt.models.vit import normalise
from humanpt.tasks.completion import CompletionSamples, CompletionTask, HeldOutPairs, MaskConfig, PairBatch, collate


@pytest.fixture
def task(config, pairs, everything):
    torch.manual_seed(0)
    return CompletionTask(config, HeldOutPairs(pairs, everything, config))


@pytest.fixture
def batch(config, pairs, everything):
    samples = CompletionSamples(pairs, everything, config, seed=0, batch_size=6)
    return collate([samples[position] for position in range(6)])


def slow_errors(task, image1, image2, masks):
    """Errors pair by pair and patch by patch."""
    image1, image2 = normalise(image1), normalise(image2)
    errors = []
    for row, mask in enumerate(masks):
        prediction = task.model(image1[row : row + 1], image2[row : row + 1], mask[None])[0]
        patches = patchify(image1[row : row + 1], 16)[0]
        truth = normalise_patches(patches) if task.config.normalise_target else patches
        withheld = [patch for patch in range(16) if mask[patch]]
        errors.append(
            torch.stack([(prediction[i] - truth[p]).square().mean() for i, p in enumerate(withheld)]).mean().item()
        )
    return np.array(errors)


def test_it_is_a_task_of_the_engine(task):
    as_task: Task[PairBatch] = task
    assert as_task.model is task.model


@pytest.mark.parametrize("normalised", [True, False])
def test_the_loss_is_its_terms_written_out(task, batch, normalised):
    task.config = replace(task.config, normalise_target=normalised)
    loss, figures = task.loss(batch)
    errors, kind = slow_errors(task, batch.image1, batch.image2, batch.mask), batch.kind.numpy()
    assert figures["cross_view"].item() == pytest.approx(errors[kind == 0].mean(), rel=1e-5)
    assert figures["cross_pose"].item() == pytest.approx(errors[kind == 1].mean(), rel=1e-5)
    assert loss.item() == pytest.approx(errors[kind == 0].mean() + errors[kind == 1].mean(), rel=1e-5)
    assert not any(figure.requires_grad for figure in figures.values())


def test_a_batch_of_one_kind_has_no_figure_of_the_other(task, batch):
    loss, figures = task.loss(replace(batch, kind=torch.ones(6, dtype=torch.int64), weight=torch.ones(6)))
    assert figures["cross_view"].isnan()
    assert_close(loss.detach(), figures["cross_pose"])


def test_kinds_may_withhold_different_shares(pairs, everything, config):
    config = replace(config, mask=MaskConfig(cross_view=0.5, cross_pose=0.9))
    torch.manual_seed(0)
    task = CompletionTask(config, HeldOutPairs(pairs, everything, config))
    batch = collate(
        [CompletionSamples(pairs, everything, config, seed=0, batch_size=6)[position] for position in range(6)]
    )
    assert set(zip(batch.kind.tolist(), batch.mask.sum(dim=1).tolist(), strict=True)) == {(0, 8), (1, 14)}
    errors, kind = slow_errors(task, batch.image1, batch.image2, batch.mask), batch.kind.numpy()
    wanted = errors[kind == 0].mean() + errors[kind == 1].mean()
    assert task.loss(batch)[0].item() == pytest.approx(wanted, rel=1e-5)
    assert task.evaluate()["right"] > 0
    assert len(task.panels(batch)) == 6


def test_withheld_pixels_enter_the_target_and_nothing_else(task, batch):
    withheld = batch.mask.reshape(6, 1, 4, 4).repeat_interleave(16, 2).repeat_interleave(16, 3)
    repainted = replace(batch, image1=torch.where(withheld, batch.image1.flip(0), batch.image1))
    prediction = task.model(normalise(batch.image1), normalise(batch.image2), batch.mask)
    errors = pair_errors(prediction, normalise_patches(kept(patchify(normalise(repainted.image1), 16), batch.mask)))
    wanted = errors[batch.kind == 0].mean() + errors[batch.kind == 1].mean()
    assert_close(task.loss(repainted)[0], wanted)
    assert abs(task.loss(batch)[0] - wanted) > 1e-4


def test_a_few_steps_on_one_batch_lower_its_loss(task, batch):
    optimizer = torch.optim.AdamW(task.model.parameters(), lr=3e-3)
    losses = []
    for _ in range(30):
        loss, _ = task.loss(batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]


@pytest.mark.parametrize("size", [1, 5, 12, 32])
def test_the_evaluation_is_its_definition_whatever_the_batch(task, size):
    task.config = replace(task.config, heldout_batch=size)
    with torch.no_grad():
        figures = task.evaluate()
        held = collate([task.heldout[place] for place in range(12)])
        grey = torch.tensor([0.485, 0.456, 0.406])[:, None, None].expand(12, 3, 64, 64) * 255
        wrong = torch.from_numpy(np.stack([task.heldout.wrong_reference(place) for place in range(12)])).permute(
            0, 3, 1, 2
        )
        right, shuffled, none = (
            slow_errors(task, held.image1, image2, held.mask) for image2 in (held.image2, wrong, grey)
        )
    kind = held.kind.numpy()
    view, pose = right[kind == 0].mean(), right[kind == 1].mean()
    wanted = {
        "loss": view + pose,
        "cross_view": view,
        "cross_pose": pose,
        "right": right.mean(),
        "shuffled": shuffled.mean(),
        "none": none.mean(),
        "margin": (shuffled.mean() - right.mean()) / right.mean(),
        "margin_none": (none.mean() - right.mean()) / right.mean(),
    }
    assert figures == pytest.approx(wanted, rel=1e-4, abs=1e-5)


def test_pairs_of_one_sequence_have_no_wrong_reference(config, one_sequence):
    figures = CompletionTask(config, HeldOutPairs(one_sequence, np.arange(4), config)).evaluate()
    assert set(figures) == {"loss", "cross_view", "cross_pose", "right", "none", "margin_none"}


@pytest.mark.parametrize("indices", [None, []])
def test_with_nothing_held_out_there_is_nothing_to_say(config, pairs, indices):
    heldout = None if indices is None else HeldOutPairs(pairs, np.array(indices, np.int64), config)
    assert CompletionTask(config, heldout).evaluate() == {}


def test_an_evaluation_draws_nothing(task):
    state = torch.get_rng_state()
    assert task.evaluate() == task.evaluate()
    assert torch.equal(torch.get_rng_state(), state)


def test_panels_show_visible_patches_as_they_are_and_withheld_ones_grey(task, batch):
    panels = task.panels(batch)
    assert [panel.kind for panel in panels] == [Kind(kind) for kind in batch.kind.tolist()]
    for panel, mask, sample in zip(panels, batch.mask.numpy(), batch.image1, strict=True):
        withheld = mask.reshape(4, 4).repeat(16, 0).repeat(16, 1)
        assert all(view.shape == (64, 64, 3) and view.dtype == np.uint8 for view in panel[:4])
        assert np.array_equal(panel.truth, sample.permute(1, 2, 0).numpy())
        for view in (panel.masked, panel.reconstruction):
            assert np.array_equal(view[~withheld], panel.truth[~withheld])
        assert (panel.masked[withheld] == [124, 116, 104]).all()
        assert (panel.reconstruction[withheld] != panel.truth[withheld]).any()


@pytest.mark.parametrize("normalised", [True, False])
def test_a_perfect_prediction_is_shown_as_the_truth(task, batch, normalised, monkeypatch):
    task.config = replace(task.config, normalise_target=normalised)

    def perfect(image1, image2, mask):
        return task._targets(image1, mask)

    monkeypatch.setattr(task.model, "forward", perfect)
    for panel in task.panels(batch):
        assert np.array_equal(panel.reconstruction, panel.truth)


def test_it_trains_and_evaluates_under_bfloat16_autocast(task, batch):
    exact, _ = task.loss(batch)
    with torch.autocast("cpu", torch.bfloat16):
        loss, _ = task.loss(batch)
        figures = task.evaluate()
    loss.backward()
    assert loss.dtype == torch.float32
    assert_close(loss, exact, atol=0.02, rtol=0.02)
    assert np.isfinite(list(figures.values())).all()


def test_a_trained_network_needs_the_right_reference(config):
    """The pairs here show one place twice, so that the second picture tells what the first withholds."""
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    task = CompletionTask(config)
    optimizer = torch.optim.AdamW(task.model.parameters(), lr=2e-3)

    def draw():
        coarse = torch.rand(32, 3, 5, 5, generator=generator)
        pictures = (255 * torch.nn.functional.interpolate(coarse, size=64, mode="bilinear")).to(torch.uint8)
        mask = torch.stack([torch.randperm(16, generator=generator) < 14 for _ in range(32)])
        kind = torch.arange(32)
        return PairBatch(
            image1=pictures, image2=pictures, mask=mask, kind=kind % 2, pair=kind, weight=torch.full((32,), 2.0)
        )

    for _ in range(100):
        loss, _ = task.loss(draw())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    batch = draw()
    grey = torch.tensor([124, 116, 104], dtype=torch.uint8)[:, None, None].expand_as(batch.image2)
    right, shuffled, none = (
        task.loss(replace(batch, image2=image2))[0] for image2 in (batch.image2, batch.image2.roll(1, 0), grey)
    )
    assert right < 0.5 * min(shuffled, none)
