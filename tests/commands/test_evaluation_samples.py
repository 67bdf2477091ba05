"""How an evaluation reads samples: what goes wrong in a worker is one line, and no worker outlives the reading."""

import multiprocessing
import os
import signal

import pytest
import torch
from torch.utils.data import Dataset

from humanpt.commands.evaluation_samples import Reading
from humanpt.errors import InputError


class Numbers(Dataset):
    """The numbers to 99, one of which cannot be had."""

    def __init__(self, bad=None, dies=False):
        self.bad, self.dies = bad, dies

    def __len__(self):
        return 100

    def __getitem__(self, place):
        if place == self.bad:
            if self.dies:
                os.kill(os.getpid(), signal.SIGKILL)
            raise InputError(f"{place}.png: not a picture; give another")
        return place


def batches(samples):
    return Reading(device=torch.device("cpu"), batch=2, workers=1).batches(samples, list)


def test_a_sample_that_a_worker_cannot_read_is_one_line_and_ends_the_worker():
    with pytest.raises(InputError) as caught:
        list(batches(Numbers(bad=5)))
    assert str(caught.value) == "5.png: not a picture; give another"
    assert not multiprocessing.active_children()  # though the error's traceback is kept


def test_a_worker_that_dies_is_told_in_one_line():
    with pytest.raises(InputError, match=r"^DataLoader worker .*; try fewer --workers$"):
        list(batches(Numbers(bad=5, dies=True)))
    assert not multiprocessing.active_children()


def test_reading_that_is_left_early_ends_its_workers():
    stream = batches(Numbers())
    assert next(stream) == [0, 1]
    stream.close()
    assert not multiprocessing.active_children()
