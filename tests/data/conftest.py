"""Generated pairs that several files of tests look at, made once."""

import pytest

from tests import people


@pytest.fixture(scope="session")
def hand_pairs(tmp_path_factory):
    """Eight pairs of hands: cross-pose and cross-view by turns, right, right, left, left."""
    return people.made(tmp_path_factory.mktemp("hands") / "pairs.h5", "hand", 0, 8)


@pytest.fixture(scope="session")
def body_pairs(tmp_path_factory):
    """Six pairs of bodies."""
    return people.made(tmp_path_factory.mktemp("bodies") / "pairs.h5", "body", 0, 6)


@pytest.fixture(scope="session", params=["hand", "body"])
def generated(request):
    """Either of them."""
    return request.getfixturevalue(f"{request.param}_pairs")
