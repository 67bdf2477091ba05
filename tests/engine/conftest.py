import resource
from contextlib import contextmanager

import pytest


@pytest.fixture
def small_disk():
    """Inside `with small_disk(size)` no file may grow beyond so many bytes, as on a disk that is full."""

    @contextmanager
    def limited(size):
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    return limited
