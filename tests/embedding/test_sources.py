"""Every source of components gives a density of the embeddings."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from skgmje.embedding import MLP, GMJEEmbedder
from tests.sources import WORDS, make_source

# Sources with settings of a test.
SMALL = {
    "memory-bank": {"n_components": 50, "max_iter": 1},
    "network": {"n_members": 2, "max_iter": 30, "hidden_layer_sizes": (8,)},
}


@pytest.fixture(scope="module", params=sorted({*WORDS} - {"auto"}))
def fitted(request, views):
    params = {"n_components": 3, "shrinkage": 2} | SMALL.get(request.param, {})
    mixture = make_source(request.param, **params)
    return GMJEEmbedder(
        2,
        views="pair",
        mixture=mixture,
        encoder=MLP((16,)),
        max_iter=100,
        random_state=0,
    ).fit(*views)


def test_conditional_is_a_density_of_the_target(fitted, held_out):
    X, Y = held_out
    Z = fitted.transform_target(Y)
    conditional = fitted.predict_mixture(X).log_prob(Z)
    assert np.isfinite(conditional).all()
    marginal = -0.5 * np.log(2 * np.pi * np.e * Z.var(axis=0)).sum()
    assert conditional.mean() > marginal - 0.3


def test_density_of_contexts_fits_them(fitted, held_out):
    X, _ = held_out
    Z = fitted.transform(X)
    gaussian = -0.5 * np.linalg.slogdet(2 * np.pi * np.e * np.cov(Z.T))[1]
    assert fitted.score_samples(X).mean() > gaussian - 0.5
    assert_allclose(fitted.occupancy_.sum(), 1.0)
    assert len(fitted.occupancy_) == fitted.latent_mixture_.n_components


def test_samples_are_like_the_embeddings(fitted, views):
    Z = fitted.transform(views[0])
    samples, component = fitted.sample(4000)
    assert_allclose(samples.mean(axis=0), Z.mean(axis=0), atol=0.3 * Z.std())
    assert_allclose(samples.std(axis=0), Z.std(axis=0), rtol=0.35)
    assert component.max() < fitted.latent_mixture_.n_components
    assert_array_equal(fitted.sample(3)[0], fitted.sample(3)[0])


def test_joint_density_is_marginal_times_conditional(fitted, held_out):
    X, Y = held_out
    conditional = fitted.predict_mixture(X).log_prob(fitted.transform_target(Y))
    expected = fitted.score_samples(X) + conditional
    assert_allclose(fitted.score_samples(X, Y), expected)


def test_pickle_answers_the_same(fitted, held_out):
    X, Y = held_out
    copy = pickle.loads(pickle.dumps(fitted))
    assert_array_equal(copy.predict(X), fitted.predict(X))
    assert_array_equal(copy.score_samples(X, Y), fitted.score_samples(X, Y))
