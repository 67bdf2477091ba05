"""What the reader of labels' pickles takes, and what it refuses."""

import collections
import io
import os
import pickle
import sys
import types

import numpy as np
import pytest

from humanpt.body.array_files import read_arrays
from humanpt.data.safe_pickle import read_pickle, unpickle
from humanpt.errors import InputError

LABELS = {
    "poses": [np.arange(6.0).reshape(2, 3), np.zeros((0, 3), np.float32)],
    "valid": np.array([True, False]),
    "gender": "m",
    "scalar": np.float64(1.5),
    "flag": np.bool_(True),
    "names": np.array(["a", "größe"]),
    "ragged": np.array([np.zeros(2), None], dtype=object),
    "order": np.asfortranarray(np.arange(6).reshape(2, 3)),
    "deep": ({"x": [1, 2.5, None, True, b"raw"]},),
    "set": {1, 2},
}


def same(one, other):
    if isinstance(one, np.ndarray) and one.dtype == object:
        return one.shape == other.shape and all(same(a, b) for a, b in zip(one.flat, other.flat, strict=True))
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and np.array_equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return type(one) is type(other) and all(same(a, b) for a, b in zip(one, other, strict=True))
    return type(one) is type(other) and one == other


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_labels_of_every_protocol_come_back_as_they_were(protocol):
    assert same(unpickle(pickle.dumps(LABELS, protocol), "x.pkl", "example.org"), LABELS)


def test_text_and_arrays_of_python_2_are_read():
    # what Python 2 wrote for {"seq": "caf\xe9", "a": np.array([1.0, 2.0])} with protocol 0
    old = (
        b"(dp0\nS'seq'\np1\nS'caf\\xe9'\np2\nsS'a'\np3\ncnumpy.core.multiarray\n_reconstruct\np4\n"
        b"(cnumpy\nndarray\np5\n(I0\ntp6\nS'b'\np7\ntp8\nRp9\n(I1\n(I2\ntp10\ncnumpy\ndtype\np11\n"
        b"(S'f8'\np12\nI0\nI1\ntp13\nRp14\n(I3\nS'<'\np15\nNNNI-1\nI-1\nI0\ntp16\nbI00\n"
        b"S'\\x00\\x00\\x00\\x00\\x00\\x00\\xf0?\\x00\\x00\\x00\\x00\\x00\\x00\\x00@'\np17\ntp18\nbs."
    )
    read = unpickle(old, "old.pkl", "example.org")
    assert read["seq"] == "café"
    np.testing.assert_array_equal(read["a"], [1.0, 2.0])


def test_ordered_dicts_become_dicts():
    assert unpickle(pickle.dumps(collections.OrderedDict(a=1)), "x", "y") == {"a": 1}


class Runs:
    """Calls a function when it is unpickled."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("function", [os.system, eval, print, getattr, __import__, np.load, np.fromfile, io.open])
@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_nothing_that_could_run_is_called(function, protocol, tmp_path):
    mark = tmp_path / "ran"
    content = pickle.dumps({"a": [Runs(function, f"touch {mark}")]}, protocol)
    with pytest.raises(InputError, match=r"x\.pkl: names .*\.\w+, which is no array"):
        unpickle(content, "x.pkl", "example.org")
    assert not mark.exists()


def short_text(text):
    return b"\x8c" + bytes([len(text)]) + text


def test_dotted_names_reach_nothing_behind_an_array():
    reach = b"\x80\x04" + short_text(b"numpy") + short_text(b"ndarray.tofile") + b"\x93."
    with pytest.raises(InputError, match=r"names numpy\.ndarray\.tofile"):
        unpickle(reach, "x.pkl", "example.org")


FORGED = {
    "made from bytes": (
        b"\x80\x04" + short_text(b"numpy") + short_text(b"ndarray") + b"\x93K\x01\x85\x8c\x01OC\x08AAAAAAAA\x87R."
    ),
    "given bytes, its kind saying that it holds no objects": (
        b"\x80\x04(" + short_text(b"numpy.core.multiarray") + short_text(b"_reconstruct") + b"\x93"
        + short_text(b"numpy") + short_text(b"ndarray") + b"\x93K\x00\x85C\x01b\x87R"
        + b"(K\x01K\x01\x85" + short_text(b"numpy") + short_text(b"dtype") + b"\x93\x8c\x01O\x89\x88\x87R"
        + b"(K\x03\x8c\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89C\x08AAAAAAAAtbl."
    ),
}  # fmt: skip


@pytest.mark.parametrize("forged", FORGED.values(), ids=FORGED.keys())
def test_bytes_never_pass_for_the_addresses_of_objects(forged):
    # NumPy's own reader takes both; a look at what it makes ends the process
    try:
        values = unpickle(forged, "x.pkl", "example.org")
    except InputError:
        return
    assert all(isinstance(value, int | float) for value in values.flat)


def test_chumpy_inside_becomes_an_array():
    chumpy = types.ModuleType("chumpy.ch")
    chumpy.Ch = type("Ch", (), {"__module__": "chumpy.ch"})
    wrapped = chumpy.Ch()
    wrapped.x = np.arange(3.0)
    sys.modules.update({"chumpy": types.ModuleType("chumpy"), "chumpy.ch": chumpy})
    try:
        content = pickle.dumps({"handPose": [wrapped]}, 2)
    finally:
        del sys.modules["chumpy"], sys.modules["chumpy.ch"]
    np.testing.assert_array_equal(unpickle(content, "x", "y")["handPose"][0], [0.0, 1.0, 2.0])


@pytest.mark.parametrize("content", [b"", b"hello", pickle.dumps(LABELS)[:-40], pickle.dumps(LABELS)[5:], b"\x80\x04."])
def test_a_damaged_pickle_is_told_in_one_line(content, tmp_path):
    path = tmp_path / "seq.pkl"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"seq\.pkl: .*example\.org") as raised:
        read_pickle(path, "example.org")
    assert "\n" not in str(raised.value)


def test_a_missing_pickle_says_where_it_is_published(tmp_path):
    with pytest.raises(InputError, match=r"seq\.pkl: cannot be read .*get it from example\.org"):
        read_pickle(tmp_path / "seq.pkl", "example.org")


def test_a_damaged_body_model_is_told_with_where_to_get_it(tmp_path):
    (tmp_path / "MANO_RIGHT.pkl").write_bytes(b"\xff\xd8\xff")
    with pytest.raises(InputError, match=r"MANO_RIGHT\.pkl: is damaged \(.*\); get it again from its owner"):
        read_arrays(tmp_path / "MANO_RIGHT.pkl", ["f"])
