"""What is saved comes back to the bit; what cannot be saved, or was forged, says so."""

import json
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
import safetensors.numpy
import torch
from numpy.testing import assert_array_equal
from safetensors import safe_open
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.neighbors import KernelDensity
from sklearn.preprocessing import StandardScaler
from skorch.callbacks import EpochTimer

import skgmje
from skgmje import (
    ConditionalMixtureDensity,
    GaussianMixture,
    GJEEmbedder,
    KernelMixtureDensity,
    Mixture,
    TransformedDensity,
)

# Inside: the registry, damaged containers and a crash between two states.
from skgmje._persistence import Checkpoint
from skgmje._persistence._container import pack, unpack
from skgmje._persistence._registry import CLASSES, class_of, name_of
from skgmje.conditional import MixtureNetwork
from skgmje.embedding import MLP, ConvNet, GJELoss
from skgmje.gaussian import COVARIANCE_TYPES
from skgmje.mixture import Codes
from skgmje.utils import all_estimators

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]

# What is saved comes back to the bit; what cannot be saved says so --------------------


RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 2))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.safetensors"


def test_every_answer_has_the_same_bits(fitted_case, answers, path):
    fitted, custom = fitted_case
    expected = answers(fitted)
    fitted.save(path)
    loaded = skgmje.load(path, custom=custom)
    assert type(loaded) is type(fitted)
    found = answers(loaded)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert_array_equal(found[name], value, err_msg=name)
        assert found[name].dtype == value.dtype
    assert set(vars(loaded)) == set(vars(fitted))


def test_a_second_way_through_a_file_changes_nothing(fitted_case, path):
    fitted, custom = fitted_case
    fitted.save(path)
    first = path.read_bytes()
    skgmje.load(path, custom=custom).save(path)
    # Code that was replaced by None is None from now on.
    if None not in custom.values():
        assert path.read_bytes() == first


@pytest.mark.parametrize(("name", "cls"), all_estimators())
def test_every_public_estimator_is_in_the_registry(name, cls):
    assert CLASSES[name] == f"{cls.__module__}.{cls.__qualname__}"


def test_every_public_estimator_is_tried(cases):
    tried = {type(case[0]) for case in cases.values()}
    assert tried == {cls for _, cls in all_estimators()}


@pytest.mark.parametrize("name", CLASSES)
def test_registry_resolves(name):
    assert name_of(class_of(name)) == name


def test_parameters_and_clone_survive(path):
    fitted = GaussianMixture(2, means_init=X[:2], tol=1e-4, random_state=0).fit(X)
    fitted.save(path)
    loaded = skgmje.load(path)
    assert_array_equal(clone(loaded).fit(X).means_, fitted.means_)
    assert loaded.get_params().keys() == fitted.get_params().keys()


def test_a_stream_goes_on(path):
    stream = GaussianMixture(2, random_state=0).fit(X).partial_fit(X[:30])
    stream.save(path)
    loaded = skgmje.load(path)
    assert_array_equal(
        loaded.partial_fit(X[30:]).means_, stream.partial_fit(X[30:]).means_
    )


def test_feature_names_and_metadata(path):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=["a", "b"])
    GaussianMixture(random_state=0).fit(frame).save(path)
    loaded = skgmje.load(path)
    assert_array_equal(loaded.feature_names_in_, ["a", "b"])
    loaded.score_samples(frame)
    with safe_open(path, framework="np") as file:
        metadata = json.loads(file.metadata()["skgmje"])
    assert metadata["class"] == "GaussianMixture"
    assert metadata["feature_names"] == ["a", "b"]
    assert {"skgmje", "numpy", "torch"} <= set(metadata["versions"])


@pytest.mark.parametrize("library", [np, torch], ids=["numpy", "torch"])
def test_a_mixture_is_saved_too(library, path):
    mixture = Mixture(
        library.asarray([0.3, 0.7]),
        library.asarray([[0.0], [1.0]]),
        library.asarray([[0.5], [2.0]]),
        "diag",
    )
    mixture.save(path)
    loaded = skgmje.load(path)
    assert type(loaded.means) is type(mixture.means)
    assert_array_equal(loaded.log_prob(mixture.means), mixture.log_prob(mixture.means))


def test_order_in_memory_is_kept(path):
    covariances = np.asfortranarray(np.cov(RNG.normal(size=(4, 30))))
    Mixture(np.ones(1), np.zeros((1, 4)), covariances, "tied").save(path)
    assert skgmje.load(path).covariances.flags.f_contiguous


def test_unfitted_is_refused(path):
    with pytest.raises(NotFittedError):
        GaussianMixture().save(path)
    assert not path.exists()


def test_classes_of_others_are_refused_by_name(path):
    class Scaler(StandardScaler):
        pass

    class Mine(GaussianMixture):
        pass

    for estimator in (
        TransformedDensity(Scaler(), GaussianMixture()),
        TransformedDensity(StandardScaler(), KernelDensity()),
        Mine(),
    ):
        with pytest.raises(TypeError, match=r"skops\.io\.dump"):
            estimator.fit(X).save(path)
    assert not path.exists()


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_code_is_asked_for_by_its_names(path):
    density = KernelMixtureDensity(
        2, cost=lambda grams: grams.log_xy.sum(), max_iter=2, random_state=0
    )
    density.fit(X).save(path)
    for custom in (None, {}, {"generator": None}, {"cost": None, "generator": None}):
        with pytest.raises(ValueError, match=r"custom=.*\['cost'\]"):
            skgmje.load(path, custom=custom)
    assert skgmje.load(path, custom={"cost": None}).cost is None


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_network_of_other_layers_is_refused(path):
    def build(n_in, n_out):
        return torch.nn.Linear(n_in, n_out)

    def wider(n_in, n_out):
        return torch.nn.Sequential(torch.nn.Linear(n_in, 9), torch.nn.Linear(9, n_out))

    density = KernelMixtureDensity(2, generator=build, max_iter=2, random_state=0)
    density.fit(X).save(path)
    with pytest.raises(ValueError, match="cannot be loaded"):
        skgmje.load(path, custom={"generator": wider})


def test_a_folder_that_cannot_be_written_leaves_nothing(tmp_path):
    fitted = GaussianMixture(random_state=0).fit(X)
    with pytest.raises(FileNotFoundError):
        fitted.save(tmp_path / "missing" / "model.safetensors")
    assert os.listdir(tmp_path) == []


def test_a_failure_leaves_the_old_file(path, monkeypatch):
    fitted = GaussianMixture(random_state=0).fit(X)
    fitted.save(path)
    old = path.read_bytes()

    def fail(descriptor):
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        GaussianMixture(2, random_state=0).fit(X).save(path)
    assert path.read_bytes() == old
    assert os.listdir(path.parent) == [path.name]


def test_loading_a_mixture_needs_no_torch(path):
    GaussianMixture(2, random_state=0).fit(X).save(path)
    code = (
        "import sys, skgmje; m = skgmje.load(sys.argv[1]); m.score_samples([[0, 0]]);"
        "print('torch' in sys.modules)"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code, path], capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "False"


def test_pickle_and_set_attributes_still_work():
    fitted = GaussianMixture(2, random_state=0).fit(X)
    again = pickle.loads(pickle.dumps(fitted))
    again.means_ = fitted.means_ + 1
    assert_array_equal(again.mixture_.means, fitted.means_ + 1)
    assert again.mixture_ is again.mixture_


# Files that were damaged, or made to do harm: an error, and nothing else --------------


HOSTILE_X = np.random.default_rng(0).normal(size=(60, 2))
N_FLIPS = 200


@pytest.fixture
def hostile_path(tmp_path):
    hostile_path = tmp_path / "model.safetensors"
    GaussianMixture(2, random_state=0).fit(HOSTILE_X).save(hostile_path)
    return hostile_path


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
def test_forged_model_is_refused(hostile_path, forge):
    document, arrays = unpack(hostile_path.read_bytes())
    forge(document, arrays)
    hostile_path.write_bytes(pack(document, arrays))
    with pytest.raises(ValueError, match="cannot be loaded"):
        skgmje.load(hostile_path)


def test_a_parameter_of_a_later_library_is_told(hostile_path, monkeypatch):
    document, arrays = unpack(hostile_path.read_bytes())
    add_parameter(document, arrays)
    hostile_path.write_bytes(pack(document, arrays))
    with pytest.raises(ValueError, match=r"GaussianMixture of skgmje .* later skgmje"):
        skgmje.load(hostile_path)
    density = TransformedDensity(StandardScaler(), GaussianMixture())
    density.fit(HOSTILE_X).save(hostile_path)
    monkeypatch.setattr(StandardScaler, "_get_param_names", lambda: ["copy"])
    told = r"StandardScaler of scikit-learn \d.*; use a later scikit-learn\."
    with pytest.raises(ValueError, match=told):
        skgmje.load(hostile_path)


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
def test_bytes_that_are_no_model_are_refused(hostile_path, data, capfd):
    hostile_path.write_bytes(data)
    with pytest.raises(ValueError, match="cannot be loaded"):
        skgmje.load(hostile_path)
    assert capfd.readouterr().out == ""


def test_a_later_minor_version_is_read(hostile_path, monkeypatch):
    document, arrays = unpack(hostile_path.read_bytes())
    monkeypatch.setattr("skgmje._persistence._container.MINOR", 99)
    hostile_path.write_bytes(pack(document | {"news": 1}, arrays, more="labels"))
    skgmje.load(hostile_path).score_samples(HOSTILE_X)


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


def test_damaged_files_are_refused_or_harmless(hostile_path, rng):
    data = hostile_path.read_bytes()
    expected = skgmje.load(hostile_path).score_samples(HOSTILE_X)
    n_refused = 0
    for _ in range(N_FLIPS):
        hostile_path.write_bytes(damage(data, rng))
        try:
            found = skgmje.load(hostile_path)
        except ValueError:
            n_refused += 1
        else:
            assert_array_equal(found.score_samples(HOSTILE_X), expected)
    # The padding of the header is all that may be flipped.
    assert n_refused > 0.95 * N_FLIPS


# A long EM is fits that go on from each other, with a file between them -------------


@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_em_goes_on_from_a_file_to_the_same_bits(covariance_type, tmp_path):
    mixture = GaussianMixture(
        3,
        covariance_type=covariance_type,
        tol=0,
        max_iter=4,
        warm_start=True,
        reg_covar="auto",
        rank=2,
        random_state=0,
    )
    whole = clone(mixture).set_params(max_iter=12).fit(RESUME_X)
    for _ in range(3):
        mixture.fit(RESUME_X).save(tmp_path / "em.safetensors")
        mixture = skgmje.load(tmp_path / "em.safetensors")
    assert_array_equal(mixture.means_, whole.means_)
    assert_array_equal(mixture.score_samples(RESUME_X), whole.score_samples(RESUME_X))


# A fit that ended in the middle goes on from its checkpoint; kills are in faults ------


RESUME_RNG = np.random.default_rng(0)
RESUME_X = RESUME_RNG.normal(size=(200, 3))
Y = RESUME_X[:, :1] + 0.1 * RESUME_RNG.normal(size=(200, 1))
SMALL = {"hidden_layer_sizes": (4,), "random_state": 0}
LEARNERS = {
    "centres": KernelMixtureDensity(
        4,
        batch_size=32,
        tol=0,
        max_iter=60,
        generator=Codes(hidden_layer_sizes=(4,)),
        random_state=0,
    ),
    "noise": KernelMixtureDensity(
        4, generator="noise", refine="weights", tol=0, max_iter=60, random_state=0
    ),
    "conditional": ConditionalMixtureDensity(
        MixtureNetwork(n_members=2, max_iter=60, hidden_layer_sizes=(4,)),
        random_state=0,
    ),
    "embedder": GJEEmbedder(
        2, encoder=MLP((4,), target="ema"), batch_size=64, max_iter=60, random_state=0
    ),
    "images": GJEEmbedder(
        2,
        encoder=ConvNet((4,), image_shape=(3, 1)),
        batch_size=64,
        loss=GJELoss(moment_decay=0.5),
        max_iter=60,
        random_state=0,
    ),
}


class Crash(Exception):
    """What ends a fit here."""


@pytest.fixture
def crash_at(monkeypatch):
    """Let the fit crash when it has written its state so many times."""
    write = Checkpoint.write

    def at(number):
        written = []

        def wrapped(self, state):
            write(self, state)
            written.append(state)
            if len(written) == number:
                raise Crash

        monkeypatch.setattr(Checkpoint, "write", wrapped)

    return at


def fit(estimator, folder=None, X=RESUME_X):
    estimator = clone(estimator)
    trainer = {"checkpoint_dir": folder}
    if isinstance(estimator, ConditionalMixtureDensity):
        return estimator.set_params(source__trainer=trainer).fit(X, Y)
    return estimator.set_params(trainer=trainer).fit(X)


@pytest.mark.parametrize(
    "estimator",
    [
        pytest.param(e, id=name, marks=[pytest.mark.slow] if name == "images" else [])
        for name, e in LEARNERS.items()
    ],
)
def test_the_same_bits_after_a_crash(estimator, answers, crash_at, tmp_path):
    expected = fit(estimator)
    crash_at(3)
    with pytest.raises(Crash):
        fit(estimator, tmp_path)
    assert os.listdir(tmp_path)
    found = fit(estimator, tmp_path)
    assert os.listdir(tmp_path) == []
    for method, value in answers(expected).items():
        assert_array_equal(answers(found)[method], value, err_msg=method)
    if hasattr(expected, "loss_curve_"):
        assert_array_equal(found.loss_curve_, expected.loss_curve_)


def test_a_checkpoint_changes_no_bits(answers, tmp_path):
    expected, found = fit(LEARNERS["centres"]), fit(LEARNERS["centres"], tmp_path)
    for method, value in answers(expected).items():
        assert_array_equal(answers(found)[method], value)


def test_another_fit_is_refused(crash_at, tmp_path):
    density = LEARNERS["centres"]
    crash_at(2)
    with pytest.raises(Crash):
        fit(density, tmp_path)
    for params, rows in (
        ({"n_components": 3}, RESUME_X),
        ({}, RESUME_X + 1e-9),
        ({"tol": 1e-9}, RESUME_X),
    ):
        with pytest.raises(ValueError, match="checkpoint of another fit"):
            fit(clone(density).set_params(**params), tmp_path, rows)
    fit(clone(density).set_params(verbose=1), tmp_path)


def test_a_damaged_checkpoint_is_refused(crash_at, tmp_path):
    crash_at(2)
    with pytest.raises(Crash):
        fit(LEARNERS["centres"], tmp_path)
    [path] = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match=r"cannot be read.*Delete it"):
        fit(LEARNERS["centres"], tmp_path)


def test_what_cannot_be_repeated_is_refused(tmp_path):
    with pytest.raises(ValueError, match="random_state to be an integer, got None"):
        fit(KernelMixtureDensity(2), tmp_path)
    density = KernelMixtureDensity(
        2,
        trainer={"callbacks": [EpochTimer()], "checkpoint_dir": tmp_path},
        random_state=0,
    )
    with pytest.raises(ValueError, match="does not keep the state of callbacks"):
        density.fit(RESUME_X)
