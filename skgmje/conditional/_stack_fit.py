"""Fits of the members of a conditional stack."""

import time
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, is_regressor

from skgmje._interrupt import Work, learn_then
from skgmje.conditional._member_models import (
    MOST_COLUMNS,
    RegressorFit,
    fit_boosting,
    fit_joint_mixture,
    fit_networks,
)
from skgmje.conditional._member_process import fit_processes
from skgmje.conditional._member_trees import fit_forests
from skgmje.conditional._models import join_mixtures
from skgmje.conditional._stack_model import (
    JOINT,
    N_JUDGED,
    STACK,
    Calibration,
    StackedConditional,
    calibrate,
    crps_terms,
    seen,
    stack_weights,
)
from skgmje.conditional._stack_network import fit_blend, join_stacks, train_stack
from skgmje.gaussian._covariance import COVARIANCE_TYPES
from skgmje.gaussian._mixture import Mixture

MAX_ITER = 10


def prune(mixture, max_components):
    """Merge components that are alike, by k-means of means and spreads."""
    if mixture.n_components <= max_components:
        return mixture
    weights, means = mixture.weights, mixture.means
    kind = COVARIANCE_TYPES[mixture.covariance_type]
    shape = mixture.n_components, mixture.n_features
    variances = kind.diagonal(mixture.covariances, *shape)
    points = np.concatenate([means, np.sqrt(variances)], axis=-1)
    member = _cluster(weights, points, max_components) * weights[..., None]
    total = member.sum(axis=1)
    share = member / np.maximum(total, 1e-300)[:, None]
    merged = np.einsum("nck,ncd->nkd", share, means)
    centered = means[:, :, None] - merged[:, None]
    # What no component went to keeps a weight of zero and any shape.
    spare = (total == 0)[..., None] * 1.0
    if mixture.covariance_type == "diag":
        inside = variances[:, :, None] + centered**2
        covariances = np.einsum("nck,nckd->nkd", share, inside) + spare
    else:
        inside = mixture.covariances[:, :, None]
        inside = inside + centered[..., None] * centered[..., None, :]
        covariances = np.einsum("nck,nckde->nkde", share, inside)
        covariances += spare[..., None] * np.eye(mixture.n_features)
    return Mixture(total, merged, covariances, mixture.covariance_type)


def _cluster(weights, points, n_clusters):
    """Return the cluster of each component as a unit vector, (n, C, n_clusters)."""
    rows = np.arange(len(points))
    chosen = [weights.argmax(axis=1)]
    distance = _squares(points, points[rows, chosen[0]][:, None])[..., 0]
    for _ in range(n_clusters - 1):
        chosen.append((weights * distance).argmax(axis=1))
        new = _squares(points, points[rows, chosen[-1]][:, None])[..., 0]
        distance = np.minimum(distance, new)
    centers = np.stack([points[rows, c] for c in chosen], axis=1)
    for _ in range(MAX_ITER):
        label = _squares(points, centers).argmin(axis=2)
        member = label[..., None] == np.arange(n_clusters)
        mass = (member * weights[..., None]).astype(points.dtype)
        total = mass.sum(axis=1)[..., None]
        moved = np.einsum("nck,ncd->nkd", mass, points)
        centers = np.where(total > 0, moved / np.maximum(total, 1e-300), centers)
    return member


def _squares(points, centers):
    """Return squared distances, shape (n, C, n_centers)."""
    cross = np.einsum("ncd,nkd->nck", points, centers)
    squares = (points**2).sum(-1)[..., None] + (centers**2).sum(-1)[:, None]
    return squares - 2 * cross


EXPERTS = {
    "boosting": fit_boosting,
    "gp": fit_processes,
    "network": fit_networks,
    "trees": fit_forests,
}


# Fewer rows are too few for networks.
FEWEST_ROWS = 50


# Share of the steps without a better network after which training ends.
PATIENCE = 0.2


@dataclass(frozen=True)
class Plan:
    """How a stack is fitted."""

    fits: dict
    settings: Any
    n_repeats: int
    crps_weight: float
    calibrated: bool
    run: Any
    tell: Any


def check_experts(experts, y_units, n_columns):
    """Return a function that fits each expert, under its name."""
    fits = {}
    for expert in experts if experts is not None else ():
        own = isinstance(expert, tuple | list) and len(expert) == 2
        name, fit = expert if own else (expert, None)
        known = isinstance(name, str) and (name in EXPERTS) != own
        known = known and name not in (JOINT, STACK)
        if not known or name in fits or (own and not _is_regressor(fit)):
            raise ValueError(
                f"experts={experts!r} has {expert!r}: it must be one of "
                f"{sorted(EXPERTS)}, or a pair of another name (not {JOINT!r} or "
                f"{STACK!r}) and a regressor of scikit-learn's kind, each name once."
            )
        fits[name] = RegressorFit(fit, y_units) if own else EXPERTS[name]
    if "network" in fits and n_columns <= MOST_COLUMNS:
        fits[JOINT] = fit_joint_mixture
    return fits


def _is_regressor(value):
    # scikit-learn raises for what has no tags.
    return isinstance(value, BaseEstimator) and is_regressor(value)


class Stacking:
    """A stack while it is fitted, in standard units."""

    def __init__(self, rows, plan, random_state):
        self.rows, self.plan = rows, plan
        n_seeds = len(plan.fits) + plan.n_repeats + 1
        self._seeds = iter(random_state.randint(2**31 - 1, size=n_seeds).tolist())
        self.experts, self.answers, self.dropped = {}, {}, {}
        self.best_steps, self.seconds, self.trouble = {}, {}, ""

    def fit(self, units):
        """Fit experts, what sees them, and the pool; return the model."""
        work = Work()
        self._fit_experts(work)
        is_short = len(self.rows.X) < FEWEST_ROWS or work.when
        if is_short and seen(self.answers):
            stack, pool = work.finish(self._fit_blend)
        elif work.when:
            raise KeyboardInterrupt("before an expert or a network was done")
        else:
            stack, pool = self._fit_networks(work)
        self.plan.tell()
        return work.end(self._join, stack, pool, units, next(self._seeds))

    def _join(self, stack, pool, units, seed):
        """Weigh the densities and set their width; return the model."""
        start = time.thread_time()
        weights = self._weigh(pool, seed)
        used = [(weight, pool[name]) for name, weight in weights.items() if weight]
        held_out = join_mixtures(used, len(self.rows.Y))
        calibration = Calibration()
        if self.plan.calibrated:
            calibration = calibrate(held_out, self.rows.Y, self.rows.weight)
        self.held_out = calibration.apply(held_out)
        self.seconds["pool"] = time.thread_time() - start
        self.plan.tell()
        return StackedConditional(self.experts, stack, weights, *units, calibration)

    def _fit_experts(self, work):
        plan = self.plan
        tasks = [
            (fit, self.rows, plan.settings, next(self._seeds))
            for fit in plan.fits.values()
        ]
        outcomes = work.learn(list, plan.run, _attempt, tasks, "experts")
        # Of the last ones there are no outcomes if Ctrl-C has come.
        pairs = zip(plan.fits, outcomes, strict=False)
        for name, (fit, fault, seconds) in pairs:
            self.seconds[name] = seconds
            plan.tell()
            if fault:
                self.dropped[name] = fault
                continue
            self.experts[name], self.answers[name] = fit.expert, fit.held_out
            self.trouble += fit.trouble
            if fit.best_steps is not None:
                self.best_steps[name] = fit.best_steps

    def _fit_blend(self):
        start = time.thread_time()
        answers = seen(self.answers)
        blend = fit_blend(self.rows, answers, self.plan.settings.min_scale)
        held_out = blend.predict_mixture(self.rows.X, answers)
        self.seconds[STACK] = time.thread_time() - start
        return blend, {STACK: held_out} | self._mixtures(())

    def _fit_networks(self, work):
        answers = seen(self.answers)
        tasks = [
            (self.rows, answers, self.plan.settings, next(self._seeds))
            for _ in range(self.plan.n_repeats)
        ]
        run = self.plan.run
        try:
            results = work.learn(list, run, _timed_stack, tasks, "networks")
        except KeyboardInterrupt:
            if not answers:
                raise
            work.when = "before a network was done"
            return work.finish(self._fit_blend)
        parts = [part for part, _ in results]
        self.seconds[STACK] = sum(seconds for _, seconds in results)
        self.best_steps[STACK] = np.concatenate([part[3] for part in parts])
        self.trouble += " ".join(part[2].trouble for part in parts).strip()
        stack, held_out = join_stacks(self.rows, answers, parts)
        # The networks know what a process says, and are more often right.
        return stack, {STACK: held_out} | self._mixtures(("gp",))

    def _mixtures(self, left_out):
        return {
            name: answer.mixture
            for name, answer in self.answers.items()
            if answer.mixture is not None and name not in left_out
        }

    def _weigh(self, pool, seed):
        """Return the weight of each density."""
        if len(pool) == 1:
            return dict.fromkeys(pool, 1.0)
        rows = self.rows
        log_prob = np.stack([m.log_prob(rows.Y) for m in pool.values()], axis=1)
        order = np.random.RandomState(seed).permutation(len(rows.Y))
        judged = order[:N_JUDGED]
        some = [_take(mixture, judged) for mixture in pool.values()]
        terms = crps_terms(some, rows.Y[judged], rows.weight[judged])
        crps_weight = self.plan.crps_weight
        weights = stack_weights(log_prob, *terms, rows.weight, crps_weight)
        return dict(zip(pool, weights.tolist(), strict=True))


def _attempt(fit, rows, settings, seed):
    """Return what a fit returns, what is wrong with it, and its CPU seconds."""
    start = time.thread_time()
    try:
        found = fit(rows, settings, seed)
        fault = "" if found.held_out.is_finite() else "it predicts NaN or infinity"
    except KeyboardInterrupt as stop:
        # Only whole experts count.
        raise KeyboardInterrupt(*stop.args) from stop
    except Exception as error:
        # Whatever it is: the others go on without this expert, and the user is told.
        found, fault = None, f"{type(error).__name__}: {error}"
    return found, fault, time.thread_time() - start


def _timed_stack(*args):
    start = time.thread_time()
    return learn_then(
        lambda part: (part, time.thread_time() - start), tuple, train_stack, *args
    )


def _take(mixture, rows):
    """Return the mixtures of some rows."""
    return replace(
        mixture,
        weights=mixture.weights[rows],
        means=mixture.means[rows],
        covariances=mixture.covariances[rows],
    )
