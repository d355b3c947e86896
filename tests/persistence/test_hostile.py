"""Files that were damaged, or made to do harm: an error, and nothing else."""

import json
import pickle

import numpy as np
import pytest
import safetensors.numpy
from numpy.testing import assert_array_equal

import skgmje
from skgmje import GaussianMixture
from skgmje._persistence._container import pack, unpack

X = np.random.default_rng(0).normal(size=(60, 2))
N_FLIPS = 200


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "model.safetensors"
    GaussianMixture(2, random_state=0).fit(X).save(path)
    return path


def state_of(document):
    """Return the attributes in a document: name to node."""
    return dict(document["model"]["state"])


def with_state(document, **nodes):
    document["model"]["state"] = [*(state_of(document) | nodes).items()]


def array_of(document, arrays, name):
    """Return an array that may be written into."""
    key = state_of(document)[name]["array"][0]
    arrays[key] = arrays[key].copy()
    return arrays[key]


def set_entry(name, value, index=0):
    def forge(document, arrays):
        array_of(document, arrays, name).flat[index] = value

    return forge


def set_array(name, value):
    def forge(document, arrays):
        arrays[state_of(document)[name]["array"][0]] = value

    return forge


def set_attribute(name, node):
    return lambda document, arrays: with_state(document, **{name: node})


def set_class(name):
    return lambda document, arrays: document["model"].update(object=name)


def nest(document, arrays):
    node = 1
    for _ in range(500):
        node = [node]
    with_state(document, deep_=node)


def add_parameter(document, arrays):
    document["model"]["params"].append(["new_parameter", 1])


def repeat_attribute(document, arrays):
    document["model"]["state"] *= 2


HOSTILE = {
    "NaN covariance": set_entry("covariances_", np.nan),
    "infinite mean": set_entry("means_", np.inf),
    "not positive definite": set_entry("covariances_", -1.0),
    "not symmetric": set_entry("covariances_", 5.0, index=1),
    "weights are none": set_entry("weights_", 3.0),
    "wrong type": set_array("means_", np.ones((2, 2), np.uint8) * 7),
    "wrong shape": set_array("means_", np.zeros((3, 2))),
    "wrong number of features": set_attribute("n_features_in_", 7),
    "path as a class": set_class("../../os.system"),
    "function as a class": set_class("os.system"),
    "class of no name": set_class(["GaussianMixture"]),
    "part as a whole": set_class("Units"),
    "deep nesting": nest,
    "hidden method": set_attribute("score_samples", 1),
    "hidden parameter": set_attribute("random_state", 1),
    "no identifier": set_attribute("__class__", "os.system"),
    "unknown tag": set_attribute("x_", {"eval": "1 + 1"}),
    "two tags": set_attribute("x_", {"tuple": [], "dict": []}),
    "missing array": set_attribute("x_", {"array": ["99", "C"]}),
    "huge strings": set_attribute("x_", {"strings": ["str", [10**9, 10**9], ["a"]]}),
    "unknown parameter": add_parameter,
    "same attribute twice": repeat_attribute,
    "unhashable key": set_attribute("x_", {"dict": [[[], 1]]}),
    "NaN": set_attribute("shrinkage_", {"float": "nan"}),
}


@pytest.mark.parametrize("forge", HOSTILE.values(), ids=HOSTILE)
def test_forged_model_is_refused(path, forge):
    document, arrays = unpack(path.read_bytes())
    forge(document, arrays)
    path.write_bytes(pack(document, arrays))
    with pytest.raises(ValueError, match="cannot be loaded"):
        skgmje.load(path)


def rewrite(known):
    """Return a safetensors file that says `known` of itself."""
    return safetensors.numpy.save({"0": np.zeros(2)}, {"skgmje": known})


def raw(header, data=b""):
    header = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(header).to_bytes(8, "little") + header + data


def header_of(**tensor):
    known = {"__metadata__": {"skgmje": '{"format_version": "1.0"}'}}
    plain = {"dtype": "F64", "shape": [1], "data_offsets": [0, 8]}
    return known | {"0": plain | tensor}


class Evil:
    def __reduce__(self):
        return print, ("code was run",)


BYTES = {
    "empty": b"",
    "short": b"\x00" * 7,
    "header of 2**63 bytes": (2**63).to_bytes(8, "little") + b"{}",
    "pickle": pickle.dumps(Evil()),
    "zip": b"PK\x03\x04" + b"\x00" * 100,
    "no metadata": raw({"0": {"dtype": "F64", "shape": [0], "data_offsets": [0, 0]}}),
    "metadata of another program": safetensors.numpy.save(
        {"0": np.zeros(2)}, {"format": "pt"}
    ),
    "huge shape": raw(header_of(shape=[2**40, 2**40]), b"\x00" * 8),
    "offsets beyond the end": raw(header_of(data_offsets=[0, 2**40]), b"\x00" * 8),
    "negative offsets": raw(header_of(data_offsets=[-8, 0]), b"\x00" * 8),
    "unknown type": raw(header_of(dtype="OBJECT"), b"\x00" * 8),
    "same key twice": raw(b'{"__metadata__": {"skgmje": "1"}, "__metadata__": {}}'),
    "deep header": raw(b"[" * 100_000),
    "no JSON": rewrite("__import__('os').system('true')"),
    "deep JSON": rewrite("[" * 100_000),
    "later version": rewrite('{"format_version": "2.0"}'),
    "no version": rewrite("{}"),
    "no checksum": rewrite('{"format_version": "1.0", "document": {}}'),
    "a list": rewrite("[]"),
}


@pytest.mark.parametrize("data", BYTES.values(), ids=BYTES)
def test_bytes_that_are_no_model_are_refused(path, data, capfd):
    path.write_bytes(data)
    with pytest.raises(ValueError, match="cannot be loaded"):
        skgmje.load(path)
    assert capfd.readouterr().out == ""


def test_a_later_minor_version_is_read(path, monkeypatch):
    document, arrays = unpack(path.read_bytes())
    monkeypatch.setattr("skgmje._persistence._container.MINOR", 99)
    path.write_bytes(pack(document | {"news": 1}, arrays, more="labels"))
    skgmje.load(path).score_samples(X)


def test_missing_file_is_no_value_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        skgmje.load(tmp_path / "missing")


def damage(data, rng):
    """Flip a bit, or cut the end off."""
    at = int(rng.integers(len(data)))
    if rng.random() < 0.1:
        return data[:at]
    flipped = bytes([data[at] ^ (1 << int(rng.integers(8)))])
    return data[:at] + flipped + data[at + 1 :]


def test_damaged_files_are_refused_or_harmless(path, rng):
    data = path.read_bytes()
    expected = skgmje.load(path).score_samples(X)
    n_refused = 0
    for _ in range(N_FLIPS):
        path.write_bytes(damage(data, rng))
        try:
            found = skgmje.load(path)
        except ValueError:
            n_refused += 1
        else:
            assert_array_equal(found.score_samples(X), expected)
    # The padding of the header is all that may be flipped.
    assert n_refused > 0.95 * N_FLIPS
