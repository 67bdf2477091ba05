"""Attention panels outline withheld patches and show where they look."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from humanpt.data.shards import Kind
from humanpt.models.croco import CroCo, tiny
from humanpt.tasks import attention_maps
from humanpt.tasks.attention_maps import GAP, OUTLINE, attention_panels

SIDE = 192  # pictures of 64 px, enlarged three times
PATCH = SIDE // 4


@pytest.fixture
def network():
    torch.manual_seed(0)
    return CroCo(tiny()).eval()


@pytest.fixture
def given():
    image1, image2 = torch.randn(2, 2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    mask = torch.ones(2, 16, dtype=torch.bool)
    mask[0, [0, 5, 6]] = False  # two patches of the middle are visible
    mask[1, [3]] = False  # another count
    return image1, image2, mask, torch.tensor([Kind.CROSS_VIEW, Kind.CROSS_POSE])


def outlined(picture):
    """Rows and columns of patches that have the colour of the outline just inside their corner."""
    corners = picture[2::PATCH, 2::PATCH]
    return {tuple(place) for place in np.argwhere((corners == OUTLINE).all(axis=-1)).tolist()}


def test_there_is_a_row_of_three_pictures_for_each_patch(network, given):
    panels = attention_panels(network, *given, rows=3)
    assert [panel.picture.shape for panel in panels] == [(3 * SIDE + 2 * GAP, 3 * SIDE + 2 * GAP, 3)] * 2
    assert panels[0].caption.startswith("cross-view; hottest patch ")
    assert panels[1].caption.startswith("cross-pose; hottest patch ")
    assert all(panel.picture.dtype == np.uint8 for panel in panels)


def test_withheld_patches_near_the_middle_are_outlined(network, given):
    for panel, withheld in zip(attention_panels(network, *given, rows=2), given[2], strict=True):
        rows = [panel.picture[k * (SIDE + GAP) :][:SIDE] for k in range(2)]
        shown = [outlined(row[:, :SIDE]) for row in rows]
        assert all(len(one) == 1 for one in shown)
        assert shown[0] != shown[1]
        assert shown == [outlined(row[:, SIDE + GAP :][:, :SIDE]) for row in rows]
        ((row, column),) = shown[0]
        assert withheld[4 * row + column]
        assert (row, column) in {(1, 1), (1, 2), (2, 1), (2, 2)}


def test_the_map_is_brightest_where_the_patch_looks(network, given, monkeypatch):
    def at_one_place(model, image1, image2, mask, patches):
        shares = torch.zeros(1, 2, patches.shape[1], 16)
        shares[..., 9] = 1  # row 2, column 1
        return shares

    monkeypatch.setattr(attention_maps, "reference_attention", at_one_place)
    image1, _, mask, kind = given
    picture = attention_panels(network, image1, torch.zeros_like(image1), mask, kind, rows=1)[0].picture
    brightness = picture[:, 2 * (SIDE + GAP) :].sum(axis=-1).reshape(4, PATCH, 4, PATCH).mean(axis=(1, 3))
    assert np.unravel_index(brightness.argmax(), (4, 4)) == (2, 1)


def test_a_single_withheld_patch_is_shown_in_every_row(network, given):
    image1, image2, _, kind = given
    mask = torch.zeros(2, 16, dtype=torch.bool)
    mask[:, 4] = True
    picture = attention_panels(network, image1, image2, mask, kind)[0].picture
    assert outlined(picture[:SIDE, :SIDE]) == outlined(picture[SIDE + GAP :, :SIDE]) == {(1, 0)}


def test_what_cannot_be_drawn_is_refused(network, given):
    with pytest.raises(ValueError, match="rows is 4"):
        attention_panels(network, *given, rows=4)
    with pytest.raises(ValueError, match="no cross-attention"):
        attention_panels(CroCo(replace(tiny(), cross_attention=False)), *given)
