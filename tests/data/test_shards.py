"""The shard file: what goes in comes out, damage is noticed, and a shard is whole or not there."""

import dataclasses
import errno
import multiprocessing
import os
import pickle
import re
import signal
import subprocess
import sys
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import h5py
import numpy as np
import pytest

from humanpt.data import shard_writer
from humanpt.data.records import BLOBS, truth_columns
from humanpt.data.shards import (
    COLUMNS,
    Kind,
    PairSet,
    Picture,
    ShardReader,
    ShardWriter,
    Source,
    Truth,
    TruthLayout,
    verify,
)
from humanpt.errors import InputError, OutputError, ShardError
from tests.shards import CROP_SIZE, TRUTH, pair, picture, source, truth, write_shard, write_truth_shard

ROOT = Path(__file__).parents[2]


@pytest.fixture
def shard(tmp_path):
    return write_shard(tmp_path / "pairs.h5", [pair(k) for k in range(4)])


@pytest.fixture
def truth_shard(tmp_path):
    return write_truth_shard(tmp_path / "pairs.h5")


def same(one, other):
    """Whether two records are equal to the last bit, NaN being equal to NaN."""
    if isinstance(one, Picture | Truth):
        pairs = [(getattr(one, f.name), getattr(other, f.name)) for f in dataclasses.fields(one)]
        return all(same(a, b) if isinstance(a, Truth) else np.array_equal(a, b) for a, b in pairs)
    return all(
        same(a, b) if isinstance(a, Picture) else a == b or (a != a and b != b)
        for a, b in ((getattr(one, f.name), getattr(other, f.name)) for f in dataclasses.fields(one))
    )


def run_python(code, *arguments, **options):
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False, **options)


def test_records_come_back_as_they_went_in(tmp_path):
    cameras = {"intrinsics": np.arange(9.0).reshape(3, 3), "cam_from_world": np.eye(4)}
    records = [
        pair(0),
        pair(1, kind=Kind.CROSS_VIEW, image2=picture(9, source=1, **cameras)),
        pair(2, side="left", pair_score=0.5, subject="Zoë"),
        pair(3, image1=picture(6, mask=np.zeros((64, 64), bool), mask_kind="none")),
    ]
    reader = ShardReader(write_shard(tmp_path / "a.h5", records, [source(), source(camera="b")]))
    assert len(reader) == 4
    assert all(same(reader.record(row), record) for row, record in enumerate(records))
    with pytest.raises(IndexError):
        reader.record(4)


def test_truth_comes_back_as_it_went_in(truth_shard):
    reader = ShardReader(truth_shard)
    assert reader.truth == TRUTH
    record = reader.record(3)
    assert same(record.image1.truth, truth(6))
    assert same(record.image2.truth, truth(7))
    assert verify(truth_shard).ok


def test_a_shard_without_truth_has_none(shard):
    reader = ShardReader(shard)
    assert reader.truth is None
    assert reader.record(0).image1.truth is None


@pytest.mark.parametrize(
    ("layout", "given", "match"),
    [
        (TRUTH, None, "all or none"),
        (None, truth(0), "all or none"),
        (TRUTH, dataclasses.replace(truth(0), keypoints=np.zeros((5, 3), np.float32)), "keypoints has shape"),
    ],
)
def test_truth_that_does_not_fit_the_shard_is_the_callers_mistake(tmp_path, layout, given, match):
    record = pair(0, image1=picture(0, truth=given), image2=picture(1, truth=given))
    with pytest.raises(ValueError, match=match):
        write_shard(tmp_path / "a.h5", [record], truth=layout)


def test_a_shard_of_the_first_schema_is_read(shard, tmp_path):
    old = tmp_path / "old.h5"
    names = h5py.enum_dtype({"none": 0, "detector": 1, "motion": 2, "box": 3}, basetype="u1")
    with h5py.File(shard) as new, h5py.File(old, "w") as file:
        new.copy("sources", file)
        for name in set(new) - {"sources"}:
            kind = names if name == "mask_kind" else new[name].dtype
            file.create_dataset(name, data=new[name][()], dtype=kind)
        file.attrs.update(new.attrs)
        file.attrs["schema_version"] = 1
    assert verify(old).ok
    assert all(same(ShardReader(old).record(row), ShardReader(shard).record(row)) for row in range(4))


def test_the_ledger_comes_back_as_it_went_in(tmp_path):
    sources = [source(), source("läuft", notes="3 damaged frames left out", duration=1 / 3)]
    config = {"rate": 15.0, "pairs": {"min_gap": 0.1}, "boxes": [1, 2], "long": "ü" * 100_000}
    reader = ShardReader(write_shard(tmp_path / "a.h5", [], sources, subject_kind="hand", config=config))
    assert reader.sources == tuple(sources)
    assert (reader.subject_kind, reader.crop_size, reader.config) == ("hand", CROP_SIZE, config)


def test_sources_may_be_completed_until_the_shard_is_closed(tmp_path):
    with ShardWriter(tmp_path / "a.h5", subject_kind="body", crop_size=32, config={}, sources=[source()]) as shard:
        shard.append(pair(0))
        shard.sources = [dataclasses.replace(source(), frames=7)]
        with pytest.raises(ValueError, match="renamed"):
            shard.sources = [source("other")]
        with pytest.raises(ValueError, match="shorter"):
            shard.sources = []
    assert ShardReader(tmp_path / "a.h5").sources[0].frames == 7


def test_a_moved_record_refers_to_sources_further_on():
    moved = pair(0, source=1).moved(5)
    assert (moved.image1.source, moved.image2.source) == (6, 6)


def test_columns_are_read_without_pictures(shard):
    reader = ShardReader(shard)
    assert reader.kind.tolist() == [Kind.CROSS_POSE] * 4
    assert reader.tracks.tolist() == [0, 1, 2, 0]
    assert reader.timestamps.shape == (4, 2)
    assert reader.frames.tolist() == [[0, 1], [2, 3], [4, 5], [6, 7]]
    assert reader.sequences == ("walk",)
    assert reader.sequence.tolist() == [0] * 4
    assert all(reader.column(column.name).flags.aligned for column in COLUMNS)


def test_masks_are_none_where_there_is_none(tmp_path):
    record = pair(0, image1=picture(0, mask=np.zeros((64, 64), bool), mask_kind="none"))
    first, second = ShardReader(write_shard(tmp_path / "a.h5", [record])).masks(0)
    assert first is None
    assert np.array_equal(second, record.image2.mask)


def test_equal_records_make_equal_files(tmp_path, shard):
    again = write_shard(tmp_path / "again.h5", [pair(k) for k in range(4)])
    assert again.read_bytes() == shard.read_bytes()
    with h5py.File(shard) as file:  # a time of writing would make them differ a second later
        times = [h5py.h5o.get_info(file.id).mtime]
        file.visititems(lambda _, item: times.append(h5py.h5o.get_info(item.id).mtime))
    assert set(times) == {0}


def test_the_file_describes_itself(shard):
    with h5py.File(shard) as file:
        assert h5py.check_enum_dtype(file["kind"].dtype) == {"cross_view": 0, "cross_pose": 1}
        assert h5py.check_enum_dtype(file["side"].dtype) == {"none": 0, "unknown": 1, "left": 2, "right": 3}
        kinds = {"none": 0, "detector": 1, "motion": 2, "box": 3, "rendered": 4}
        assert h5py.check_enum_dtype(file["mask_kind"].dtype) == kinds
        assert all(file[column.name].attrs["meaning"] for column in COLUMNS)
        assert file["timestamp"].attrs["units"] == b"s"
        assert all(file[name].id.get_offset() for name in ("jpeg", *(column.name for column in COLUMNS)))


def test_the_page_about_shards_names_every_field_in_the_order_of_the_checksum():
    page = (ROOT / "docs/shards.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| (\([^)]*\)) \| (\w+) \| ", page, re.MULTILINE)
    words = {
        "uint8": "u1",
        "int32": "i4",
        "int64": "i8",
        "uint32": "u4",
        "uint64": "u8",
        "float32": "f4",
        "float64": "f8",
    }
    described = [(name, shape, "|u1" if kind == "enumeration" else words.get(kind, "")) for name, shape, kind in rows]
    for column, (name, shape, kind) in zip(COLUMNS, described, strict=False):
        assert (name, shape) == (column.name, str(("N", *column.shape)).replace("'", ""))
        assert column.dtype.str.endswith(kind)
    assert [name for name, *_ in described[len(COLUMNS) : len(COLUMNS) + 2]] == ["jpeg", "subjects"]
    letters = {"S": len(TRUTH.shape_names), "J": len(TRUTH.joint_names), "K": len(TRUTH.keypoint_names)}
    *truths, cover, worn = described[len(COLUMNS) + 2 :]
    assert (cover[0], worn[0]) == ("cover", "worn")
    for column, (name, shape, kind) in zip(truth_columns(TRUTH), truths, strict=True):
        sizes = [letters.get(letter, letter) for letter in shape.strip("(,)").split(", ")]
        assert (f"truth/{name}", list(map(str, sizes))) == (column.name, list(map(str, ("N", *column.shape))))
        assert column.dtype.str.endswith(kind)
    assert all(f"`{field.name}`" in page for field in dataclasses.fields(TruthLayout))
    assert all(f"`{field.name}`" in page for field in dataclasses.fields(Source))


def test_the_reader_on_the_page_reads_a_shard(shard, monkeypatch, capsys):
    code = re.search(r"```python\n(.*?)```", (ROOT / "docs/shards.md").read_text(), re.DOTALL).group(1)
    assert len(code.splitlines()) <= 12
    monkeypatch.chdir(shard.parent)
    names = {}
    exec(code, names)
    assert "cross_pose walk#0 walk/a.mp4" in capsys.readouterr().out
    assert np.array_equal(names["image2"], ShardReader(shard).images(0)[1])


def test_memory_does_not_grow_with_the_shard(tmp_path):
    def big():
        return pair(0, image1=picture(0, jpeg=b"\xff\xd8" + os.urandom(100_000)))

    with ShardWriter(tmp_path / "a.h5", subject_kind="body", crop_size=32, config={}, sources=[source()]) as shard:
        shard.append(big())
        tracemalloc.start()
        for _ in range(300):
            shard.append(big())
        shard.close()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert (tmp_path / "a.h5").stat().st_size > 30e6
    assert peak < 2 * shard_writer.SLAB + 3e6


def test_an_error_while_writing_leaves_nothing(tmp_path):
    def records():
        yield pair(0)
        raise RuntimeError("the clip broke off")

    with pytest.raises(RuntimeError, match="broke off"):
        write_shard(tmp_path / "a.h5", records())
    assert list(tmp_path.iterdir()) == []


KILLED = """
import os, sys, time
from pathlib import Path
from tests.shards import pair, source
from humanpt.data.shards import ShardWriter
shard = ShardWriter(Path(sys.argv[1]), subject_kind="body", crop_size=32, config={}, sources=[source()])
for k in range(20):
    shard.append(pair(k))
if sys.argv[2] == "closing":  # stop where the file is written but not yet renamed
    os.fsync = lambda handle: (print("ready", flush=True), time.sleep(60))
    shard.close()
print("ready", flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("moment", ["appending", "closing"])
def test_a_killed_writer_leaves_no_shard_and_its_leftovers_do_no_harm(tmp_path, moment):
    command = [sys.executable, "-c", KILLED, str(tmp_path / "a.h5"), moment]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as child:
        assert child.stdout.readline() == b"ready\n"
        child.send_signal(signal.SIGKILL)
    leftovers = [path.name for path in tmp_path.iterdir()]
    assert not any(name.endswith(".h5") for name in leftovers)
    assert bool(leftovers) == (moment == "closing")
    write_shard(tmp_path / "b.h5", [pair(0)])
    assert len(PairSet.open([tmp_path])) == 1
    write_shard(tmp_path / "a.h5", [pair(0)])  # the same shard again clears them away
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.h5", "b.h5"]


FULL = """
import resource, sys
from pathlib import Path
from tests.shards import pair, write_shard
records = [pair(k) for k in range(40)]
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)
write_shard(Path(sys.argv[1]), records)
"""


@pytest.mark.parametrize("share", [0.02, 0.5, 0.99])
def test_a_file_that_cannot_grow_is_one_clear_error(tmp_path, share):
    whole = write_shard(tmp_path / "whole" / "a.h5", [pair(k) for k in range(40)]).stat().st_size
    done = run_python(FULL, tmp_path / "part" / "a.h5", int(share * whole))
    assert done.returncode == 1  # a crash inside HDF5 would be a signal
    last = done.stderr.strip().splitlines()[-1]
    assert re.fullmatch(
        r"humanpt.errors.OutputError: \S+a.h5: cannot be written \(File too large\); what was finished .*",
        last,
    )
    assert list((tmp_path / "part").iterdir()) == []


@pytest.mark.parametrize("moment", ["append", "close"])
def test_a_full_disk_is_one_clear_error(tmp_path, monkeypatch, moment):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    shard = ShardWriter(tmp_path / "a.h5", subject_kind="body", crop_size=32, config={}, sources=[source()])
    shard.append(pair(0))
    if moment == "close":
        monkeypatch.setattr(os, "fsync", full)
    else:
        monkeypatch.setattr(shard, "_rows", type("FullFile", (), {"write": full}))
    with pytest.raises(
        OutputError,
        match=r"a\.h5: cannot be written \(No space left on device\); what was finished before is intact; make room",
    ):
        shard.close() if moment == "close" else shard.append(pair(1))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_refused_at_once(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"a\.h5: cannot be written .* choose another folder"):
        write_shard(tmp_path / "file" / "a.h5", [])


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_protected_folder_is_refused_at_once(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="Permission denied"):
        ShardWriter(tmp_path / "a.h5", subject_kind="body", crop_size=32, config={}, sources=[])


@pytest.mark.parametrize(
    "wrong",
    [
        {"source": 1},
        {"mask": np.zeros((32, 32), bool)},
        {"box": np.zeros(3)},
        {"jpeg": b"no picture"},
    ],
)
def test_a_record_that_cannot_be_right_is_the_callers_mistake(tmp_path, wrong):
    with pytest.raises(ValueError, match=r"source|mask|box|JPEG"):
        write_shard(tmp_path / "a.h5", [pair(0, image2=picture(1, **wrong))])


def test_a_pair_of_two_sequences_is_refused(tmp_path):
    with pytest.raises(ValueError, match="two sequences"):
        write_shard(tmp_path / "a.h5", [pair(0, image2=picture(1, source=1))], [source("walk"), source("run")])


def test_a_missing_file_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match=r"nowhere\.h5: cannot be read"):
        ShardReader(tmp_path / "nowhere.h5")


def test_a_file_cut_anywhere_is_refused(shard):
    whole = shard.read_bytes()
    for length in (0, 1, 7, 8, 50, 100, 5_000, len(whole) // 2, len(whole) - 4_000, len(whole) - 1):
        shard.write_bytes(whole[:length])
        with pytest.raises(ShardError, match=r"pairs\.h5: is (empty|cut short|damaged|not an HDF5 file)"):
            ShardReader(shard)


def test_other_files_are_refused(tmp_path):
    text, other = tmp_path / "text.h5", tmp_path / "other.h5"
    text.write_text("no shard\n" * 100)
    with h5py.File(other, "w") as file:
        file["images"] = np.zeros(10)
    with pytest.raises(ShardError, match=r"text\.h5: is not an HDF5 file; give"):
        ShardReader(text)
    with pytest.raises(ShardError, match=r"other\.h5: is an HDF5 file but no shard of pairs; give"):
        ShardReader(other)


def test_a_shard_that_another_tool_rewrote_is_read_if_it_is_not_in_pieces(shard, tmp_path):
    def rewrite(path, **layout):
        with h5py.File(shard) as old, h5py.File(path, "w") as new:
            old.copy("sources", new)
            for name in set(old) - {"sources"}:
                new.create_dataset(name, data=old[name][()], dtype=old[name].dtype, **layout)
            new.attrs.update(old.attrs)
        return path

    assert verify(rewrite(tmp_path / "plain.h5")).ok
    with pytest.raises(ShardError, match=r"small\.h5: dataset '\w+' was rewritten in pieces; undo it with `h5repack"):
        ShardReader(rewrite(tmp_path / "small.h5", compression="gzip"))


def test_a_newer_schema_is_refused(shard):
    with h5py.File(shard, "r+") as file:
        file.attrs["schema_version"] = 3
    with pytest.raises(ShardError, match=r"pairs\.h5: has schema 3, this humanpt reads up to 2; update humanpt"):
        ShardReader(shard)


def test_a_missing_dataset_is_named(shard):
    with h5py.File(shard, "r+") as file:
        del file["box"]
    with pytest.raises(ShardError, match=r"pairs\.h5: no dataset 'box'; make it again"):
        ShardReader(shard)


def flip(path, name, place=3):
    """Flip one bit in a dataset."""
    with h5py.File(path) as file:
        offset = file[name].id.get_offset() + place
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 4]))


@pytest.mark.parametrize("name", [*BLOBS, *(column.name for column in (*COLUMNS, *truth_columns(TRUTH)))])
def test_a_flipped_bit_in_any_dataset_is_noticed(truth_shard, name):
    flip(truth_shard, name)
    problems = verify(truth_shard).problems
    assert len(problems) >= 1
    assert all(re.match(r"\S+pairs\.h5: .*is damaged \(.*\); make it again", line) for line in problems)


def test_a_flipped_bit_anywhere_never_passes_for_other_content(truth_shard):
    shard = truth_shard
    whole = shard.read_bytes()
    before = [ShardReader(shard).record(row) for row in range(4)]
    ledger = ShardReader(shard).sources, ShardReader(shard).truth
    for place in np.random.default_rng(0).integers(0, len(whole), 60).tolist():
        damaged = bytearray(whole)
        damaged[place] ^= 1 << place % 8
        shard.write_bytes(damaged)
        try:
            reader = ShardReader(shard)
            for row, record in enumerate(before):
                assert same(reader.record(row), record), place
            assert (reader.sources, reader.truth) == ledger, place
        except ShardError:
            pass


def test_verify_finds_a_sound_shard_sound(shard):
    check = verify(shard)
    assert check.ok
    assert (check.pairs, check.subject_kind, dict(check.kinds)) == (4, "body", {"cross_pose": 4})
    assert check.size == shard.stat().st_size


def test_verify_finds_pictures_that_cannot_be_decoded_or_have_another_size(tmp_path):
    records = [pair(0, image1=picture(0, jpeg=b"\xff\xd8 no picture")), pair(1)]
    assert [line.split(": ")[1] for line in verify(write_shard(tmp_path / "a.h5", records)).problems] == [
        "pair 0 is damaged (no picture); make it again with `humanpt mkpairs`"
    ]
    assert len(verify(write_shard(tmp_path / "b.h5", [pair(0)], crop_size=256)).problems) == 1


def test_a_shard_may_be_empty_and_verify_says_so(tmp_path):
    path = write_shard(tmp_path / "a.h5", [])
    assert len(ShardReader(path)) == 0
    assert "no pairs" in verify(path).problems[0]


def test_views_outlive_the_mapping(shard):
    reader = ShardReader(shard)
    first, _ = reader.jpegs(0)
    before = bytes(first)
    reader.release()
    assert not reader.is_mapped
    assert bytes(first) == before == bytes(reader.jpegs(0)[0])


def test_a_shard_replaced_while_in_use_is_noticed(shard):
    reader = ShardReader(shard)
    reader.release()
    write_shard(shard, [pair(9)])
    with pytest.raises(ShardError, match="was changed while in use"):
        reader.jpegs(0)


def test_a_shard_may_be_open_elsewhere(shard):
    for locking in (True, False, "best-effort"):
        with h5py.File(shard, "r", locking=locking) as file:
            assert len(ShardReader(shard)) == len(file["kind"])


def _sums(reader, rows):
    return [sum(map(sum, reader.jpegs(row))) for row in rows]


def test_a_pickled_reader_reads_the_same(shard):
    reader = ShardReader(shard)
    again = pickle.loads(pickle.dumps(reader))
    assert not again.is_mapped
    assert _sums(again, range(4)) == _sums(reader, range(4))


def test_forked_processes_and_threads_read_the_same(shard):
    reader = ShardReader(shard)
    rows = [0, 3, 1, 2] * 20
    expected = _sums(reader, rows)
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(_sums, [reader] * 4, [rows] * 4)) == [expected] * 4
    with multiprocessing.get_context("fork").Pool(3) as pool:
        assert pool.starmap(_sums, [(reader, rows)] * 3) == [expected] * 3
