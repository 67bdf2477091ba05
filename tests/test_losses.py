import math

import pytest
import torch
from torch.testing import assert_close

from humanpt.losses import (
    completion_loss,
    kind_means,
    known_l1,
    known_square,
    normalise_patches,
    pair_errors,
    patch_scale,
    patchify,
    unpatchify,
)


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_patches_are_row_major_and_hold_row_column_channel():
    image = noise(1, 3, 32, 48)
    patches = patchify(image, 16)
    for row, column, y, x, channel in [(0, 0, 0, 0, 0), (1, 2, 3, 5, 1), (0, 1, 15, 0, 2)]:
        value = image[0, channel, 16 * row + y, 16 * column + x]
        assert patches[0, 3 * row + column, 48 * y + 3 * x + channel] == value


def test_laying_patches_back_gives_the_picture():
    image = noise(2, 3, 32, 48)
    assert torch.equal(unpatchify(patchify(image, 16), (2, 3)), image)


def test_a_picture_that_does_not_divide_is_refused():
    with pytest.raises(ValueError, match=r"\(1, 3, 30, 32\) do not divide into patches of 16"):
        patchify(torch.zeros(1, 3, 30, 32), 16)


def test_a_zero_prediction_of_noise_costs_767_of_768():
    targets = normalise_patches(patchify(noise(2, 3, 64, 64), 16))
    assert_close(pair_errors(torch.zeros_like(targets), targets), torch.full((2,), 767 / 768))


def test_a_zero_prediction_of_flat_patches_costs_nothing():
    targets = normalise_patches(patchify(torch.full((2, 3, 64, 64), 0.3), 16))
    assert_close(pair_errors(torch.zeros_like(targets), targets), torch.zeros(2), atol=1e-6, rtol=0)


def test_normalising_is_undone_by_the_patch_scale():
    patches = noise(2, 4, 768)
    mean, spread = patch_scale(patches)
    assert_close(normalise_patches(patches) * spread + mean, patches)


def balance_of(kind):
    """Pairs over pairs of the same kind."""
    return torch.tensor([len(kind) / kind.count(one) for one in kind])


def test_each_kind_is_averaged_apart():
    errors, kind = torch.tensor([1.0, 2.0, 6.0]), [0, 1, 1]
    loss = completion_loss(errors, torch.tensor(kind), balance_of(kind), (1.0, 1.0))
    assert (loss.item(), kind_means(errors, torch.tensor(kind), 2).tolist()) == (pytest.approx(5.0), [1.0, 4.0])


def test_the_loss_is_the_sum_over_patches_written_out():
    predictions, targets, kind = noise(4, 5, 12), noise(4, 5, 12, seed=1), [0, 1, 1, 0]
    totals, counts = [0.0, 0.0], [0, 0]
    for pair in range(4):
        for patch in range(5):
            totals[kind[pair]] += (predictions[pair, patch] - targets[pair, patch]).square().mean().item()
            counts[kind[pair]] += 1
    errors = pair_errors(predictions, targets)
    loss = completion_loss(errors, torch.tensor(kind), balance_of(kind), (1.0, 1.0))
    assert loss.item() == pytest.approx(totals[0] / counts[0] + totals[1] / counts[1])


@pytest.mark.parametrize("parts", [1, 2, 4])
def test_a_divided_step_has_the_loss_of_the_whole(parts):
    errors, kind = torch.rand(8), [0, 0, 0, 1, 1, 1, 1, 1]  # some parts hold one kind alone
    balance, weights = balance_of(kind), (1.0, 0.5)
    whole = completion_loss(errors, torch.tensor(kind), balance, weights)
    divided = zip(errors.chunk(parts), torch.tensor(kind).chunk(parts), balance.chunk(parts), strict=True)
    assert_close(torch.stack([completion_loss(*part, weights) for part in divided]).mean(), whole)


def test_a_kind_that_is_absent_adds_nothing_and_spoils_no_gradient():
    errors, kind = torch.tensor([1.0, 3.0], requires_grad=True), torch.tensor([1, 1])
    loss = completion_loss(errors, kind, torch.ones(2), (1.0, 1.0))
    loss.backward()
    assert loss.item() == 2.0
    assert math.isnan(kind_means(errors, kind, 2)[0])
    assert errors.grad.tolist() == [0.5, 0.5]


def test_a_weight_of_zero_leaves_a_kind_out():
    errors = torch.tensor([1.0, 3.0], requires_grad=True)
    loss = completion_loss(errors, torch.tensor([0, 1]), torch.tensor([2.0, 2.0]), (1.0, 0.0))
    loss.backward()
    assert (loss.item(), errors.grad.tolist()) == (1.0, [1.0, 0.0])


def test_errors_of_rounded_predictions_are_summed_in_full_precision():
    targets = noise(2, 5, 768)
    assert pair_errors(targets.bfloat16(), targets).dtype == torch.float32


def test_shapes_that_differ_are_refused():
    with pytest.raises(ValueError, match=r"\(2, 5, 12\) and targets \(2, 16, 12\)"):
        pair_errors(torch.zeros(2, 5, 12), torch.zeros(2, 16, 12))


def test_errors_of_meshes_count_known_labels_alone():
    predicted = torch.tensor([[1.0, 2.0], [5.0, 4.0]], requires_grad=True)
    true = torch.tensor([[0.0, torch.nan], [2.0, torch.nan]])
    assert_close(known_l1(predicted, true), torch.tensor(2.0))
    error = known_square(predicted, true)
    assert_close(error, torch.tensor(5.0))
    error.backward()
    assert_close(predicted.grad, torch.tensor([[1.0, 0.0], [3.0, 0.0]]))


def test_errors_without_any_label_are_nothing():
    predicted = torch.ones(3, requires_grad=True)
    error = known_l1(predicted, torch.full((3,), torch.nan))
    error.backward()
    assert error == 0
    assert_close(predicted.grad, torch.zeros(3))


def test_errors_of_meshes_need_labels_of_the_same_shape():
    with pytest.raises(ValueError, match="differ in shape"):
        known_l1(torch.zeros(2, 3), torch.zeros(1, 3))
