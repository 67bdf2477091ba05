"""Dense pose: what its loss counts, what its figures say, and that it learns."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from humanpt.body.charts import charts_of
from humanpt.body.geodesics import surface_distances
from humanpt.models.croco import tiny
from humanpt.models.dense import DensePoseMaps, DensePoseNetwork
from humanpt.models.trunk import Trunk
from humanpt.tasks.dense_pose import DensePoseTask, collate, dense_losses, predict, similarities
from humanpt.tasks.dense_samples import UNKNOWN, DenseBatch
from tests.tasks.dense_sets import NAMES, SIZE, MadeSet
from tests.tasks.test_dense_samples import config, samples

PARTS = len(NAMES)


def batch_of(made, size=SIZE):
    every = samples(made, size=size)
    return collate([every[place] for place in range(len(made))])


def random_maps(count, size=SIZE, seed=0):
    generator = torch.Generator().manual_seed(seed)
    parts = torch.randn(count, 1 + PARTS, size, size, generator=generator)
    return DensePoseMaps(parts, torch.rand(count, 2, PARTS, size, size, generator=generator))


def right_maps(batch, size=SIZE):
    """The answers of a network that knows everything."""
    label = batch.label.long()
    parts = 30 * torch.nn.functional.one_hot(label, 1 + PARTS).permute(0, 3, 1, 2).float()
    return DensePoseMaps(parts, batch.uv.float()[:, :, None].expand(-1, 2, PARTS, -1, -1))


class Knowing(torch.nn.Module):
    """Says what it was told to."""

    def __init__(self, maps):
        super().__init__()
        self.nothing = torch.nn.Parameter(torch.zeros(1))
        self.maps = maps

    def forward(self, image):
        return self.maps


def network(seed=0):
    torch.manual_seed(seed)
    return DensePoseNetwork(Trunk(replace(tiny(), image_size=32, patch_size=4)), config(channels=24))


def test_without_an_answer_the_loss_is_that_of_chance():
    batch = batch_of(MadeSet(2))
    maps = DensePoseMaps(torch.zeros(2, 1 + PARTS, SIZE, SIZE), torch.zeros(2, 2, PARTS, SIZE, SIZE))
    mask, parts, uv = dense_losses(maps, batch)
    torch.testing.assert_close(parts, torch.full((2,), math.log(PARTS)))
    share = (batch.label > 0).float().mean(dim=(1, 2))
    torch.testing.assert_close(mask, share * math.log((1 + PARTS) / PARTS) + (1 - share) * math.log(1 + PARTS))
    for row in range(2):
        on_part = batch.label[row] > 0
        torch.testing.assert_close(uv[row], batch.uv[row].float()[:, on_part].mean())


def test_some_part_is_as_likely_as_all_parts_together():
    """With alike logits a masked pixel costs -log(3/4), and one outside the mask -log(1/4)."""
    batch = batch_of(MadeSet(1, points=True))
    batch = DenseBatch(**vars(batch) | {"points_part": torch.zeros_like(batch.points_part)})
    maps = DensePoseMaps(torch.zeros(1, 1 + PARTS, SIZE, SIZE), torch.zeros(1, 2, PARTS, SIZE, SIZE))
    share = float((batch.label > 0).float().mean())
    expected = -share * math.log(3 / 4) - (1 - share) * math.log(1 / 4)
    mask, parts, uv = dense_losses(maps, batch)
    assert mask.item() == pytest.approx(expected, rel=1e-5)
    assert parts.item() == uv.item() == 0


def test_mask_and_parts_add_up_to_the_cross_entropy_of_all():
    """Where all is body, the sum is the cross-entropy over the parts and the background at once."""
    maps, batch = random_maps(2), batch_of(MadeSet(2))
    on_body = DenseBatch(**vars(batch) | {"label": batch.label.clamp_min(1)})
    losses = dense_losses(maps, on_body)
    together = torch.nn.functional.cross_entropy(maps.parts, on_body.label.long(), reduction="none").mean(dim=(1, 2))
    torch.testing.assert_close(losses.mask + losses.parts, together)


def test_points_at_pixels_are_read_as_the_pixels_themselves():
    maps, full, points = random_maps(2), batch_of(MadeSet(2)), batch_of(MadeSet(2, points=True))
    on_part = DenseBatch(**vars(full) | {"label": torch.where(full.label > 0, full.label, UNKNOWN)})
    nothing_else = DenseBatch(**vars(points) | {"label": torch.full_like(points.label, UNKNOWN)})
    full, points = dense_losses(maps, on_part), dense_losses(maps, nothing_else)
    torch.testing.assert_close(full.mask + full.parts, points.parts, rtol=1e-3, atol=2e-3)
    torch.testing.assert_close(full.uv, points.uv, rtol=1e-3, atol=2e-3)  # coordinates of maps are kept in 255ths


def test_a_batch_divided_has_the_same_loss():
    made = MadeSet(4, loose=5)
    task = DensePoseTask(config(), network())
    every = samples(made, size=32)
    whole = task.loss(collate([every[place] for place in range(4)]))[0]
    halves = [task.loss(collate([every[2 * half], every[2 * half + 1]]))[0] for half in range(2)]
    torch.testing.assert_close(whole, sum(halves) / 2)


def test_what_is_unknown_counts_for_nothing():
    maps, batch = random_maps(1), batch_of(MadeSet(1, loose=20))
    changed = DensePoseMaps(maps.parts.clone(), maps.uv.clone())
    changed.parts[:, :, :20] += torch.randn(1, 1 + PARTS, 20, SIZE)
    changed.uv[:, :, :, :20] += 1
    for one, other in zip(dense_losses(maps, batch), dense_losses(changed, batch), strict=True):
        assert torch.equal(one, other)


def learn(made, steps):
    """Figures before and after some steps on the very pictures that are looked at."""
    model = network()
    task = DensePoseTask(config(), model, samples(made, size=32))
    batch = batch_of(made, size=32)
    before = task.evaluate()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    for _ in range(steps):
        optimizer.zero_grad()
        task.loss(batch)[0].backward()
        optimizer.step()
    return before, task.evaluate(), task.pictures()


def test_full_maps_are_learned_by_heart():
    before, after, pictures = learn(MadeSet(2), steps=45)
    assert after["loss"] < 0.25 * before["loss"]
    assert after["mask_iou"] > 0.85
    assert after["uv_error"] < 0.5 * before["uv_error"]
    assert after["part_accuracy"] > 0.9
    assert pictures["dense_pose"].shape == (2 * 32, 3 * 32, 3)


def test_points_and_masks_are_learned():
    before, after, _ = learn(MadeSet(2, points=True), steps=25)
    assert after["loss"] < 0.5 * before["loss"]
    assert after["mask_iou"] > 0.8
    assert "part_accuracy" not in after


def test_figures_of_right_and_of_half_right_answers():
    made = MadeSet(4)
    heldout = samples(made)
    batch = batch_of(made)
    maps = right_maps(batch)
    figures = DensePoseTask(config(), Knowing(maps), heldout).evaluate()
    assert figures["part_accuracy"] == figures["mean_iou"] == figures["mask_iou"] == 1
    assert figures["uv_error"] == 0
    assert figures["loss"] < 1e-6
    parts = maps.parts.clone()
    parts[:, 2], parts[:, 3] = maps.parts[:, 3], maps.parts[:, 2]  # parts 2 and 3 are taken for each other
    figures = DensePoseTask(config(), Knowing(DensePoseMaps(parts, maps.uv)), heldout).evaluate()
    assert figures["mask_iou"] == 1
    assert figures["mean_iou"] == pytest.approx(1 / 3)
    assert figures["part_accuracy"] == pytest.approx(float((batch.label == 1).sum() / (batch.label > 0).sum()))


def test_figures_are_those_of_the_pictures_asked_for():
    made = MadeSet(6)
    task = DensePoseTask(config(heldout_pictures=3), network(), samples(made, size=32))
    task.evaluate()
    task.evaluate()
    assert made.asked == [0, 2, 4]
    assert DensePoseTask(config(), network()).evaluate() == {}
    assert DensePoseTask(config(), network()).pictures() == {}


def test_similarity_falls_with_the_way_along_the_surface():
    """Half of the body told exactly and half not at all: 0.5; a point k away: the root of 1/e."""
    charts, distances = charts_of("anny-body-small"), surface_distances("anny-body-small")
    face = np.flatnonzero(charts.parts == 1)[:8]
    uv = torch.from_numpy(charts.corners[face, 0]).T[:, None]  # (2, 1, 8)
    label = torch.full((1, 8), 2, dtype=torch.uint8)
    nothing = torch.zeros(1, 0)
    batch = DenseBatch(
        pictures=nothing, label=label[None], uv=uv[None], points=nothing[..., None].expand(1, 0, 2),
        points_part=nothing.long(), points_uv=nothing[..., None].expand(1, 0, 2),
        square=nothing, mirrored=nothing, number=nothing,
    )  # fmt: skip
    told = label[None].long()
    assert similarities(told, uv[None], batch, distances).item() == pytest.approx(1)
    half = torch.where(torch.arange(8) < 4, told, 0)
    assert similarities(half, uv[None], batch, distances).item() == pytest.approx(0.5)
    metres = distances.between(*(x.numpy() for x in (told[0, 0], uv[:, 0].T, told[0, 0], uv[:, 0, [0] * 8].T)))
    expected = np.exp(-(metres.astype(float) ** 2) / (2 * 0.255**2)).mean()
    swept = uv[None][..., [0] * 8]
    assert similarities(told, swept, batch, distances).item() == pytest.approx(expected)


def test_answers_about_left_hands_are_mirrored_back():
    """The network sees a mirror image and knows all about it; what goes out lies on the picture as it is."""
    made = MadeSet(2, sides=("left", "right"))
    batch = batch_of(made)
    answers = predict(Knowing(right_maps(batch)), batch)
    for row in range(2):
        assert (answers.part[row].numpy() == made.part(row)).all()
        uv = answers.uv[row].permute(1, 2, 0).numpy()
        assert np.abs(uv - made.uv(row)).max() <= 0.5 / 255 + 1e-3
    assert (answers.confidence > 0.99).all()
