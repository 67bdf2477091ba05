import pytest

from humanpt.data import worker_memory
from humanpt.data.worker_memory import check_workers, fitting_workers, free_memory, pair_bytes
from humanpt.errors import ConfigError

GIB = 2**30


@pytest.fixture
def meminfo(tmp_path):
    file = tmp_path / "meminfo"
    file.write_text("MemTotal:       8388608 kB\nMemAvailable:    4194304 kB\n")
    return file


def test_free_memory_is_that_of_the_machine(meminfo, tmp_path):
    assert free_memory(meminfo, tmp_path / "none") == 4 * GIB


def test_a_nearer_limit_of_a_container_counts_and_files_read_before_do_not(meminfo, tmp_path):
    (tmp_path / "memory.max").write_text(f"{3 * GIB}\n")
    (tmp_path / "memory.current").write_text(f"{2 * GIB}\n")
    (tmp_path / "memory.stat").write_text(f"anon {GIB}\nactive_file 0\ninactive_file {GIB}\n")
    assert free_memory(meminfo, tmp_path) == 2 * GIB
    (tmp_path / "memory.max").write_text("max\n")
    assert free_memory(meminfo, tmp_path) == 4 * GIB


def test_more_workers_than_fit_are_refused_with_how_many_do(monkeypatch):
    monkeypatch.setattr(worker_memory, "free_memory", lambda: 4 * GIB)
    monkeypatch.setattr(worker_memory, "_free_shared", lambda: 2 * GIB)
    batch = 256 * pair_bytes(224)
    fit = fitting_workers(batch)
    assert fit == 2 * GIB // (5 * batch)
    check_workers(fit, batch)
    with pytest.raises(
        ConfigError, match=rf"workers is {fit + 1}, but memory allows about {fit} of them.*--set workers={fit} "
    ):
        check_workers(fit + 1, batch)


def test_where_memory_is_unknown_nothing_is_refused(monkeypatch):
    monkeypatch.setattr(worker_memory, "free_memory", lambda: None)
    monkeypatch.setattr(worker_memory, "_free_shared", lambda: None)
    check_workers(10_000, GIB)
