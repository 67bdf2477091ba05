"""The stream of samples: every index once an epoch, the same from any step on, on any number of processes."""

import itertools
import pickle

import numpy as np
import pytest
import torch

from humanpt.data.order import Order, StreamBatches, sample_rng
from humanpt.errors import ConfigError


def take(batches, count):
    return list(itertools.islice(batches, count))


def test_every_index_comes_once_in_each_epoch():
    order = Order(13, seed=1)
    located = [order.locate(position) for position in range(39)]
    for epoch in range(3):
        assert sorted(index for e, index in located if e == epoch) == list(range(13))


def test_epochs_and_seeds_differ():
    orders = [[Order(50, seed).locate(epoch * 50 + k)[1] for k in range(50)] for seed in (0, 1) for epoch in (0, 1)]
    assert len({tuple(order) for order in orders}) == 4


def test_the_order_of_asking_does_not_matter():
    order, positions = Order(7, seed=3), list(range(35))
    forward = [order.locate(position) for position in positions]
    back = [order.locate(position) for position in reversed(positions)]
    assert back[::-1] == forward
    assert [pickle.loads(pickle.dumps(order)).locate(position) for position in positions] == forward


def test_the_order_is_pinned():
    # A change here would make every interrupted run go on with other samples.
    assert [Order(8, seed=5).locate(position)[1] for position in range(8)] == [0, 1, 4, 2, 7, 3, 6, 5]
    assert sample_rng(5, 9).integers(0, 1000, 4).tolist() == [96, 79, 77, 102]


def test_draws_depend_on_seed_and_position_alone():
    draws = {(seed, position): sample_rng(seed, position).random() for seed in (0, 1) for position in (0, 1, 10**12)}
    assert len(set(draws.values())) == 6
    assert sample_rng(1, 10**12).random() == draws[1, 10**12]


def test_a_run_that_starts_at_a_step_goes_on_identically():
    whole = take(StreamBatches(6), 10)
    assert take(StreamBatches(6, start_step=4), 6) == whole[4:]


def test_positions_are_continuous_across_epochs():
    order = Order(10, seed=0)
    positions = list(itertools.chain.from_iterable(take(StreamBatches(4), 5)))
    assert positions == list(range(20))
    assert sorted(order.locate(position)[1] for position in positions) == sorted([*range(10), *range(10)])


@pytest.mark.parametrize(("world_size", "accumulate"), [(1, 1), (2, 1), (4, 1), (2, 3), (1, 12)])
def test_processes_and_accumulation_share_each_batch(world_size, accumulate):
    ranks = [
        take(StreamBatches(12, start_step=2, rank=rank, world_size=world_size, accumulate=accumulate), 2 * accumulate)
        for rank in range(world_size)
    ]
    step = itertools.chain.from_iterable(batch for batches in ranks for batch in batches[:accumulate])
    assert list(step) == list(range(24, 36))
    assert {len(batch) for batches in ranks for batch in batches} == {12 // world_size // accumulate}


def test_a_stream_with_an_end_has_a_length():
    batches = StreamBatches(4, start_step=3, stop_step=5, accumulate=2)
    assert list(batches) == [[12, 13], [14, 15], [16, 17], [18, 19]]
    assert len(batches) == 4


def test_a_batch_that_cannot_be_shared_is_refused():
    with pytest.raises(ConfigError, match=r"batch_size is 10; it must be a multiple of 4 processes x 1"):
        StreamBatches(10, world_size=4)


@pytest.mark.parametrize("arguments", [{"batch_size": 0}, {"batch_size": 4, "rank": 2, "world_size": 2}])
def test_numbers_out_of_range_are_the_callers_mistake(arguments):
    with pytest.raises(ValueError, match="out of range"):
        StreamBatches(**arguments)
    with pytest.raises(ValueError, match="size is 0"):
        Order(0, seed=0)


class _Drawn(torch.utils.data.Dataset):
    """Position to its index and a number drawn for it."""

    order = Order(9, seed=2)

    def __getitem__(self, position):
        return np.array([self.order.locate(position)[1], sample_rng(2, position).random()])


def test_workers_see_what_one_process_sees():
    seen = [
        [
            batch.tolist()
            for batch in torch.utils.data.DataLoader(
                _Drawn(), batch_sampler=StreamBatches(4, start_step=1, stop_step=6), num_workers=workers
            )
        ]
        for workers in (0, 2)
    ]
    assert seen[0] == seen[1]
