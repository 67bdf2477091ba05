"""Files of predictions: read back as written, named by what is in them, whole or not there."""

from dataclasses import replace

import h5py
import numpy as np
import pytest

from humanpt.errors import InputError
from humanpt.scoring.predictions import PredictionBatch, PredictionLayout, Predictions, write_predictions

LAYOUT = PredictionLayout(subject="hand", keypoint_names=("wrist", "tip"), model="anny-hand", predictor="a run")


def made(count, seed=0):
    rng = np.random.default_rng(seed)
    return PredictionBatch(
        names=tuple(f"clip/{number:03d}" for number in range(count)),
        keypoints=rng.random((count, 2, 3), np.float32),
        vertices=rng.random((count, 5, 3), np.float32),
        focal=np.full((count, 2), 500, np.float32),
        focal_assumed=rng.random(count) < 0.5,
        errors={"mpjpe_mm": rng.random(count)},
    )


def rows_of(batch, rows):
    arrays = {name: value[rows] for name, value in vars(batch).items() if isinstance(value, np.ndarray)}
    names = tuple(np.array(batch.names)[rows].tolist())
    return replace(batch, **arrays, names=names, errors={name: value[rows] for name, value in batch.errors.items()})


def write(path, batch, size):
    with write_predictions(path, LAYOUT) as writer:
        for start in range(0, len(batch.names), size):
            writer.add(rows_of(batch, slice(start, start + size)))
    return writer


def test_what_is_written_is_read_however_it_is_cut(tmp_path):
    batch = made(11)
    digests = {write(tmp_path / f"{size}.h5", batch, size).sha256 for size in (1, 4, 11)}
    assert len(digests) == 1
    read = Predictions(tmp_path / "4.h5")
    assert read.layout == LAYOUT
    assert {read.sha256} == digests
    assert read.names == batch.names
    for name in ("keypoints", "vertices", "focal", "focal_assumed"):
        found = np.concatenate([getattr(part, name) for part in read.batches(3)])
        np.testing.assert_array_equal(found, getattr(batch, name))
    np.testing.assert_allclose(read.errors("mpjpe_mm"), batch.errors["mpjpe_mm"], rtol=1e-6)
    np.testing.assert_array_equal(read.at([2, 7]).vertices, batch.vertices[[2, 7]])


def test_another_number_another_name_or_another_order_is_another_digest(tmp_path):
    batch = made(3)
    moved, renamed = rows_of(batch, [0, 1, 2]), replace(batch, names=("clip/000", "clip/001", "clip/009"))
    moved.vertices[1, 2, 0] += 1e-6
    changed = (batch, moved, renamed, rows_of(batch, [1, 0, 2]))
    digests = {write(tmp_path / "p.h5", one, 3).sha256 for one in changed}
    assert len(digests) == 4


def test_a_writer_that_fails_leaves_no_file(tmp_path):
    uneven = replace(made(2), vertices=None)

    def fail():
        with write_predictions(tmp_path / "p.h5", LAYOUT) as writer:
            writer.add(made(2))
            writer.add(uneven)

    with pytest.raises(ValueError, match="the file has"):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_predictions_that_are_not_numbers_are_refused_by_the_name_of_their_sample(tmp_path):
    batch = made(3)
    batch.vertices[1, 0, 0] = np.nan
    with pytest.raises(ValueError, match="clip/001: the predicted vertices"):
        write(tmp_path / "p.h5", batch, 3)


def test_other_files_are_told_in_one_line(tmp_path):
    (tmp_path / "text.h5").write_text("no")
    h5py.File(tmp_path / "other.h5", "w").close()
    for name in ("text.h5", "other.h5", "missing.h5"):
        with pytest.raises(InputError, match=f"{name}: .*run humanpt eval again"):
            Predictions(tmp_path / name)
