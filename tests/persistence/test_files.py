"""What is saved comes back to the bit; what cannot be saved says so."""

import json
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from safetensors import safe_open
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.neighbors import KernelDensity
from sklearn.preprocessing import StandardScaler

import skgmje
from skgmje import GaussianMixture, KernelMixtureDensity, Mixture, TransformedDensity
from skgmje._persistence._registry import CLASSES, class_of, name_of
from skgmje.utils import all_estimators

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
