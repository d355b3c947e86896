"""The fourteen models: what mclust finds, and what their letters say."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.datasets import load_iris

from skgmje import GaussianMixture
from skgmje.em import expectation_maximization, start_mixture
from skgmje.gaussian import COVARIANCE_TYPES

IRIS, SPECIES = load_iris(return_X_y=True)

# R 4.2.2, mclust 6.0.0, on iris in its three species: degrees of freedom, the
# log-likelihood after mstep, and after me to a tolerance of 1e-13.
MCLUST = {
    "EII": (15, -414.697951, -401.80218),
    "VII": (17, -392.498414, -384.3141),
    "EEI": (18, -364.517364, -361.42552),
    "VEI": (20, -340.836053, -339.46873),
    "EVI": (24, -342.973698, -340.08558),
    "VVI": (26, -309.362758, -306.86046),
    "EEE": (24, -256.646184, -256.35404),
    "VEE": (26, -238.394672, -237.56016),
    "EVE": (30, -235.552139, -234.14024),
    # Of VVE mclust's step is not the maximum: its objective has 494.700367.
    "VVE": (32, -215.343113, -215.24087),
    "EEV": (36, -215.143263, -214.85038),
    "VEV": (38, -187.709744, -186.07328),
    "EVV": (42, -209.454798, -205.53588),
    "VVV": (44, -182.920849, -180.18548),
}
PLAIN = {"full": "VVV", "tied": "EEE", "diag": "VVI", "spherical": "VII"}
OTHERS = {"tied-diag": "EEI", "tied-spherical": "EII"}


@pytest.fixture(params=MCLUST)
def model(request):
    return request.param


def fit(X, model, labels=SPECIES, max_iter=1000, **params):
    names = {"sample_weight", "shrinkage", "reg_covar"} & {*params}
    start = start_mixture(X, labels, model, **{name: params[name] for name in names})
    return expectation_maximization(
        X, start, model=model, max_iter=max_iter, tol=1e-9, **params
    )


def dense(mixture):
    kind = COVARIANCE_TYPES[mixture.covariance_type]
    covariances = kind.dense(mixture.covariances, *mixture.means.shape)
    return np.broadcast_to(covariances, (len(mixture.means), *covariances.shape[1:]))


def test_agrees_with_mclust(model):
    _, one_step, converged = MCLUST[model]
    start = start_mixture(IRIS, SPECIES, model, reg_covar=0)
    if model != "VVE":
        assert_allclose(start.log_prob(IRIS).sum(), one_step, rtol=1e-6)
    found = fit(IRIS, model, reg_covar=0).mixture.log_prob(IRIS).sum()
    assert found > converged - 1e-5 * abs(converged)


@pytest.mark.parametrize(("model", "known"), [("EVE", 474.612277), ("VVE", 494.700367)])
def test_common_axes_are_at_least_as_good_as_mclusts(model, known):
    parts = [IRIS[SPECIES == k] for k in range(3)]
    covariances = dense(start_mixture(IRIS, SPECIES, model, reg_covar=0))
    objective = 0.0
    for part, covariance in zip(parts, covariances, strict=True):
        scatter = (part - part.mean(axis=0)).T @ (part - part.mean(axis=0))
        objective -= np.linalg.slogdet(covariance)[1] * len(part) / 2
        objective -= np.trace(np.linalg.solve(covariance, scatter)) / 2
    assert objective > known - 1e-6


def test_parameters_are_counted_as_mclust_does(model):
    n_parameters = MCLUST[model][0]
    mixture = GaussianMixture(3, covariance_type=model, random_state=0).fit(IRIS)
    assert mixture.model_ == model
    total = 2 * len(IRIS) * mixture.score(IRIS)
    assert mixture.aic(IRIS) == pytest.approx(2 * n_parameters - total)
    assert mixture.bic(IRIS) == pytest.approx(
        n_parameters * np.log(len(IRIS)) - total, rel=1e-9
    )


def test_letters_say_what_is_equal(model, rng):
    X = rng.normal(size=(90, 3)) * rng.uniform(0.5, 3, 3)
    labels = np.arange(90) % 3
    X += labels[:, None] * [1.0, 2.0, 0.0]
    covariances = dense(fit(X, model, labels).mixture)
    volumes = np.linalg.det(covariances) ** (1 / 3)
    shapes = np.linalg.eigvalsh(covariances / volumes[:, None, None])
    a, b = covariances[:2]
    volume, shape, orientation = model
    assert np.allclose(volumes, volumes[0], rtol=1e-4) == (volume == "E")
    assert np.allclose(shapes, shapes[0], rtol=1e-4) == (shape in "EI")
    assert np.allclose(shapes, 1.0, rtol=1e-4) == (shape == "I")
    # Matrices of the same axes commute.
    assert np.allclose(a @ b, b @ a, atol=1e-6) == (orientation in "EI")
    assert np.allclose(a * (1 - np.eye(3)), 0, atol=1e-6) == (orientation == "I")


@pytest.mark.parametrize("missing", [False, True])
def test_likelihood_never_falls(model, missing, rng):
    X = IRIS + rng.normal(scale=1e-3, size=IRIS.shape)
    if missing:
        X = np.where(rng.random(X.shape) < 0.2, np.nan, X)
    labels = rng.integers(3, size=len(X))
    bounds = fit(X, model, labels, max_iter=40, reg_covar=0.0).lower_bounds
    assert np.diff(bounds).min() > -1e-9


@pytest.mark.parametrize("shrinkage", [0.0, 5.0])
def test_weight_counts_as_copies(model, shrinkage, rng):
    counts = rng.integers(1, 4, size=len(IRIS))
    copies = np.repeat(IRIS, counts, axis=0), model, np.repeat(SPECIES, counts)
    params = {"max_iter": 20, "shrinkage": shrinkage}
    weighted = fit(IRIS, model, sample_weight=counts.astype(float), **params)
    several = fit(*copies, **params)
    assert_allclose(
        dense(weighted.mixture), dense(several.mixture), rtol=1e-6, atol=1e-9
    )


def test_boundless_shrinkage_makes_all_alike(model):
    covariances = dense(fit(IRIS, model, shrinkage=1e9, max_iter=5).mixture)
    assert_allclose(covariances, covariances[:1].repeat(3, axis=0), rtol=1e-4)


@pytest.mark.parametrize(("word", "name"), [*PLAIN.items(), *OTHERS.items()])
def test_words_are_models(word, name):
    one, two = (
        GaussianMixture(3, covariance_type=kind, random_state=0).fit(IRIS)
        for kind in (word, name)
    )
    assert one.model_ == two.model_ == name
    assert_allclose(one.covariances_, two.covariances_)
    # A stream, or a warm start, goes on under the other name, too.
    two.set_params(covariance_type=word).partial_fit(IRIS)


def test_other_model_is_no_model_to_go_on_from():
    mixture = GaussianMixture(3, covariance_type="VEV", random_state=0).fit(IRIS)
    with pytest.raises(ValueError, match=r"covariance_type='VEV', but .*'EEV'"):
        mixture.set_params(covariance_type="EEV").partial_fit(IRIS)
