"""A cache folder of their own for tests of labelled data, and a MANO file made from free numbers."""

import numpy as np
import pytest

from humanpt.body.model import load_body_model
from humanpt.data.labelled import mano_labels
from humanpt.data.people import staging
from tests.body.licensed_files import made, write_npz


def forget_models():
    for remembered in (staging.body_model, mano_labels._hand_space, mano_labels.root_at_rest):
        remembered.cache_clear()


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("HUMANPT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HUMANPT_BODY_MODELS", str(tmp_path / "models"))
    forget_models()


@pytest.fixture(scope="session")
def mano_arrays():
    """MANO's arrays with a mean hand and principal poses that are neither zero nor the identity."""
    rng = np.random.default_rng(5)
    arrays = made("mano", load_body_model("anny-hand"))
    components = np.linalg.qr(rng.normal(size=(45, 45)))[0]
    return arrays | {"hands_mean": rng.normal(scale=0.3, size=45), "hands_components": components}


@pytest.fixture
def mano(mano_arrays, own_cache, tmp_path):
    """The same as the user's file of the right hand."""
    pytest.importorskip("smplx")
    write_npz(tmp_path / "models" / "MANO_RIGHT.npz", mano_arrays)
    yield mano_arrays
    forget_models()
