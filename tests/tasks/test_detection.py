"""The detector's training: what is drawn as target is what decoding reads, and losses by their closed forms."""

import math

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from humanpt.data.detection.backdrops import Backdrops
from humanpt.data.detection.cutouts import CutOuts
from humanpt.data.detection.pictures import Composer, DetectionPicture, PictureConfig
from humanpt.detect.heatmap import decode
from humanpt.errors import ConfigError
from humanpt.models.heatmap import HeatMapConfig, HeatMaps, cell_middles
from humanpt.tasks.detection import (
    DetectionConfig,
    DetectionSamples,
    DetectionTask,
    box_loss,
    centre_loss,
    collate,
    draw_targets,
)
from tests.cutouts import write_painted

TINY = HeatMapConfig(widths=(8, 8, 8, 8), depths=(1, 1, 1, 1), head_dim=8)
CONFIG = DetectionConfig(model=TINY, pictures=PictureConfig(size=64), heldout_pictures=6)


def picture(*boxes, kinds=None, doubtful=None, size=64):
    count = len(boxes)
    return DetectionPicture(
        rgb=np.zeros((size, size, 3), np.uint8),
        boxes=np.array(boxes, np.float32).reshape(-1, 4),
        kinds=np.zeros(count, np.int64) if kinds is None else np.array(kinds),
        doubtful=np.zeros(count, bool) if doubtful is None else np.array(doubtful),
        mask=np.zeros((size, size), bool),
    )


def perfect(*pictures):
    """The answers of a network that has learned everything."""
    batch = collate(list(pictures))
    across, down = cell_middles(*batch.box.shape[-2:])
    x1, y1, x2, y2 = batch.box.unbind(1)
    return batch, HeatMaps(
        centre=torch.logit(batch.centre, eps=1e-4),
        kind=torch.logit(batch.kind, eps=1e-4),
        sides=torch.stack([across - x1, down - y1, x2 - across, y2 - down], dim=1),
        mask=torch.logit(batch.mask, eps=1e-4),
    )


@pytest.fixture(scope="module")
def composer(tmp_path_factory):
    cutouts = CutOuts(write_painted(tmp_path_factory.mktemp("cutouts")))
    return Composer(cutouts, np.arange(len(cutouts)), Backdrops(None), CONFIG.pictures)


def test_decoding_reads_what_was_drawn(composer):
    pictures = [picture((2, 3, 30, 50), (33, 20, 60, 44), kinds=[0, 1]), picture()]
    _, maps = perfect(*pictures)
    found, empty = decode(maps, 0.5)
    order = np.argsort(found.boxes[:, 0])
    np.testing.assert_allclose(found.boxes[order], pictures[0].boxes, atol=1e-3)
    np.testing.assert_allclose(found.second[order], [0, 1], atol=1e-3)
    assert len(empty.scores) == 0


def test_every_subject_has_one_centre_and_weights_that_sum_to_one():
    targets = draw_targets(picture((1, 1, 20, 62), (40, 40, 46, 46)))
    assert (targets.centre == 1).sum() == 2
    assert_close(targets.weight.sum(), np.float32(2.0))
    inside = targets.weight > 0
    assert (targets.box[:, inside] > 0).all()


def test_doubtful_subjects_are_neither_asked_for_nor_forbidden():
    targets = draw_targets(picture((1, 1, 30, 30), (33, 33, 62, 62), doubtful=[False, True]))
    assert (targets.asked[0, 4:, 4:] == 0).all()
    assert targets.asked[0, :4, :4].all()
    assert (targets.centre == 1).sum() == 1


def test_a_grid_cell_knows_its_share_of_the_mask():
    shown = picture()
    shown.mask[:4, :8] = True
    mask = draw_targets(shown).mask
    assert mask[0, 0, 0] == 0.5
    assert mask.sum() == 0.5


def test_the_loss_of_a_known_cell():
    logits = torch.tensor([[[[0.0, 2.0]]]])
    one, none = torch.tensor([[[[1.0, 0.0]]]]), torch.ones(1, 1, 1, 2)
    high = 1 / (1 + math.exp(-2))
    expected = -math.log(0.5) * 0.25 - math.log(1 - high) * high**2
    assert_close(centre_loss(logits, one, none), torch.tensor(expected))
    assert_close(centre_loss(logits, one, none * 0), torch.tensor(0.0))


def test_boxes_that_agree_cost_nothing_and_strangers_cost_more_the_farther_they_are():
    box = torch.tensor([0.0, 0.0, 10.0, 10.0]).reshape(1, 4, 1, 1)
    near, far = box + torch.tensor([12.0, 0, 12, 0]).reshape(1, 4, 1, 1), box + 40
    assert_close(box_loss(box, box), torch.zeros(1, 1, 1))
    assert_close(box_loss(near, box), torch.full((1, 1, 1), 1 + 20 / 220))
    assert box_loss(far, box) > box_loss(near, box)


def test_a_network_that_knows_everything_has_a_low_loss(composer):
    pictures = [composer.picture(0, number) for number in range(4)]
    batch, maps = perfect(*pictures)
    task = DetectionTask(CONFIG)
    loss, terms = task._measure(maps, batch)
    assert terms["sides"] < 1e-5
    assert terms["centre"] < 0.05
    assert loss < 0.5


def test_some_steps_lower_the_loss(composer):
    torch.manual_seed(0)
    task = DetectionTask(CONFIG)
    batch = collate([composer.picture(0, number) for number in range(8)])
    optimizer = torch.optim.AdamW(task.model.network.parameters(), lr=5e-3)
    losses = []
    for _ in range(12):
        loss, _ = task.loss(batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.7 * losses[0]


def test_held_out_figures_have_all_their_names(composer):
    task = DetectionTask(CONFIG, composer)
    task.model.eval()
    figures = task.evaluate()
    assert set(figures) == {"loss", "centre", "sides", "mask", "recall", "threshold", "boxed", "false"}
    assert DetectionTask(CONFIG).evaluate() == {}


def test_samples_are_those_of_their_positions(composer):
    samples = DetectionSamples(composer, seed=3)
    np.testing.assert_array_equal(samples[5].rgb, composer.picture(3, 5).rgb)


def test_hands_need_two_kinds_and_bodies_one():
    with pytest.raises(ConfigError, match="hand detector cannot have 1"):
        DetectionConfig(model=TINY, pictures=PictureConfig(subject="hand"))
