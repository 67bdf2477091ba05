import math

import pytest
import torch
from torch.testing import assert_close

from humanpt.models.positions import Positions, cosine_table, kept, rope_table, turn


def test_the_cosine_table_is_its_closed_form():
    table = cosine_table(16, (3, 5))
    for row, column, i in [(0, 0, 0), (2, 4, 3), (1, 3, 2)]:
        code = table[row * 5 + column]
        angle = 10000 ** (-i / 4)
        wanted = [math.sin(column * angle), math.cos(column * angle), math.sin(row * angle), math.cos(row * angle)]
        assert_close(code[i::4], torch.tensor(wanted))


def test_a_turn_is_its_closed_form():
    heads = torch.randn(15, 8, generator=torch.Generator().manual_seed(0))
    turned = turn(heads, rope_table(8, (3, 5)))
    row, column, token = 2, 3, 13
    for half, place in ((0, row), (4, column)):
        for i in range(2):
            angle = place * 100 ** (-2 * i / 4)
            a, b = heads[token, half + i], heads[token, half + i + 2]
            assert_close(turned[token, half + i], a * math.cos(angle) - b * math.sin(angle))
            assert_close(turned[token, half + i + 2], b * math.cos(angle) + a * math.sin(angle))


def test_rotary_scores_depend_on_relative_places_only():
    query, key = torch.randn(2, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    turns = rope_table(8, (6, 6)).double()
    queries, keys = (turn(one.expand(36, 8), turns).unflatten(0, (6, 6)) for one in (query, key))
    assert_close(queries[1, 2] @ keys[3, 0], queries[3, 5] @ keys[5, 3], atol=1e-6, rtol=0)
    assert abs(queries[1, 2] @ keys[3, 0] - queries[1, 2] @ keys[3, 1]) > 1e-3


def test_a_turn_keeps_lengths_and_leaves_the_first_patch_alone():
    heads = torch.randn(2, 3, 16, 8, generator=torch.Generator().manual_seed(0))
    turned = turn(heads, rope_table(8, (4, 4)))
    assert_close(turned.norm(dim=-1), heads.norm(dim=-1))
    assert_close(turned[:, :, 0], heads[:, :, 0])


@pytest.mark.parametrize("code", ["cosine", "rope"])
def test_a_kept_patch_has_the_place_it_had_in_the_whole_picture(code):
    positions = Positions(code, grid=(4, 4), width=32, num_heads=2)
    keep = torch.zeros(2, 16, dtype=torch.bool)
    keep[0, [1, 7]] = keep[1, [0, 15]] = True
    tokens = torch.zeros(2, 16, 32)
    assert_close(positions.add(kept(tokens, keep), keep), kept(positions.add(tokens), keep))
    heads = torch.randn(2, 2, 16, 16, generator=torch.Generator().manual_seed(0))
    few = torch.stack([heads[0, :, keep[0]], heads[1, :, keep[1]]])
    all_turned = turn(heads, positions.turns())
    assert_close(turn(few, positions.turns(keep)), torch.stack([all_turned[0, :, keep[0]], all_turned[1, :, keep[1]]]))


def test_tables_are_not_stored():
    assert not Positions("rope", grid=(4, 4), width=32, num_heads=2).state_dict()


def test_uneven_rows_of_a_mask_are_refused():
    keep = torch.tensor([[True, True, False, False], [True, True, True, True]])
    with pytest.raises(ValueError, match=r"same count, not \[2, 4\]"):
        kept(torch.zeros(2, 4, 8), keep)


def test_a_mask_of_another_grid_is_refused():
    with pytest.raises(ValueError, match=r"\(2, 9\) does not fit tokens of shape \(2, 4, 8\)"):
        kept(torch.zeros(2, 4, 8), torch.ones(2, 9, dtype=torch.bool))


@pytest.mark.parametrize("table", [cosine_table, rope_table])
def test_a_width_that_cannot_be_quartered_is_refused(table):
    with pytest.raises(ValueError, match="multiple of 4"):
        table(6, (2, 2))
