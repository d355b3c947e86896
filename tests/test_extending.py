"""What doc/extending.rst promises: a member of each kind, written in this file alone.

Each is registered by the lines that the page names, and then has to pass the laws
that the library's own members pass; those are called from the files that hold them.
A covariance type is added in the same way in tests/gaussian/test_new_type.py.
"""

import importlib.util
import sys
import warnings
from numbers import Real
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from sklearn.base import BaseEstimator
from sklearn.datasets import make_moons
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import cross_val_score
from sklearn.utils.estimator_checks import parametrize_with_checks

import skgmje
from skgmje import (
    ConditionalMixtureDensity,
    GaussianMixture,
    KernelMixtureDensity,
    Mixture,
)

# An extension is written inside of the library and uses what its kin use.
# Inside: what a newcomer's file imports by doc/extending.rst.
from skgmje._backend import namespace
from skgmje._callbacks import FitTask
from skgmje._persistence import _registry
from skgmje._sklearn import Interval, _fit_context
from skgmje._validation import check_rows, check_weights
from skgmje.conditional import TrainedModule
from skgmje.costs import COSTS, Cost, scalar_cost
from skgmje.em import start_mixture
from skgmje.inspection._canvas import BLUE, check_matplotlib, make_axes
from skgmje.metrics._scores import average_rows, check_pair
from skgmje.mixture import Codes
from skgmje.mixture._base import MixtureDensityMixin
from skgmje.modules import MixtureModule
from skgmje.utils import all_estimators, all_functions, check_density_estimator

TESTS = Path(__file__).parent


def laws(path):
    """Return the module of a test file; its functions can be called with any member."""
    name = f"laws_{Path(path).stem}"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, TESTS / path)
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


@pytest.fixture
def publish(monkeypatch):
    """Return what edits an ``__init__.py``: the import and the line in ``__all__``."""

    def edit(package, value):
        name = value.__name__
        monkeypatch.setattr(package, name, value, raising=False)
        monkeypatch.setattr(package, "__all__", sorted([*package.__all__, name]))
        return f"{package.__name__}.{name}"

    return edit


# A cost: how far from one the cosine of data and model is.


def chord_cost(grams, weights=None, jitter=None):
    """Compute one minus the squared cosine of data density and model."""
    return -namespace(grams.centers).expm1(-scalar_cost(grams, weights))


CHORD = Cost(chord_cost, is_density=True, learns_weights=True)


@pytest.fixture
def cost(monkeypatch):
    monkeypatch.setitem(COSTS, "chord", CHORD)
    return CHORD


def test_a_cost_obeys_the_laws_of_costs(cost, rng):
    kernel = laws("costs/test_kernel.py")
    points = rng.normal(size=(12, 3)), rng.normal(size=(5, 3))
    weights = rng.dirichlet(np.ones(5))
    kernel.test_numpy_and_torch_agree(cost, points, weights)
    for seed in range(3):
        kernel.test_bound(cost, seed, None)
    kernel.test_gradient(cost, points, weights)
    kernel.test_order_does_not_matter(cost, points, weights, rng)
    kernel.test_moves_turns_and_scales_change_nothing(cost, points, weights, rng)
    kernel.test_scale_of_the_weights_does_not_matter(cost, points, weights)
    kernel.test_jitter_only_raises_the_cost(cost, points, 1e-4)


def test_a_cost_places_centers(cost):
    X, _ = make_moons(200, noise=0.1, random_state=0)
    density = KernelMixtureDensity(5, cost=cost, max_iter=30, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        density.fit(X)
    assert density.loss_curve_[-1] < density.loss_curve_[0]
    assert np.isfinite(density.score(X))


# A source of components: a torch module.


class Branches(MixtureModule):
    """Two lines, y = b + a x, of one feature each, with learned slopes and weights."""

    def __init__(self, seed=0, dtype=torch.float32):
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        slopes = torch.randn((2, 1), generator=generator, dtype=dtype)
        self.slopes = torch.nn.Parameter(slopes)
        self.offsets = torch.nn.Parameter(torch.zeros_like(slopes))
        self.log_variance = torch.nn.Parameter(torch.zeros(2, dtype=dtype))
        self.logits = torch.nn.Parameter(torch.tensor([0.1, -0.1], dtype=dtype))

    def forward(self, context=None):
        means = context[:, None, :1] * self.slopes + self.offsets
        shape = means.shape[:-1]
        weights = torch.softmax(self.logits, dim=0).expand(shape)
        variances = self.log_variance.exp().expand(shape)
        return Mixture(weights, means, variances, "spherical")


def test_a_source_obeys_the_laws_of_modules(monkeypatch):
    modules = laws("modules/test_registry.py")
    monkeypatch.setattr(modules, "N_FEATURES", 1)
    for dtype in (torch.float32, torch.float64):
        modules.test_forward_is_a_valid_mixture(Branches, dtype, 1)
    modules.test_gradients_reach_parameters_and_rows(Branches)
    modules.test_an_update_keeps_shapes_and_types(Branches)
    modules.test_state_dict_round_trip(Branches)
    modules.test_copies_are_independent(Branches)
    modules.test_the_global_random_state_is_left_alone(Branches)


# An estimator: one Gaussian.


class OneGaussian(MixtureDensityMixin, BaseEstimator):
    r"""One Gaussian with the moments of the data.

    .. math:: p(x) = N(x; \mu, \Sigma)

    Parameters
    ----------
    reg_covar : float, default=1e-6
        Added to the variances.

    random_state : int, RandomState instance or None, default=None
        Source of randomness of :meth:`sample`.

    Attributes
    ----------
    weights_ : ndarray of shape (1,)
        One.

    means_ : ndarray of shape (1, n_features)
        The mean.

    covariances_ : ndarray of shape (1, n_features, n_features)
        The covariance.

    n_features_in_ : int
        Number of features seen during :term:`fit`.

    See Also
    --------
    skgmje.mixture.GaussianMixture : Several Gaussians.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> round(OneGaussian().fit(load_iris().data).score(load_iris().data), 2)
    -2.53
    """

    _parameter_constraints = {
        "reg_covar": [Interval(Real, 0, None, closed="left")],
        "random_state": ["random_state"],
    }

    def __init__(self, reg_covar=1e-6, random_state=None):
        self.reg_covar = reg_covar
        self.random_state = random_state

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None, sample_weight=None):
        """Fit the mean and the covariance.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The samples.

        y : Ignored
            Not used, present for API consistency by convention.

        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the samples.

        Returns
        -------
        self : object
            The fitted estimator.
        """
        with FitTask(self, X, y, sample_weight) as task:
            X = check_rows(self, X, reset=True, min_samples=2)
            weight = check_weights(sample_weight, X)
            labels = np.zeros(len(X), int)
            mixture = start_mixture(
                X, labels, "full", reg_covar=self.reg_covar, sample_weight=weight
            )
            task.end(self._set_mixture, mixture)
        return self


@pytest.fixture
def estimator(publish, monkeypatch):
    """The name of the estimator, after three edits: package, top level, files."""
    name = publish(skgmje.mixture, OneGaussian)
    monkeypatch.setitem(skgmje._HOME, "OneGaussian", "skgmje.mixture")
    path = f"{OneGaussian.__module__}.OneGaussian"
    monkeypatch.setitem(_registry.CLASSES, "OneGaussian", path)
    monkeypatch.setitem(_registry._NAMES, path, "OneGaussian")
    return name


def test_an_estimator_is_found_and_has_its_page(estimator):
    assert ("OneGaussian", OneGaussian) in all_estimators()
    assert skgmje.OneGaussian is OneGaussian
    docstrings = laws("test_public_api.py")
    docstrings._check(estimator, also={"EX01", "SA01"})
    docstrings._check(f"{estimator}.fit")


def test_an_estimator_is_saved_and_loaded(estimator, tmp_path, rng):
    X = rng.normal(size=(50, 2))
    density = OneGaussian().fit(X)
    density.save(tmp_path / "density.safetensors")
    again = skgmje.load(tmp_path / "density.safetensors")
    assert type(again) is OneGaussian
    assert_allclose(again.score_samples(X), density.score_samples(X), rtol=0)


def test_an_estimator_obeys_the_laws_of_densities():
    results = check_density_estimator(OneGaussian())
    assert {result["status"] for result in results} == {"passed"}


def expected_failures(estimator):
    """Return the checks that fail for a reason, which is not the extension's."""
    if isinstance(estimator, KernelMixtureDensity):
        return laws("test_common.py").expected_failures(estimator)
    if isinstance(estimator, ConditionalMixtureDensity):
        return {
            "check_estimators_overwrite_params": "joblib.hash tells copies of any "
            "torch module from the module",
            "check_regressor_multioutput": "this module is of one target",
        }
    return {}


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore:.*of the values of (target|columns):UserWarning")
@parametrize_with_checks(
    [
        OneGaussian(),
        KernelMixtureDensity(
            3,
            cost="chord",
            max_iter=5,
            generator=Codes(hidden_layer_sizes=(8,)),
            refine=None,
        ),
        ConditionalMixtureDensity(TrainedModule(Branches(), max_iter=5)),
    ],
    expected_failed_checks=expected_failures,
)
def test_scikit_learn_checks(estimator, check, cost):
    check(estimator)


# A metric: what is lost by predicting medians.


def median_error(y_true, distribution, *, sample_weight=None):
    r"""Compute the mean absolute error of the medians of one target.

    .. math:: \frac{1}{n} \sum_i |y_i - F_i^{-1}(1/2)|

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        What was observed.

    distribution : Mixture
        One for each sample, or one for all.

    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the samples.

    Returns
    -------
    error : float
        Less is better.

    Examples
    --------
    >>> from skgmje import Mixture
    >>> median_error([-1.0, 2.0], Mixture([1.0], [[0.0]], [1.0], "spherical"))
    1.5
    """
    mixture, columns = check_pair(y_true, distribution)
    errors = np.abs(columns - np.reshape(mixture.quantile(0.5), (-1, 1)))[:, 0]
    return float(average_rows(errors, sample_weight))


def test_a_metric_is_found_documented_and_makes_a_scorer(publish, rng):
    name = publish(skgmje.metrics, median_error)
    assert (name, median_error) in all_functions()
    laws("test_public_api.py")._check(name, also={"EX01"})
    scorer = skgmje.metrics.make_mixture_scorer(median_error, greater_is_better=False)
    X = rng.normal(size=(60, 1))
    density = ConditionalMixtureDensity(GaussianMixture(1), random_state=0)
    scores = cross_val_score(density, X, X[:, 0] + 0.1, scoring=scorer, cv=2)
    assert (-0.2 < scores).all()
    assert (scores <= 0).all()


def test_a_metric_counts_weights_as_copies(rng):
    mixture = Mixture([0.3, 0.7], [[-1.0], [1.0]], [1.0, 0.5], "spherical")
    y, weight = rng.normal(size=5), np.array([2, 1, 3, 0, 1])
    expected = median_error(np.repeat(y, weight), mixture)
    assert_allclose(median_error(y, mixture, sample_weight=weight), expected)
    parts = mixture.weights, mixture.means, mixture.covariances
    each = Mixture(*(np.stack([part] * 5) for part in parts), "spherical")
    assert_allclose(median_error(y, each), median_error(y, mixture))


# A display: bars of the weights.


class WeightDisplay:
    """Weights of the components of a mixture, as bars.

    Parameters
    ----------
    weights : ndarray of shape (n_components,)
        The weights.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Where it was drawn.

    figure_ : matplotlib Figure
        The figure of `ax_`.

    Examples
    --------
    >>> from skgmje import Mixture
    >>> mixture = Mixture([0.3, 0.7], [[0.0], [1.0]], [1.0, 1.0], "spherical")
    >>> WeightDisplay.from_estimator(mixture).weights.tolist()
    [0.3, 0.7]
    """

    def __init__(self, weights):
        self.weights = weights

    @classmethod
    def from_estimator(cls, estimator, *, ax=None, **kwargs):
        """Draw the weights of a fitted density.

        Parameters
        ----------
        estimator : fitted estimator or Mixture
            Anything that :func:`skgmje.as_mixture` takes.

        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.

        **kwargs : dict
            Arguments of :meth:`plot`.

        Returns
        -------
        display : WeightDisplay
            As drawn.
        """
        check_matplotlib(f"{cls.__name__}.from_estimator")
        return cls(skgmje.as_mixture(estimator).weights).plot(ax=ax, **kwargs)

    def plot(self, ax=None, *, color=BLUE):
        """Draw the weights.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.

        color : matplotlib color, default=blue
            Of the bars.

        Returns
        -------
        self : WeightDisplay
            With the artists as attributes.
        """
        self.ax_ = make_axes(ax, f"{type(self).__name__}.plot")
        self.figure_ = self.ax_.figure
        self.ax_.bar(np.arange(len(self.weights)), self.weights, color=color)
        self.ax_.set(xlabel="component", ylabel="weight")
        return self


def test_a_display_obeys_the_laws_of_displays(publish, monkeypatch):
    name = publish(skgmje.inspection, WeightDisplay)
    displays = laws("inspection/test_displays.py")
    docstrings = laws("test_public_api.py")
    mixture = Mixture([0.3, 0.7], np.zeros((2, 1)), [1.0, 2.0], "spherical")
    monkeypatch.setitem(
        displays.MAKERS,
        "WeightDisplay",
        lambda ax=None: WeightDisplay.from_estimator(mixture, ax=ax),
    )
    displays.test_every_display_is_tested()
    displays.test_from_estimator_and_plot("WeightDisplay")
    plt.close("all")
    displays.test_axes_that_are_given_are_used("WeightDisplay")
    displays.test_labels_do_not_overlap("WeightDisplay")
    docstrings._check(name, also={"EX01"})
    for method in ("from_estimator", "plot"):
        docstrings._check(f"{name}.{method}")
    plt.close("all")
