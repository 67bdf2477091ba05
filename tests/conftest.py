"""What several folders of tests share: where the samples are, and that processes end."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def samples() -> Path:
    """The folder of real clips, pictures and annotations that lies beside the project."""
    folder = Path(os.environ.get("HUMANPT_SAMPLES", Path(__file__).parents[2] / "shared" / "samples"))
    if not folder.is_dir():
        pytest.skip(f"no sample folder at {folder}; set HUMANPT_SAMPLES to run this test")
    return folder


@pytest.fixture
def nobody_left():
    """No process that a test starts outlives it."""
    from tests.engine.processes import Program

    yield
    for process in Program.all:
        process.kill()
    Program.all.clear()
