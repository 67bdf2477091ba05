"""What several folders of tests share: where the samples are."""

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
