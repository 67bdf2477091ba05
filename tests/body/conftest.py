"""Body models for these tests, each loaded once."""

import pytest

from humanpt.body.anny import AnnyModel
from humanpt.body.model import load_body_model


@pytest.fixture(scope="session")
def hand() -> AnnyModel:
    return load_body_model("anny-hand")


@pytest.fixture(scope="session")
def left_hand() -> AnnyModel:
    return load_body_model("anny-hand", side="left")


@pytest.fixture(scope="session")
def small() -> AnnyModel:
    return load_body_model("anny-body-small")


@pytest.fixture(scope="session")
def body() -> AnnyModel:
    return load_body_model("anny-body")
