import itertools
import json

import numpy as np
import pytest

from humanpt.data.labelled.subset import labelled_share, write_labels

NAMES = [f"walk/{number:04d}" for number in range(1000)]


@pytest.mark.parametrize("seed", [0, 7])
def test_smaller_subsets_lie_within_larger_ones(seed):
    subsets = [set(labelled_share(NAMES, share, seed)) for share in (0.01, 0.05, 0.1, 0.25, 1.0)]
    assert [len(subset) for subset in subsets] == [10, 50, 100, 250, 1000]
    assert all(small < large for small, large in itertools.pairwise(subsets))


def test_a_subset_does_not_depend_on_the_order_of_the_names():
    shuffled = np.random.default_rng(0).permutation(NAMES).tolist()
    straight = {NAMES[index] for index in labelled_share(NAMES, 0.03, 1)}
    assert {shuffled[index] for index in labelled_share(shuffled, 0.03, 1)} == straight


def test_another_seed_takes_others_and_the_same_one_the_same():
    first, again, other = (labelled_share(NAMES, 0.1, seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert len(np.intersect1d(first, other)) < 30  # ten are expected by chance


def test_a_subset_is_the_same_on_every_machine():
    assert labelled_share(NAMES, 0.003, 0).tolist() == [92, 261, 733]


def test_of_every_class_a_share_is_taken_and_one_at_least():
    classes = np.repeat([0, 1, 2], [900, 99, 1])
    small, large = (labelled_share(NAMES, share, 0, classes) for share in (0.001, 0.1))
    assert np.bincount(classes[small]).tolist() == [1, 1, 1]
    assert np.bincount(classes[large]).tolist() == [90, 10, 1]
    assert set(small) < set(large)


def test_one_sample_is_taken_of_a_few():
    assert len(labelled_share(NAMES[:3], 0.01, 0)) == 1


@pytest.mark.parametrize("share", [0, -0.5, 1.01, float("nan")])
def test_a_share_out_of_range_is_refused(share):
    with pytest.raises(ValueError, match="share is"):
        labelled_share(NAMES, share, 0)


def test_the_list_that_is_saved_says_how_it_was_chosen(tmp_path):
    chosen = [NAMES[index] for index in labelled_share(NAMES, 0.01, 3)]
    write_labels(tmp_path / "labels.json", chosen, 0.01, 3)
    saved = json.loads((tmp_path / "labels.json").read_text())
    assert saved == {"share": 0.01, "seed": 3, "count": 10, "names": chosen}
