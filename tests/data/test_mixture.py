import numpy as np
import pytest

from humanpt.data.mixture import PERIOD, Mixture, joint_shares, quotas, spread_evenly


@pytest.mark.parametrize("groups", [1, 2, 3, 6])
def test_of_the_first_positions_every_group_holds_its_share_rounded_up_or_down(groups):
    counts = quotas(np.random.default_rng(groups).dirichlet(np.ones(groups)).tolist(), 1000)
    so_far = np.cumsum(spread_evenly(counts)[:, None] == np.arange(groups), axis=0)
    exact = np.arange(1, 1001)[:, None] * np.array(counts) / 1000
    assert np.abs(so_far - exact).max() < 1
    assert so_far[-1].tolist() == counts


@pytest.mark.parametrize("shares", [[1, 1, 1], [0.1, 0.9], [1e-9, 1, 1e-9], [3, 1]])
def test_quotas_are_whole_none_is_zero_and_they_sum_up(shares):
    parts = quotas(shares, 1000)
    assert sum(parts) == 1000
    assert min(parts) >= 1
    assert np.abs(np.array(parts) - np.array(shares) / sum(shares) * 1000).max() <= 2


def test_every_group_goes_through_shuffled_epochs_of_its_own_across_periods():
    groups = [np.arange(7), np.arange(100, 103)]
    mixture = Mixture(groups, [0.7, 0.3], seed=5)
    stream = [mixture.locate(position) for position in range(PERIOD - 50, PERIOD + 50)]
    assert stream == [Mixture(groups, [7, 3], seed=5).locate(position) for position in range(PERIOD - 50, PERIOD + 50)]
    whole = [mixture.locate(position) for position in range(PERIOD + 50)]
    for members in groups:
        own = [member for member in whole if member in members]
        epochs = [own[start : start + len(members)] for start in range(0, len(own) - len(members), len(members))]
        assert all(sorted(epoch) == members.tolist() for epoch in epochs)


def test_a_group_without_members_is_the_callers_mistake():
    with pytest.raises(ValueError, match="groups of"):
        Mixture([np.arange(3), np.arange(0)], [0.5, 0.5], seed=0)


def test_joint_shares_have_the_sums_asked_for():
    counts = np.array([[50, 0, 30], [10, 40, 70]])
    shares = joint_shares(counts, [0.5, 0.5], [0.5, 0.3, 0.2])
    assert np.allclose(shares.sum(axis=1), 0.5, atol=1e-4)
    assert np.allclose(shares.sum(axis=0), [0.5, 0.3, 0.2], atol=1e-4)
    assert shares[0, 1] == 0


def test_joint_shares_of_one_side_keep_the_proportions_of_the_other():
    shares = joint_shares(np.array([[30, 10], [10, 50]]), [0.5, 0.5], None)
    assert np.allclose(shares, [[0.375, 0.125], [5 / 60, 25 / 60]])


@pytest.mark.parametrize("counts", [[[10, 0], [0, 10]], [[10, 0], [10, 0]]])
def test_sums_that_no_table_has_are_told(counts):
    assert joint_shares(np.array(counts), [0.5, 0.5], [0.7, 0.3]) is None


def test_groups_of_one_size_are_visited_in_orders_of_their_own():
    mixture = Mixture([np.arange(50), np.arange(50)], [1, 1], seed=3)
    first, second = (np.array([mixture.locate(2 * place + group) for place in range(50)]) for group in range(2))
    assert sorted(first) == sorted(second) == list(range(50))
    assert (first == second).sum() < 10
