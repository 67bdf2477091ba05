"""Sets of shards: which are taken, how pairs are numbered, and how sequences are split."""

import pickle

import numpy as np
import pytest

from humanpt.data import pairset
from humanpt.data.shards import PairSet
from humanpt.errors import InputError, ShardError
from tests.shards import pair, source, write_sequences, write_shard


def names(pairs):
    return [pairs.sequences[k] for k in pairs.sequence]


def test_pairs_of_all_shards_are_numbered_through(tmp_path):
    write_shard(tmp_path / "one" / "a.h5", [pair(0), pair(1)])
    write_shard(tmp_path / "one" / "deep" / "b.h5", [pair(2)])
    write_shard(tmp_path / "two" / "c.h5", [pair(3), pair(4)])
    pairs = PairSet.open([tmp_path / "one", tmp_path / "two"])
    assert len(pairs) == 5
    assert [pairs.record(k).image1.frame for k in range(5)] == [0, 2, 4, 6, 8]
    assert [pairs.locate(k)[1] for k in range(5)] == [0, 1, 0, 0, 1]
    assert bytes(pairs.jpegs(3)[1]) == pair(3).image2.jpeg
    assert pairs.images(2)[0].shape == (32, 32, 3)
    assert np.array_equal(pairs.masks(4)[0], pair(4).image1.mask)
    for index in (-1, 5):
        with pytest.raises(IndexError):
            pairs.locate(index)


def test_a_shard_found_twice_counts_once(tmp_path):
    shard = write_shard(tmp_path / "a.h5", [pair(0)])
    assert len(PairSet.open([tmp_path, shard, tmp_path])) == 1


def test_unfinished_files_and_hidden_folders_are_passed_over(tmp_path):
    write_shard(tmp_path / "a.h5", [pair(0)])
    write_shard(tmp_path / ".mkpairs" / "000001.h5", [pair(1)])
    (tmp_path / ".a.h5.partial").mkdir()
    (tmp_path / ".a.h5.partial" / "a.h5").write_bytes(b"\x89HDF\r\n\x1a\nand no more")
    (tmp_path / ".b.h5").write_bytes(b"")
    (tmp_path / "summary.json").write_text("{}")
    assert len(PairSet.open([tmp_path])) == 1


def test_a_folder_without_shards_says_how_to_make_some(tmp_path):
    with pytest.raises(InputError, match=r"no shards of pairs .* `humanpt mkpairs videos/`"):
        PairSet.open([tmp_path])
    with pytest.raises(InputError, match=r"nowhere: no such folder of pairs.*humanpt mkpairs"):
        PairSet.open([tmp_path / "nowhere"])


def test_a_shard_without_pairs_is_refused(tmp_path):
    write_shard(tmp_path / "a.h5", [pair(0)])
    write_shard(tmp_path / "b.h5", [])
    with pytest.raises(ShardError, match=r"b\.h5: no pairs"):
        PairSet.open([tmp_path])


def test_bodies_and_hands_are_mixed_only_by_choosing_one(tmp_path):
    write_shard(tmp_path / "a.h5", [pair(0)])
    write_shard(tmp_path / "b.h5", [pair(1), pair(2)], subject_kind="hand")
    with pytest.raises(InputError, match="body and hand are mixed"):
        PairSet.open([tmp_path])
    hands = PairSet.open([tmp_path], subject_kind="hand")
    assert (len(hands), hands.subject_kind) == (2, "hand")
    with pytest.raises(InputError, match="no pairs of a hand"):
        PairSet.open([tmp_path / "a.h5"], subject_kind="hand")


def test_a_damaged_shard_is_named(tmp_path):
    write_shard(tmp_path / "a.h5", [pair(0)])
    (tmp_path / "b.h5").write_text("no shard")
    with pytest.raises(ShardError, match=r"b\.h5: is not an HDF5 file"):
        PairSet.open([tmp_path])


def test_a_sequence_in_several_shards_of_a_folder_is_one(tmp_path):
    write_sequences(tmp_path / "a.h5", {"walk": 2, "run": 1})
    write_sequences(tmp_path / "b.h5", {"run": 1, "jump": 1})
    pairs = PairSet.open([tmp_path])
    assert pairs.sequences == ("walk", "run", "jump")
    assert names(pairs) == ["walk", "walk", "run", "run", "jump"]


def test_equal_names_in_two_folders_are_two_sequences(tmp_path):
    for folder in "xy":
        write_shard(tmp_path / folder / "a.h5", [pair(0)], [source("walk", sha256=folder)])
    pairs = PairSet.open([tmp_path / "x", tmp_path / "y"])
    assert names(pairs) == [f"{tmp_path / 'x'}:walk", f"{tmp_path / 'y'}:walk"]


def test_the_same_clip_under_two_names_is_one_sequence(tmp_path):
    write_shard(tmp_path / "x" / "a.h5", [pair(0)], [source("walk", sha256="same")])
    write_shard(tmp_path / "y" / "a.h5", [pair(0)], [source("w2", sha256="other"), source("renamed", sha256="same")])
    write_shard(tmp_path / "y" / "b.h5", [pair(0)], [source("renamed", camera="b", sha256="third")])
    write_shard(tmp_path / "z" / "a.h5", [pair(0)], [source("once more", sha256="third")])
    pairs = PairSet.open([tmp_path / name for name in "xyz"])
    assert [pairs.sequences[k].split(":")[1] for k in pairs.sequence] == ["walk", "w2", "walk", "walk"]


def test_a_split_never_parts_a_sequence_and_loses_nothing(tmp_path):
    sizes = {"a": 5, "b": 3, "c": 9, "d": 1, "e": 2}
    pairs = PairSet.open([write_sequences(tmp_path / "a.h5", sizes).parent])
    for seed in range(5):
        train, held_out = pairs.split(0.3, seed)
        assert np.array_equal(np.sort(np.concatenate([train, held_out])), np.arange(20))
        assert not set(pairs.sequence[train]) & set(pairs.sequence[held_out])
        assert len(held_out) == 6  # 5 + 1 or 3 + 1 + 2, the exact share


def test_a_split_depends_on_its_seed_alone(tmp_path):
    pairs = PairSet.open([write_sequences(tmp_path / "a.h5", dict.fromkeys("abcdefgh", 2)).parent])
    splits = [tuple(pairs.split(0.25, seed)[1]) for seed in (0, 0, 1, 2, 3)]
    assert splits[0] == splits[1]
    assert len(set(splits)) > 1


@pytest.mark.parametrize(
    ("sizes", "share", "expected"),
    [
        ({"a": 4}, 0.5, 0),  # one sequence only
        ({"a": 4, "b": 4}, 0.0, 0),  # nothing wanted
        ({"a": 9, "b": 8}, 0.05, 8),  # something is held out, the least
        ({"a": 9, "b": 1}, 0.99, 9),  # but never everything
        ({"a": 6, "b": 10, "c": 84}, 0.1, 10),  # nearest, not merely near
    ],
)
def test_a_split_comes_as_near_to_the_share_as_whole_sequences_allow(tmp_path, sizes, share, expected):
    pairs = PairSet.open([write_sequences(tmp_path / "a.h5", sizes).parent])
    assert len(pairs.split(share, seed=0)[1]) == expected


def test_a_share_of_everything_is_the_callers_mistake(tmp_path):
    pairs = PairSet.open([write_shard(tmp_path / "a.h5", [pair(0)])])
    with pytest.raises(ValueError, match="heldout_share is 1"):
        pairs.split(1, seed=0)


def test_a_pickled_set_reads_the_same(tmp_path):
    write_shard(tmp_path / "a.h5", [pair(0), pair(1)])
    pairs = PairSet.open([tmp_path])
    again = pickle.loads(pickle.dumps(pairs))
    assert bytes(again.jpegs(1)[0]) == bytes(pairs.jpegs(1)[0])
    assert again.sequences == pairs.sequences


def test_only_so_many_shards_stay_mapped(tmp_path, monkeypatch):
    monkeypatch.setattr(pairset, "MAPPED_AT_ONCE", 2)
    for k in range(5):
        write_shard(tmp_path / f"{k}.h5", [pair(k)])
    pairs = PairSet.open([tmp_path])
    for index in (0, 1, 2, 3, 4, 0, 3, 3):
        assert pairs.record(index).image1.frame == 2 * index
        assert sum(reader.is_mapped for reader in pairs.readers) <= 2
