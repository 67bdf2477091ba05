"""Time of a random pair read: our shards against other ways to keep JPEG pairs. A script, not a test.

    python tests/benchmarks/shard_reads.py --pictures ../shared/samples --json reads.json

All stores hold the same bytes and are warm in the page cache. Every round visits all stores, each with the same random
rows, and the medians over rounds are compared, so that a slow minute of the machine falls on all alike.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import cv2
import h5py
import numpy as np

from humanpt.data.image import decode_jpeg, encode_jpeg, read_image, warp_square
from humanpt.data.shards import Kind, PairRecord, PairSet, Picture, ShardWriter, Source
from humanpt.errors import InputError

SIZE = 256
Read = Callable[[int], tuple[bytes, bytes]]
STORES = ("ours", "HDF5 contiguous, h5py slices", "HDF5 variable-length rows", "plain files")


def crops(folder: Path | None, count: int, rng: np.random.Generator) -> list[bytes]:
    """JPEG files of 256-px crops, cut from real pictures where there are some, else made of noise over all scales."""
    pictures = []
    for path in sorted(folder.rglob("*.jpg")) + sorted(folder.rglob("*.png")) if folder else []:
        try:
            pictures.append(read_image(path))
        except InputError:
            continue
    print(f"crops from {len(pictures)} pictures" if pictures else "crops of noise")
    jpegs = []
    for _ in range(count):
        if pictures:
            rgb = pictures[rng.integers(len(pictures))]
            height, width = rgb.shape[:2]
            side = min(height, width) * rng.uniform(0.5, 1)
            x, y = rng.uniform(0, width - side) - 0.5, rng.uniform(0, height - side) - 0.5
            jpegs.append(encode_jpeg(warp_square(rgb, (x, y, x + side, y + side), SIZE)))
        else:
            octaves = [cv2.resize(rng.normal(size=(n, n, 3)), (SIZE, SIZE)) / n for n in (4, 8, 16, 32, 64, 128, 256)]
            rgb = 128 + 250 * np.sum(octaves, axis=0)
            jpegs.append(encode_jpeg(rgb.clip(0, 255).astype(np.uint8)))
    return jpegs


def write_stores(folder: Path, jpegs: Sequence[bytes], pairs: int) -> None:
    """The same pairs in every store; pictures are used again where there are fewer than needed."""

    def pair(row: int) -> tuple[bytes, bytes]:
        return jpegs[2 * row % len(jpegs)], jpegs[(2 * row + 1) % len(jpegs)]

    source = Source(
        path="bench", sha256="", licence="", sequence="bench", camera="", reader="", width=SIZE, height=SIZE,
        frames=0, duration=0.0, notes="",
    )  # fmt: skip
    place = {"box": np.zeros(4), "square": np.zeros(4), "image_size": (SIZE, SIZE), "score": 1.0, "timestamp": 0.0}
    mask = {"mask": np.zeros((64, 64), np.bool_), "mask_kind": "none"}
    with ShardWriter(
        folder / "pairs" / "pairs.h5", subject_kind="body", crop_size=SIZE, config={}, sources=[source]
    ) as shard:
        for row in range(pairs):
            image1, image2 = (Picture(jpeg=jpeg, source=0, frame=row, **place, **mask) for jpeg in pair(row))
            shard.append(
                PairRecord(
                    image1=image1, image2=image2, kind=Kind.CROSS_POSE, subject="", track=0, side="none", change=0.0,
                    pair_score=0.0,
                )
            )  # fmt: skip
    (folder / "files").mkdir()
    with h5py.File(folder / "rows.h5", "w") as file:
        rows = file.create_dataset("jpeg", (pairs, 2), h5py.vlen_dtype(np.uint8))
        for row in range(pairs):
            for k, jpeg in enumerate(pair(row)):
                rows[row, k] = np.frombuffer(jpeg, np.uint8)
                (folder / "files" / f"{row:06d}_{k}.jpg").write_bytes(jpeg)


def open_store(name: str, folder: Path) -> Read:
    """A function from a row to the two JPEG files, as bytes of their own so that all do the same work."""
    if name == "ours":
        pairs = PairSet.open([folder / "pairs"])

        def read(row: int) -> tuple[bytes, bytes]:
            first, second = pairs.jpegs(row)
            return bytes(first), bytes(second)

    elif name == "HDF5 contiguous, h5py slices":
        blob = h5py.File(folder / "pairs" / "pairs.h5")
        jpeg, offsets, sizes = blob["jpeg"], blob["jpeg_offset"][()], blob["jpeg_size"][()]
        spans = [list(zip(o, o + s, strict=True)) for o, s in zip(offsets.astype(int), sizes.astype(int), strict=True)]

        def read(row: int) -> tuple[bytes, bytes]:
            (a, b), (c, d) = spans[row]
            return jpeg[a:b].tobytes(), jpeg[c:d].tobytes()

    elif name == "HDF5 variable-length rows":
        rows = h5py.File(folder / "rows.h5")["jpeg"]

        def read(row: int) -> tuple[bytes, bytes]:
            first, second = rows[row]
            return first.tobytes(), second.tobytes()

    else:

        def read(row: int) -> tuple[bytes, bytes]:
            return (folder / "files" / f"{row:06d}_0.jpg").read_bytes(), (
                folder / "files" / f"{row:06d}_1.jpg"
            ).read_bytes()

    return read


def visit(read: Read, rows: Sequence[int], decode: bool) -> float:
    """Microseconds of wall time per pair."""
    began = time.perf_counter()
    for row in rows:
        first, second = read(row)
        if decode:
            decode_jpeg(first)
            decode_jpeg(second)
    return (time.perf_counter() - began) / len(rows) * 1e6


def work(name: str, folder: Path, pairs: int, reads: int, seed: int, barrier: object, results: object) -> None:
    """One of several processes: opens for itself, waits for the others, reads."""
    cv2.setNumThreads(1)
    rows = np.random.default_rng(seed).integers(0, pairs, reads).tolist()
    read = open_store(name, folder)
    visit(read, rows[:100], decode=False)
    barrier.wait()  # type: ignore[attr-defined]
    results.put(visit(read, rows, decode=False))  # type: ignore[attr-defined]


def visit_with(workers: int, name: str, folder: Path, pairs: int, reads: int, seed: int) -> float:
    """Microseconds per pair over all processes together: the slowest one's time over everybody's pairs."""
    context = multiprocessing.get_context("fork")
    barrier, results = context.Barrier(workers), context.Queue()
    children = [
        context.Process(target=work, args=(name, folder, pairs, reads, seed + k, barrier, results))
        for k in range(workers)
    ]
    for child in children:
        child.start()
    slowest = max(results.get(timeout=60) for _ in children)
    for child in children:
        child.join()
    return slowest / workers


def main() -> None:
    """Measure and print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=Path, help="folder of pictures to cut crops from; noise without it")
    parser.add_argument("--pairs", type=int, default=4000)
    parser.add_argument("--reads", type=int, default=2000, help="random pairs per store and round")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--workers", type=int, default=2, help="processes of the last column")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    rng = np.random.default_rng(0)
    jpegs = crops(options.pictures, min(600, 2 * options.pairs), rng)
    kilobytes = statistics.mean(map(len, jpegs)) / 1000
    columns = ("bytes", "bytes and decoding", f"bytes, {options.workers} processes")
    times: dict[tuple[str, str], list[float]] = {(name, column): [] for name in STORES for column in columns}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_stores(folder, jpegs, options.pairs)
        reads = {name: open_store(name, folder) for name in STORES}
        for name in STORES:
            visit(reads[name], range(options.pairs), decode=False)  # into the page cache
        for turn in range(options.rounds):
            rows = rng.integers(0, options.pairs, options.reads).tolist()
            for name in STORES[turn % len(STORES) :] + STORES[: turn % len(STORES)]:
                times[name, columns[0]].append(visit(reads[name], rows, decode=False))
                times[name, columns[1]].append(visit(reads[name], rows[:300], decode=True))
                times[name, columns[2]].append(
                    visit_with(options.workers, name, folder, options.pairs, options.reads, seed=turn)
                )
    medians = {key: statistics.median(values) for key, values in times.items()}
    print(f"{options.pairs} pairs, {kilobytes:.1f} kB a picture, {options.rounds} rounds; us per pair (times ours)")
    print(" " * 30 + "".join(f"{column:>24}" for column in columns))
    for name in STORES:
        cells = [(medians[name, column], medians[name, column] / medians["ours", column]) for column in columns]
        print(f"{name:30}" + "".join(f"{f'{value:.1f} ({ratio:.1f})':>24}" for value, ratio in cells))
    if options.json:
        figures = {name: {column: medians[name, column] for column in columns} for name in STORES}
        options.json.write_text(json.dumps({"kilobytes": kilobytes, "us_per_pair": figures}, indent=2))


if __name__ == "__main__":
    main()
