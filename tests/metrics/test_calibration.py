"""Coverage and the integral transform agree with what they count."""

import inspect

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import kstest

from skgmje import metrics
from skgmje.gaussian import Mixture
from skgmje.metrics import (
    interval_coverage,
    mean_log_likelihood,
    probability_integral_transform,
    rmse,
)


@pytest.fixture
def pair(rng):
    """Mixtures of two targets, and a draw from each."""
    n = 2000
    weights = rng.dirichlet(np.ones(3), size=n)
    means, variances = rng.normal(size=(n, 3, 2)), rng.uniform(0.1, 1, size=(n, 3, 2))
    mixture = Mixture(weights, means, variances, "diag")
    return mixture, mixture.sample(1, rng)[0][0]


@pytest.mark.parametrize("coverage", [0.1, 0.5, 0.9])
def test_coverage_counts_the_values_between_the_quantiles(pair, coverage):
    mixture, Y = pair
    shares = interval_coverage(Y, mixture, coverage=coverage, multioutput="raw_values")
    for j in range(2):
        tails = [(1 - coverage) / 2, (1 + coverage) / 2]
        low, high = mixture.marginal([j]).quantile(tails)
        assert shares[j] == np.mean((low <= Y[:, j]) & (Y[:, j] <= high))
    assert np.all(np.abs(shares - coverage) < 4 * 0.5 / 2000**0.5)
    assert interval_coverage(Y, mixture, coverage=coverage) == shares.mean()


def test_transform_of_draws_is_uniform(pair):
    mixture, Y = pair
    levels = probability_integral_transform(Y, mixture)
    assert levels.shape == Y.shape
    assert kstest(levels[:, 0], "uniform").pvalue > 1e-3
    one = probability_integral_transform(Y[:, 1], mixture.marginal([1]))
    assert_array_equal(one, levels[:, 1])


def test_likelihood_and_error_of_the_mean(pair):
    mixture, Y = pair
    weight = np.arange(2000.0)
    likelihood = mean_log_likelihood(Y, mixture, sample_weight=weight)
    assert_allclose(likelihood, np.average(mixture.log_prob(Y), weights=weight))
    squares = (Y - mixture.mean) ** 2
    assert_allclose(
        rmse(Y, mixture, multioutput="raw_values"), squares.mean(axis=0) ** 0.5
    )
    assert_allclose(rmse(Y, mixture), (squares.mean(axis=0) ** 0.5).mean())


def of_distributions():
    """Return the metrics that judge predicted distributions, by name."""
    named = {name: getattr(metrics, name) for name in metrics.__all__}
    parameters = {
        name: list(inspect.signature(value).parameters)
        for name, value in named.items()
        if inspect.isfunction(value)
    }
    return {n: named[n] for n, names in parameters.items() if "y_true" in names}


def test_metrics_take_what_was_observed_and_then_the_distribution(pair):
    found = of_distributions()
    assert len(found) == 8
    for name, metric in found.items():
        assert list(inspect.signature(metric).parameters)[:2] == [
            *("y_true", "distribution"),
        ], name
        one = metric(y_true=pair[1], distribution=pair[0])
        assert np.isfinite(one).all()
        with pytest.raises(TypeError, match="Give the targets first"):
            metric(*pair)


@pytest.mark.parametrize("coverage", [0, 1, -0.5, np.nan, "a"])
def test_refused_coverage(pair, coverage):
    with pytest.raises(ValueError, match="strictly between 0 and 1"):
        interval_coverage(*reversed(pair), coverage=coverage)
