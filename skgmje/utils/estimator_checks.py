"""Checks of density estimators, which scikit-learn does not have."""

from __future__ import annotations

import inspect
import warnings
from functools import cached_property
from typing import Any, Literal
from unittest import SkipTest

import numpy as np
from scipy.stats import ks_2samp
from sklearn.base import clone
from sklearn.utils.validation import has_fit_parameter

_N_ROWS = 240

# Half the width of the grids, in standard deviations, and their points.
_REACH = {1: 14.0, 2: 9.0}
_N_POINTS = {1: 20_001, 2: 281}
_INTEGRAL_ERROR = {1: 2e-3, 2: 2e-2}
_N_SAMPLES = 2000

# Of a right sampler one in ten thousand has a smaller one.
_SMALLEST_P = 1e-4

# In nats, for equal densities that come out of different roundings.
_SAME = 1e-2
_ROTATION = np.array([[0.8, -0.6], [0.6, 0.8]])

# From far to where the squares of distances overflow.
_FAR, _FURTHEST = (1e2, 1e4, 1e8), 1e160


def make_rows(n_features):
    """Make two overlapping groups of samples, positive, with correlated columns."""
    rng = np.random.default_rng(0)
    first = rng.normal(size=(_N_ROWS, 2)) @ [[0.8, 0.5], [0.0, 0.6]]
    group = np.arange(_N_ROWS) % 3 == 0
    places = np.where(group[:, None], [8.0, 4.0], [5.0, 6.0])
    X = places + np.where(group[:, None], 0.7 * first[:, ::-1], first)
    return np.abs(X[:, :n_features])


class Subject:
    """An estimator under test, with its fits on the samples of the suite."""

    def __init__(self, estimator):
        self._estimator = estimator

    def fit(self, X, **params):
        """Fit a clone, every random state of which is 0."""
        estimator = clone(self._estimator)
        names = estimator.get_params()
        seeds = {n: 0 for n in names if n.split("__")[-1] == "random_state"}
        return estimator.set_params(**seeds).fit(X, **params)

    @cached_property
    def one(self):
        """The fit on one column."""
        return self.fit(make_rows(1))

    @cached_property
    def two(self):
        """The fit on two columns."""
        return self.fit(make_rows(2))

    @cached_property
    def heights(self):
        """The density of the fit on two columns, at the points of the grid."""
        return np.exp(self.two.score_samples(_grid(2)[0]))

    def takes_weights(self):
        """Return whether ``fit`` knows `sample_weight`."""
        return has_fit_parameter(self._estimator, "sample_weight")


def _grid(n_features):
    """Return the points of a square grid, and the volume of its cells."""
    X = make_rows(n_features)
    steps = np.linspace(-1, 1, _N_POINTS[n_features]) * _REACH[n_features]
    axes = X.mean(axis=0) + X.std(axis=0) * steps[:, None]
    points = np.stack(np.meshgrid(*axes.T, indexing="ij"), axis=-1)
    return points.reshape(-1, n_features), np.diff(axes[:2], axis=0)[0]


def _check_integral(heights, cell):
    """Check that a density integrates to one on a grid."""
    total, error = heights.sum() * cell.prod(), _INTEGRAL_ERROR[len(cell)]
    assert abs(total - 1) <= error, f"the integral is {total:.5g}, not 1 +- {error}"


def check_integrates_to_one_1d(subject):
    """Integrate exp(score_samples) over one column."""
    points, cell = _grid(1)
    _check_integral(np.exp(subject.one.score_samples(points)), cell)


def check_integrates_to_one_2d(subject):
    """Integrate exp(score_samples) over two columns."""
    _check_integral(subject.heights, _grid(2)[1])


def check_score_is_mean(subject):
    """Compare score with the mean of score_samples."""
    X = make_rows(2)
    expected = float(np.mean(subject.two.score_samples(X)))
    _assert_close(subject.two.score(X), expected, "score", 1e-6)
    if "sample_weight" in inspect.signature(subject.two.score).parameters:
        weight = np.arange(len(X)) % 4
        expected = np.average(subject.two.score_samples(X), weights=weight)
        actual = subject.two.score(X, sample_weight=weight)
        _assert_close(actual, expected, "score with sample_weight", 1e-6)


def _assert_close(actual, expected, name, error):
    """Assert that log-densities agree within an error."""
    gap = float(np.max(np.abs(np.asarray(actual) - expected)))
    assert gap <= error, f"{name} is off by {gap:.3g} nats, more than {error:g}"


def _draw(density, n_samples):
    """Draw samples, from the seed 0."""
    if not hasattr(density, "sample"):
        raise SkipTest("there is no method sample")
    takes_seed = "random_state" in inspect.signature(density.sample).parameters
    drawn = density.sample(n_samples, **({"random_state": 0} if takes_seed else {}))
    return np.asarray(drawn[0] if isinstance(drawn, tuple) else drawn)


def check_sample_has_shape_and_seed(subject):
    """Ask for as many samples as wanted, the same ones from the same seed."""
    X = _draw(subject.two, 7)
    assert X.shape == (7, 2), f"sample(7) has shape {X.shape}, not (7, 2)"
    assert np.isfinite(X).all(), "samples are not finite"
    again = _draw(subject.two, 7)
    assert np.array_equal(X, again), "samples from the same seed differ"


def check_sample_agrees_with_score(subject):
    """Compare samples with draws from the cells of a grid, in six directions."""
    X = _draw(subject.two, _N_SAMPLES)
    (points, cell), prob = _grid(2), subject.heights
    rng = np.random.default_rng(0)
    chosen = rng.choice(len(points), _N_SAMPLES, p=prob / prob.sum())
    other = points[chosen] + cell * rng.uniform(-0.5, 0.5, size=(_N_SAMPLES, 2))
    for angle in np.arange(6) * np.pi / 6:
        direction = np.array([np.cos(angle), np.sin(angle)])
        p = ks_2samp(X @ direction, other @ direction).pvalue
        assert p >= _SMALLEST_P, (
            f"samples do not have the density that is scored: {_N_SAMPLES} of them "
            f"along {direction.round(2)} have p = {p:.2g} in Kolmogorov and Smirnov's "
            "test"
        )


def _check_equivariance(subject, matrix, shift):
    """Fit and score samples A x + b, and add log |det A|."""
    X = make_rows(2)
    image = X @ matrix.T + shift
    other = subject.fit(image).score_samples(image) + np.linalg.slogdet(matrix)[1]
    _assert_close(other, subject.two.score_samples(X), "the log-density", _SAME)


def check_shift_equivariance(subject):
    """Shift the samples: the density shifts with them."""
    _check_equivariance(subject, np.eye(2), np.array([20.0, 5.0]))


def check_scale_equivariance(subject):
    """Scale all columns alike: the log-density falls by the log-determinant."""
    _check_equivariance(subject, 5 * np.eye(2), 0.0)


def check_unit_equivariance(subject):
    """Scale each column by its own factor, as a change of units does."""
    _check_equivariance(subject, np.diag([30.0, 0.2]), 0.0)


def check_rotation_equivariance(subject):
    """Rotate the samples about their mean."""
    center = make_rows(2).mean(axis=0)
    _check_equivariance(subject, _ROTATION, center - _ROTATION @ center)


def check_finite_far_away(subject):
    """Score samples far away: finite, and never NaN however far."""
    X = make_rows(2)
    for size in _FAR:
        steps = size * np.array([[1, 0], [0, -1], [1, 1]])
        far = X.mean(axis=0) + steps * X.std(axis=0)
        log_prob = subject.two.score_samples(far)
        assert np.isfinite(log_prob).all(), (
            f"samples {size:g} standard deviations away score {log_prob.tolist()}"
        )
    furthest = subject.two.score_samples(np.full((1, 2), _FURTHEST))
    assert furthest[0] < 0, f"a sample of entries {_FURTHEST:g} scores {furthest[0]}"


def _log_prob(density, X):
    """Return the log-densities of a mixture or an estimator."""
    method = getattr(density, "log_prob", None) or density.score_samples
    return np.asarray(method(X))


def check_chain_rule(subject):
    """Compare log p(x, y) with log p(x) + log p(y | x), and p(x) with an integral."""
    density, X = subject.two, make_rows(2)
    if not (hasattr(density, "marginal") and hasattr(density, "condition")):
        raise SkipTest("there are no methods marginal and condition")
    first, rest = X[:, :1], X[:, 1:]
    try:
        marginal, given = density.marginal([0]), density.condition([0], first)
    except TypeError as error:
        raise SkipTest(f"there is no closed form: {error}") from error
    parts = _log_prob(marginal, first) + _log_prob(given, rest)
    _assert_close(parts, density.score_samples(X), "the sum of the parts", 1e-6)
    points, cell = _grid(2)
    integral = subject.heights.reshape(_N_POINTS[2], -1).sum(axis=1) * cell[1]
    expected = np.exp(_log_prob(marginal, points[:: _N_POINTS[2], :1]))
    gap = np.abs(integral - expected).max() / expected.max()
    assert gap <= _INTEGRAL_ERROR[2], f"the marginal is off by {gap:.2g} of its height"


def check_weights_count_as_copies(subject):
    """Fit samples with weights 0 to 3, and as many copies."""
    if not subject.takes_weights():
        raise SkipTest("fit takes no sample_weight")
    X = make_rows(2)
    counts = np.random.default_rng(1).integers(0, 4, len(X))
    weighted = subject.fit(X, sample_weight=counts.astype(float)).score_samples(X)
    copied = subject.fit(np.repeat(X, counts, axis=0)).score_samples(X)
    _assert_close(weighted, copied, "the log-density", _SAME)


def check_keeps_single_precision(subject):
    """Fit and score float32 samples: results are float32, close to those of float64."""
    X = make_rows(2)
    single = X.astype(np.float32)
    expected = subject.two.score_samples(X)
    _assert_close(subject.two.score_samples(single), expected, "the score", _SAME)
    # A search may take another way from rounded samples, to a place as good.
    log_prob = subject.fit(single).score_samples(single)
    _assert_close(log_prob.mean(), expected.mean(), "the mean of a fit", 10 * _SAME)
    dtype = log_prob.dtype
    assert dtype == np.float32, f"float32 samples have scores of {dtype}"


CHECKS = {
    check.__name__: check
    for check in (
        check_integrates_to_one_1d,
        check_integrates_to_one_2d,
        check_score_is_mean,
        check_sample_has_shape_and_seed,
        check_sample_agrees_with_score,
        check_shift_equivariance,
        check_scale_equivariance,
        check_unit_equivariance,
        check_rotation_equivariance,
        check_finite_far_away,
        check_chain_rule,
        check_weights_count_as_copies,
        check_keeps_single_precision,
    )
}


def check_density_estimator(
    estimator: Any,
    *,
    expected_failed_checks: dict[str, str] | None = None,
    on_fail: Literal["raise"] | None = "raise",
) -> list[dict[str, Any]]:
    r"""Check that an estimator of a density is one.

    :func:`sklearn.utils.estimator_checks.check_estimator` has no group of checks for
    densities. Here are thirteen laws, on 240 samples of one and two columns:

    ======================================= ==========================================
    ``check_integrates_to_one_1d``          quadrature on 20001 points, to 0.002
    ``check_integrates_to_one_2d``          quadrature on 281 by 281 points, to 0.02
    ``check_score_is_mean``                 of ``score_samples``, with weights if any
    ``check_sample_has_shape_and_seed``     same seed, same samples
    ``check_sample_agrees_with_score``      two-sample tests in six directions
    ``check_shift_equivariance``            fits of shifted samples
    ``check_scale_equivariance``            fits of samples times one factor
    ``check_unit_equivariance``             fits of samples in other units
    ``check_rotation_equivariance``         fits of rotated samples
    ``check_finite_far_away``               to 1e8 standard deviations; no NaN beyond
    ``check_chain_rule``                    ``marginal`` and ``condition``
    ``check_weights_count_as_copies``       weights 0 to 3 against copies
    ``check_keeps_single_precision``        float32 in, float32 out
    ======================================= ==========================================

    Of the equivariances it is asked that

    .. math:: \log p_{AX + b}(A x + b) = \log p_X(x) - \log |\det A|

    to 0.01 nats at every sample, for the densities fitted on the samples X and A X + b.

    Parameters
    ----------
    estimator : estimator
        An estimator with ``fit``, ``score_samples`` and ``score``; its clones are
        fitted with every ``random_state`` set to 0. A check whose methods or
        arguments it lacks (``sample``, ``marginal`` and ``condition``,
        ``sample_weight``) is skipped.

    expected_failed_checks : dict, default=None
        Reasons of the checks that may fail, by their names.

    on_fail : {'raise', None}, default='raise'
        Whether the first failure that is not expected raises its exception.

    Returns
    -------
    results : list of dict
        One for each check, with the keys of
        :func:`~sklearn.utils.estimator_checks.check_estimator`: ``estimator``,
        ``check_name``, ``exception``, ``status`` ("passed", "failed", "xfail" or
        "skipped"), ``expected_to_fail`` and ``expected_to_fail_reason``.

    Raises
    ------
    AssertionError
        If a law does not hold, and `on_fail` is 'raise'; whatever the estimator
        raises passes through.

    TypeError
        If `estimator` is a class.

    ValueError
        If a name or an option is not known.

    See Also
    --------
    sklearn.utils.estimator_checks.check_estimator : What every estimator must do.

    Notes
    -----
    Samples are positive, and stay so in all checks. Densities with a bounded support
    score -inf far away: declare ``check_finite_far_away``. Few densities have all
    equivariances: a kernel density of fixed bandwidth has units of its own, diagonal
    covariances do not rotate.

    Examples
    --------
    >>> from sklearn.neighbors import KernelDensity
    >>> from skgmje import GaussianMixture
    >>> from skgmje.utils.estimator_checks import check_density_estimator
    >>> results = check_density_estimator(GaussianMixture())
    >>> {result["status"] for result in results}
    {'passed'}
    >>> results = check_density_estimator(KernelDensity(), on_fail=None)
    >>> [r["check_name"] for r in results if r["status"] == "failed"][0]
    'check_score_is_mean'
    """
    if isinstance(estimator, type):
        raise TypeError(f"{estimator.__name__} is a class. Pass an instance of it.")
    if on_fail not in ("raise", None):
        raise ValueError(f"on_fail={on_fail!r} must be 'raise' or None.")
    reasons = expected_failed_checks or {}
    unknown = sorted(set(reasons) - set(CHECKS))
    if unknown:
        raise ValueError(
            f"expected_failed_checks has the unknown names {unknown}; known are "
            f"{list(CHECKS)}."
        )
    subject = Subject(clone(estimator))
    results = []
    for name, check in CHECKS.items():
        status, exception = _run(check, subject)
        if status == "failed" and name in reasons:
            status = "xfail"
        if status == "failed" and on_fail == "raise":
            raise exception
        results.append(
            {
                "estimator": estimator,
                "check_name": name,
                "exception": exception,
                "status": status,
                "expected_to_fail": name in reasons,
                "expected_to_fail_reason": reasons.get(name),
            }
        )
    return results


def _run(check, subject):
    """Return how a check ended, and with which exception."""
    try:
        # Whether an estimator warns where it predicts is not asked here.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            check(subject)
    except SkipTest as skip:
        return "skipped", skip
    except Exception as error:
        return "failed", error
    return "passed", None
