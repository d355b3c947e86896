"""Joint mixtures of contexts and targets, whose conditionals are in closed form."""

from __future__ import annotations

from functools import partial
from numbers import Integral, Real
from typing import Literal

import numpy as np

from skgmje._interrupt import Interrupted, Work, learn_then
from skgmje._sklearn import Interval, StrOptions
from skgmje._validation import TypeOptions
from skgmje.conditional._models import (
    Fit,
    JointConditional,
    choose,
    conditional_log_prob,
)
from skgmje.conditional._source import Source
from skgmje.em._bandwidth import kernel_bandwidth
from skgmje.em._em import EMResult, expectation_maximization
from skgmje.em._missing import missing_moments
from skgmje.em._select import ROWS_PER_COMPONENT, fit_selected
from skgmje.em._start import start_mixture
from skgmje.gaussian._covariance import widen
from skgmje.gaussian._covariance_type import FEW_ROWS_PER_FEATURE
from skgmje.gaussian._mixture import Mixture
from skgmje.mixture._gaussian_mixture import GaussianMixture, regularisation
from skgmje.mixture._refinement import check_read
from skgmje.mixture._settled import unsettled
from skgmje.neural_gas._nodes import gas_labels
from skgmje.neural_gas._refine import refine_gas
from skgmje.neural_gas._state import adapt_gas, start_gas
from skgmje.particles._bank import bank_mixture, start_bank, step_bank
from skgmje.particles._resampling import systematic_resampling

_AT_LEAST_ONE = Interval(Integral, 1, None, closed="left")
_NOT_NEGATIVE = Interval(Real, 0, None, closed="left")

# A sample of many features tells little about one component of many.
GRID = (1, 2, 3, 5, 8, 12, 20, 30, 50)
SMALL_GRID = (1, 2, 3, 5, 8)
MANY_FEATURES = 4

# What is read of a GaussianMixture; the rest speaks of its own fit.
_STEPS = ("tol", "max_iter", "shrinkage_target", "annealing", "rank")
_READ = {"n_components", "covariance_type", "shrinkage", "reg_covar", "n_init", *_STEPS}

UNSETTLED = "Increase max_iter or tol of the source."


class JointMixture(Source):
    """A joint mixture by EM, its settings by held-out *conditional* density."""

    name = "prototypes"
    takes_missing = True

    def __init__(self, density):
        self.density = density

    def check(self):
        """Raise if a parameter is wrong, or cannot be honoured."""
        check_read(self.density, _READ, "a conditional density")

    def _fit(self, X, Y, settings, sample_weight=None, random_state=None):
        rows, n_context = np.hstack([X, Y]), X.shape[1]
        density, few = self.density, rows.shape[1] <= MANY_FEATURES
        asked = density.n_components, density.covariance_type
        work = Work()
        selection, result = fit_selected(
            rows,
            (*asked, density._asked_shrinkage(rows)),
            random_state,
            sample_weight=sample_weight,
            selecting={
                "n_components_grid": GRID if few else SMALL_GRID,
                "judge": partial(conditional_log_prob, n_context=n_context),
            },
            n_init=density.n_init,
            scaled=True,
            work=work,
            reg_covar=regularisation(density.reg_covar, rows, sample_weight),
            **{name: getattr(density, name) for name in _STEPS},
        )

        def describe():
            info = {"cv_results": selection.cv_results, "n_iter": result.n_iter}
            info["shrinkage"] = selection.shrinkage
            model = JointConditional(result.mixture, n_context)
            complaint = unsettled(result, density.tol, UNSETTLED)
            return Fit(model, selection.held_out, info, complaint)

        return work.end(describe)


GAS_GRID = (2, 3, 5, 8, 12, 20, 30, 50)
SHRINKAGES = (2.0, 20.0)

# Of few samples these leave hardly any correlations.
FEW_SHRINKAGES = (100.0, 1000.0)

# A node needs this many draws to find its place; one comes after every third of
# them, so that all are there long before the end.
DRAWS_PER_NODE = 150
INSERTION_INTERVAL = 50


class NeuralGas(Source):
    """Joint mixture that begins as a growing neural gas, for a conditional density.

    A gas of x and y grows nodes where the data are; EM begins at them, and the
    mixture is conditioned on x in closed form.

    Parameters
    ----------
    n_components : int or 'auto', default='auto'
        Number of nodes; 'auto' is chosen by the density of held-out targets.

    covariance_type : {'full', 'tied', 'diag', 'spherical', 'low-rank'}, default='full'
        Shape of the covariances.

    shrinkage : float or 'auto', default='auto'
        Pseudo-count, in samples, of the pooled covariance; 'auto' is chosen by the
        density of held-out targets.

    reg_covar : float, default=1e-6
        Added to the variances, relative to those of the data.

    max_iter : int, default=100
        Largest number of EM iterations.

    tol : float, default=1e-3
        EM stops when the mean log-likelihood gains less, in nats.

    See Also
    --------
    skgmje.mixture.GrowingNeuralGasMixture : Density of one set of samples by a gas.
    skgmje.neural_gas.adapt_gas : The steps of the nodes.

    Examples
    --------
    >>> from skgmje.conditional import ConditionalMixtureDensity, NeuralGas
    >>> from skgmje.datasets import make_alignment
    >>> X, y = make_alignment("cross", 300, random_state=0)
    >>> density = ConditionalMixtureDensity(NeuralGas(8, shrinkage=2), random_state=0)
    >>> density.fit(X, y).predict_mixture(X[:1]).n_components
    8
    """

    name = "neural-gas"
    takes_missing = True
    _parameter_constraints: dict = {
        "n_components": [_AT_LEAST_ONE, StrOptions({"auto"})],
        "covariance_type": [TypeOptions(is_free=False)],
        "shrinkage": [_NOT_NEGATIVE, StrOptions({"auto"})],
        "reg_covar": [_NOT_NEGATIVE],
        "max_iter": [_AT_LEAST_ONE],
        "tol": [_NOT_NEGATIVE],
    }

    def __init__(
        self,
        n_components: int | Literal["auto"] = "auto",
        *,
        covariance_type: Literal[
            "full", "tied", "diag", "spherical", "low-rank"
        ] = "full",
        shrinkage: float | Literal["auto"] = "auto",
        reg_covar: float = 1e-6,
        max_iter: int = 100,
        tol: float = 1e-3,
    ) -> None:
        self.n_components = n_components
        self.covariance_type = covariance_type
        self.shrinkage = shrinkage
        self.reg_covar = reg_covar
        self.max_iter = max_iter
        self.tol = tol

    def _fit(self, X, Y, settings, sample_weight=None, random_state=None):
        # A gas has two nodes at least.
        few = self.n_components == "auto" and len(X) < 2 * ROWS_PER_COMPONENT
        if few or self.n_components == 1:
            one = GaussianMixture(**self.get_params() | {"n_components": 1})
            data = X, Y, settings, sample_weight, random_state
            return JointMixture(one)._fit(*data)
        rows, n_context = np.hstack([X, Y]), X.shape[1]
        # Of all samples: a fold may lack all values of a feature.
        moments = missing_moments(rows, sample_weight)

        def candidates(rows, sample_weight, random_state):
            for size in _sizes(self.n_components, len(rows)):
                gas = _grow(rows, size, sample_weight, random_state)
                for shrinkage in _shrinkages(self.shrinkage, *rows.shape):
                    result = _refine(gas, rows, shrinkage, self, sample_weight, moments)
                    params = {"n_components": size, "shrinkage": shrinkage}
                    yield params, result.mixture

        size, shrinkage = self.n_components, self.shrinkage
        held_out, info = None, {}
        if settings.judged or "auto" in (size, shrinkage):
            best = choose(candidates, rows, n_context, sample_weight, random_state)
            (size, shrinkage), held_out, info["cv_results"] = best
        gas = _grow(rows, size, sample_weight, random_state)

        def describe(result):
            model = JointConditional(result.mixture, n_context)
            complaint = unsettled(result, self.tol, UNSETTLED)
            return Fit(model, held_out, info | {"n_iter": result.n_iter}, complaint)

        data = gas, rows, shrinkage, self, sample_weight, moments
        return learn_then(describe, EMResult, _refine, *data)


def _sizes(n_components, n_rows):
    """Return the numbers of nodes to try."""
    if n_components != "auto":
        return (n_components,)
    return [k for k in GAS_GRID if k * ROWS_PER_COMPONENT <= n_rows] or GAS_GRID[:1]


def _shrinkages(shrinkage, n_samples, n_features):
    """Return the pseudo-counts to try."""
    if shrinkage != "auto":
        return (float(shrinkage),)
    few = n_samples < FEW_ROWS_PER_FEATURE * n_features
    return (*SHRINKAGES, *FEW_SHRINKAGES) if few else SHRINKAGES


def _grow(rows, size, sample_weight, random_state):
    """Return a gas of `size` nodes that has seen samples at random."""
    share = None if sample_weight is None else sample_weight / sample_weight.sum()
    drawn = random_state.choice(len(rows), DRAWS_PER_NODE * size, p=share)
    # Of standardized samples the mean is zero.
    rows = np.nan_to_num(rows)
    steps = {"max_nodes": size, "insertion_interval": INSERTION_INTERVAL}
    gas = adapt_gas(start_gas(rows[drawn[:2]]), rows[drawn], **steps)
    return refine_gas(gas, rows, sample_weight=sample_weight, n_rounds=0)


def _refine(gas, rows, shrinkage, source, sample_weight, moments):
    """Return the result of EM from the gas."""
    prior = {
        "shrinkage": shrinkage,
        "reg_covar": source.reg_covar,
        "sample_weight": sample_weight,
    }
    labels = gas_labels(gas, np.nan_to_num(rows), sample_weight=sample_weight)
    kind = source.covariance_type
    start = start_mixture(rows, labels, kind, moments=moments, **prior)
    steps = {"tol": source.tol, "max_iter": source.max_iter}
    return expectation_maximization(rows, start, **steps, **prior)


BANK_GRID = (100, 300, 1000)

# Of the kernels' covariances: more take long and are memorized.
MOST_ENTRIES = 100_000
RATE = 0.05

# Samples of which the bandwidth looks at all pairs.
MAX_PAIRED = 1000

# So many kernels learn their covariances in a few steps, and soon too well.
EM_STEPS = (0, 1, 2, 4, 8)

INCOMPLETE = (
    "No context is complete, so the memory bank took missing entries for the mean. "
    "Impute them, or use the source 'prototypes'."
)


class MemoryBank(Source):
    """Joint mixture of weighted past samples, for a conditional density.

    Pairs of x and y stream by once, while a bank of them, each with a kernel, is
    reweighted and renewed. The mixture is conditioned on x in closed form.

    Parameters
    ----------
    n_components : int or 'auto', default='auto'
        Size of the bank; 'auto' is chosen by the density of held-out targets.

    covariance_type : {'full', 'diag', 'spherical'}, default='full'
        Shape of the covariances.

    shrinkage : float, default=20.0
        Pseudo-count, in samples, of the covariance of the nearest kernels.

    reg_covar : float, default=1e-6
        Added to the variances, relative to those of the data.

    max_iter : int or 'auto', default='auto'
        Number of EM iterations, exactly; with 0 all kernels are alike, more than a few
        memorize samples. 'auto' is chosen by the density of held-out targets.

    batch_size : int, default=100
        Samples that stream by at a time.

    See Also
    --------
    skgmje.particles.step_bank : The step of the bank.

    Examples
    --------
    >>> from skgmje.conditional import ConditionalMixtureDensity, MemoryBank
    >>> from skgmje.datasets import make_alignment
    >>> X, y = make_alignment("cross", 300, random_state=0)
    >>> density = ConditionalMixtureDensity(MemoryBank(100), random_state=0)
    >>> density.fit(X, y).predict_mixture(X[:1]).n_components
    100
    """

    name = "memory-bank"
    takes_missing = True
    _parameter_constraints: dict = {
        "n_components": [_AT_LEAST_ONE, StrOptions({"auto"})],
        "covariance_type": [
            TypeOptions(lambda kind: kind.loops.per_component, is_free=False)
        ],
        "shrinkage": [_NOT_NEGATIVE],
        "reg_covar": [_NOT_NEGATIVE],
        "max_iter": [Interval(Integral, 0, None, closed="left"), StrOptions({"auto"})],
        "batch_size": [_AT_LEAST_ONE],
    }

    def __init__(
        self,
        n_components: int | Literal["auto"] = "auto",
        *,
        covariance_type: Literal["full", "diag", "spherical"] = "full",
        shrinkage: float = 20.0,
        reg_covar: float = 1e-6,
        max_iter: int | Literal["auto"] = "auto",
        batch_size: int = 100,
    ) -> None:
        self.n_components = n_components
        self.covariance_type = covariance_type
        self.shrinkage = shrinkage
        self.reg_covar = reg_covar
        self.max_iter = max_iter
        self.batch_size = batch_size

    def _fit(self, X, Y, settings, sample_weight=None, random_state=None):
        rows, n_context = np.hstack([X, Y]), X.shape[1]
        sizes = (self.n_components,)
        if self.n_components == "auto":
            # Many kernels, or kernels of many features.
            most = MOST_ENTRIES / rows.shape[1] ** 2
            sizes = [k for k in BANK_GRID if k == BANK_GRID[0] or k <= most]
        steps = EM_STEPS if self.max_iter == "auto" else (self.max_iter,)

        def candidates(rows, sample_weight, random_state):
            # Up to the first that takes all samples.
            for last, size in zip((0, *sizes), sizes, strict=False):
                if last < len(rows):
                    data = rows, size, steps, self, sample_weight, random_state
                    yield from _learn(*data)

        held_out, info = None, {}
        if settings.judged or len(sizes) * len(steps) > 1:
            best = choose(candidates, rows, n_context, sample_weight, random_state)
            params, held_out, info["cv_results"] = best
            sizes, steps = ((value,) for value in params)

        def describe(mixture, n_iter):
            complaint = "" if _complete(rows).any() else INCOMPLETE
            model = JointConditional(mixture, n_context)
            return Fit(model, held_out, info | {"n_iter": n_iter}, complaint)

        try:
            [(params, mixture)] = candidates(rows, sample_weight, random_state)
        except Interrupted as stop:
            mixture, n_iter = stop.result.mixture, stop.result.n_iter
            raise Interrupted(str(stop), describe(mixture, n_iter)) from stop
        return describe(mixture, params["max_iter"])


def _complete(rows):
    """Return which samples have no missing entry, (n,)."""
    return ~np.isnan(rows).any(axis=1)


def _learn(rows, size, steps, source, sample_weight, random_state):
    """Yield parameters and mixtures after numbers of EM steps, ascending."""
    mixture = _stream(rows, size, source.batch_size, sample_weight, random_state)
    kind, done = source.covariance_type, 0
    for n_steps in steps:
        if n_steps > done:
            covariances = widen(mixture, kind)
            start = Mixture(mixture.weights, mixture.means, covariances, kind)
            mixture = expectation_maximization(
                rows,
                start,
                sample_weight=sample_weight,
                shrinkage=source.shrinkage,
                shrinkage_target="neighbors",
                reg_covar=source.reg_covar,
                max_iter=n_steps - done,
                tol=0.0,
            ).mixture
        done = n_steps
        yield {"n_components": size, "max_iter": n_steps}, mixture


def _stream(rows, size, batch_size, sample_weight, random_state):
    """Return the mixture of a bank that has seen every complete sample."""
    complete = _complete(rows)
    if not complete.any():
        # Of standardized samples the mean is zero.
        rows, complete = np.nan_to_num(rows), np.ones(len(rows), bool)
    rows = rows[complete]
    if sample_weight is not None:
        # A sample of weight k counts as k copies of weight one.
        drawn = systematic_resampling(sample_weight[complete], len(rows), random_state)
        rows = rows[drawn]
    rows = rows[random_state.permutation(len(rows))]
    size = min(size, len(rows))
    state = start_bank(rows[:size])
    bandwidth = kernel_bandwidth(rows[:MAX_PAIRED], state.particles)
    steps = {"rate": RATE, "replacement": None, "random_state": random_state}
    for start in range(size, len(rows), batch_size):
        batch = rows[start : start + batch_size]
        state, _ = step_bank(state, batch, bandwidth, **steps)
    return bank_mixture(state, bandwidth)
