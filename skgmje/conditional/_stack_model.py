"""Stacks of conditional densities: the fitted value, and its fit."""

import time
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.optimize import minimize, minimize_scalar, nnls
from sklearn.base import clone

from skgmje._interrupt import Work, learn_then
from skgmje._parallel import Failure, attempt
from skgmje._standardize import Standardization, location_scale
from skgmje._validation import as_array, like_rows, name_estimators
from skgmje.conditional._member_process import fit_processes
from skgmje.conditional._member_regressors import RegressorFit, is_member
from skgmje.conditional._member_trees import fit_boosting, fit_forests
from skgmje.conditional._members import (
    FEWEST_ROWS,
    MOST_COLUMNS,
    PATIENCE,
    fit_joint_mixture,
    fit_networks,
)
from skgmje.conditional._models import Conditional, join_mixtures
from skgmje.conditional._source import Settings
from skgmje.gaussian._checks import as_batch
from skgmje.gaussian._mixture import Mixture
from skgmje.metrics._scores import mean_absolute


@dataclass(frozen=True)
class StackNetwork:
    """Members of networks, and the units of what they see."""

    model: Any
    units: tuple

    def predict_mixture(self, X, predictions):
        loc, scale = self.units
        columns = (stack_columns(X, predictions) - loc) / scale
        return self.model.predict_mixture(columns)


@dataclass(frozen=True)
class Blend:
    """A blend of the members' means, and Gaussian errors of one size."""

    shares: tuple
    variance: Any

    def predict_mixture(self, X, predictions):
        columns = [
            np.hstack([p.means[:, target] for p in predictions]) @ share
            for target, share in enumerate(self.shares)
        ]
        means = np.stack(columns, axis=1)[:, None]
        variance = np.broadcast_to(self.variance, means.shape)
        return Mixture(np.ones((len(X), 1)), means, variance, "diag")


def stack_columns(X, predictions):
    """Return contexts and features of the predictions side by side, (n, p)."""
    return np.hstack([X, *(p.features() for p in predictions)])


# Samples that are enough for the CRPS.
N_JUDGED = 500

# Models of less weight cost more time than they are worth.
SMALLEST_WEIGHT = 0.02


def crps_terms(mixtures, Y, weight):
    """Compute what the CRPS of a pool is made of."""
    batches = [as_batch(mixture) for mixture in mixtures]
    n_models, weight = len(batches), weight / weight.sum()
    a, B = np.zeros(n_models), np.zeros((n_models, n_models))
    for target in range(Y.shape[1]):
        at = ..., target
        parts = [(b.weights, b.means[at], b.scales()[at] ** 2) for b in batches]
        for j, (w, mean, variance) in enumerate(parts):
            distance = mean_absolute(Y[:, target, None] - mean, variance)
            a[j] += weight @ (w * distance).sum(axis=1)
            for k, (w_k, mean_k, variance_k) in enumerate(parts[: j + 1]):
                gaps = mean[:, :, None] - mean_k[:, None]
                variances = variance[:, :, None] + variance_k[:, None]
                distance = mean_absolute(gaps, variances)
                share = w[:, :, None] * w_k[:, None] * distance
                B[j, k] += weight @ share.sum(axis=(1, 2))
                B[k, j] = B[j, k]
    return a / Y.shape[1], B / Y.shape[1]


def stack_weights(log_densities, a, B, weight, crps_weight):
    """Find the weights of the pool that predicts held-out samples best."""
    n_models = len(a)
    top = log_densities.max(axis=1)
    rows = np.isfinite(top)
    densities = np.exp(log_densities[rows] - top[rows, None])
    share = weight[rows] / weight.sum()
    factor = crps_weight / max((a - 0.5 * np.diagonal(B)).min(), 1e-12)

    def loss(v):
        pooled = np.maximum(densities @ v, 1e-300)
        value = -share @ np.log(pooled) + factor * (v @ a - 0.5 * v @ B @ v)
        return value, -densities.T @ (share / pooled) + factor * (a - B @ v)

    found = minimize(
        loss,
        np.full(n_models, 1 / n_models),
        method="SLSQP",
        jac=True,
        bounds=[(0.0, 1.0)] * n_models,
        constraints={"type": "eq", "fun": lambda v: v.sum() - 1, "jac": np.ones_like},
        options={"maxiter": 200, "ftol": 1e-9},
    )
    v = np.clip(found.x, 0.0, None)
    if not (np.isfinite(v).all() and v.any()):
        return np.eye(n_models)[int((share @ log_densities[rows]).argmax())]
    v[v < SMALLEST_WEIGHT * v.sum()] = 0.0
    return v / v.sum()


# Widths are sought between the inverse of this and this.
WIDEST = 3.0

# Samples that a width of one is worth.
PRIOR_ROWS = 50

# Of the tails, in standard deviations of the sample.
TAIL_WIDTH = 4.0


@dataclass(frozen=True)
class Calibration:
    """Components of another width, and tails."""

    width: float = 1.0
    tail: float = 0.0

    def apply(self, mixture):
        """Return the calibrated mixtures."""
        wider = _widen(mixture, self.width)
        if not self.tail:
            return wider
        parts = [(1 - self.tail, wider), (self.tail, _tail(wider))]
        return join_mixtures(parts, len(wider.means))


def calibrate(mixture, Y, weight):
    """Choose the width by held-out likelihood."""
    n, share = len(Y), weight / weight.sum()

    def loss(log_width):
        log_prob = _widen(mixture, np.exp(log_width)).log_prob(Y)
        return -share @ np.maximum(log_prob, -1e9)

    top = np.log(WIDEST)
    found = minimize_scalar(loss, bounds=(-top, top), method="bounded")
    log_width = found.x if found.fun < loss(0.0) else 0.0
    width = float(np.exp(log_width * n / (n + PRIOR_ROWS)))
    return Calibration(width, 1 / (n + 1))


def _widen(mixture, width):
    """Return a mixture with standard deviations `width` times as large."""
    return replace(mixture, covariances=mixture.covariances * width**2)


def _tail(mixture):
    """Return one broad Gaussian around the mean of each sample."""
    variance = np.diagonal(mixture.covariance, axis1=-2, axis2=-1)
    ones = np.ones((len(variance), 1))
    spread = TAIL_WIDTH**2 * variance[:, None]
    return Mixture(ones, mixture.mean[:, None], spread, "diag")


# The name of the networks that see the members' predictions.
STACK = "stack"

# A member that takes part in the pool, but that networks do not see.
JOINT = "joint"


@dataclass(frozen=True)
class StackedConditional(Conditional):
    """Members, networks that see them, and the weights of both."""

    members: dict
    stack: Any
    weights: dict
    x_units: tuple
    y_units: tuple
    calibration: Any

    def predict_mixture(self, X):
        units, rows = Standardization(*self.x_units), as_array(X)
        context, raw = units.forward(rows), units.clip(rows)
        # A frame keeps its types where nothing is far.
        raw = X if np.array_equal(raw, rows) else like_rows(raw, X)
        predictions = {}
        for name, member in self.members.items():
            predictions[name] = member.predict(context, raw)
            if not predictions[name].is_finite():
                raise ValueError(
                    f"The member {name!r} predicts NaN or infinity for some of the "
                    "samples, though it did not in fit. Mend it, or fit without it: "
                    "estimators=..."
                )
        pool = {name: prediction.mixture for name, prediction in predictions.items()}
        if self.weights.get(STACK):
            pool[STACK] = self.stack.predict_mixture(context, visible(predictions))
        parts = [
            (weight, pool[name]) for name, weight in self.weights.items() if weight
        ]
        mixture = join_mixtures(parts, len(X))
        loc, scale = self.y_units
        return self.calibration.apply(mixture).affine(scale, loc)


def visible(predictions):
    """Return the predictions that networks see."""
    return [prediction for name, prediction in predictions.items() if name != JOINT]


MEMBERS = {
    "boosting": fit_boosting,
    "gp": fit_processes,
    "network": fit_networks,
    "trees": fit_forests,
}

# How long they take, relative to each other, and others: which begin first.
COSTS, UNKNOWN_COST = {"network": 3, "gp": 2, JOINT: 2, "trees": 1, "boosting": 1}, 4


def check_members(estimators, y_units, n_columns):
    """Return a function that fits each member, under its name."""
    fits, reserved = {}, (*MEMBERS, JOINT, STACK)
    given = () if estimators is None else estimators
    for name, member in name_estimators(given, MEMBERS):
        if name == member:
            fits[name] = MEMBERS[name]
            continue
        if name in reserved:
            raise ValueError(
                f"estimators={estimators!r} gives {member!r} the name {name!r}, which "
                f"has a meaning of its own here, as all of {reserved}. Take another."
            )
        if not is_member(member):
            raise TypeError(
                f"estimators: {name!r} is {member!r}, which is no regressor of "
                "scikit-learn's kind. Give regressors, or words, one of "
                f"{sorted(MEMBERS)}."
            )
        fits[name] = RegressorFit(member, y_units)
    if "network" in fits and n_columns <= MOST_COLUMNS:
        fits[JOINT] = fit_joint_mixture
    return fits


class Stacking:
    """A stack while it is fitted, in standard units."""

    def __init__(self, rows, fits, network, n_repeats, random_state, run, tell):
        self.rows, self.fits, self.network = rows, fits, network
        self.n_repeats, self.run, self.tell = n_repeats, run, tell
        n_seeds = len(fits) + n_repeats + 1
        self._seeds = iter(random_state.randint(2**31 - 1, size=n_seeds).tolist())
        self.members, self.predictions, self.dropped = {}, {}, {}
        self.best_steps, self.seconds, self.complaint = {}, {}, ""

    def fit(self, units, crps_weight, recalibrate):
        """Fit members, what sees them, and the pool; return the model."""
        work = Work()
        self._fit_members(work)
        is_short = len(self.rows.X) < FEWEST_ROWS or work.when
        if is_short and visible(self.predictions):
            stack, pool = work.finish(self._fit_blend)
        elif work.when:
            raise KeyboardInterrupt("before a member or a network was done")
        else:
            stack, pool = self._fit_networks(work)
        self.tell()
        seed = next(self._seeds)

        def join():
            start, rows = time.thread_time(), self.rows
            weights = self._weigh(pool, crps_weight, seed)
            used = [(weight, pool[name]) for name, weight in weights.items() if weight]
            held_out = join_mixtures(used, len(rows.Y))
            calibration = Calibration()
            if recalibrate:
                calibration = calibrate(held_out, rows.Y, rows.weight)
            self.held_out = calibration.apply(held_out)
            self.seconds["pool"] = time.thread_time() - start
            self.tell()
            return StackedConditional(self.members, stack, weights, *units, calibration)

        return work.end(join)

    def _fit_members(self, work):
        given = self.rows, self.network
        tasks = [(fit, *given, next(self._seeds)) for fit in self.fits.values()]
        costs = [COSTS.get(name, UNKNOWN_COST) for name in self.fits]
        outcomes = work.learn(list, self.run, _timed_fit, tasks, "members", costs)
        # Ctrl-C leaves some out.
        done = [pair for pair in zip(self.fits, outcomes, strict=True) if pair[1]]
        for name, (fit, seconds) in done:
            self.seconds[name] = seconds
            self.tell()
            if isinstance(fit, Failure):
                self.dropped[name] = fit.reason
                continue
            self.members[name], self.predictions[name] = fit.member, fit.held_out
            self.complaint += fit.complaint
            if fit.best_steps is not None:
                self.best_steps[name] = fit.best_steps

    def _fit_blend(self):
        start = time.thread_time()
        rows, predictions = self.rows, visible(self.predictions)
        n, n_targets = rows.Y.shape
        fits = [_blend_target(rows, predictions, j) for j in range(n_targets)]
        shares, scales = zip(*fits, strict=True)
        # As many errors are spent on the shares.
        variance = np.square(scales) * n / max(1, n - len(shares[0]))
        blend = Blend(shares, np.maximum(variance, self.network.min_scale**2))
        held_out = blend.predict_mixture(rows.X, predictions)
        self.seconds[STACK] = time.thread_time() - start
        return blend, {STACK: held_out} | self._mixtures(())

    def _fit_networks(self, work):
        rows, predictions = self.rows, visible(self.predictions)
        columns = stack_columns(rows.X, predictions)
        units = location_scale(columns, rows.weight)
        how = self.network, Settings(patience=PATIENCE), None
        if predictions:
            how = *_seeing(len(rows.X), self.network), _start(rows, predictions, units)
        X = (columns - units[0]) / units[1]
        seeds = [next(self._seeds) for _ in range(self.n_repeats)]
        tasks = [(X, rows, *how, seed) for seed in seeds]
        try:
            results = work.learn(list, self.run, _timed_stack, tasks, "networks")
        except KeyboardInterrupt:
            if not predictions:
                raise
            work.when = "before a network was done"
            return work.finish(self._fit_blend)
        parts, seconds = zip(*filter(None, results), strict=True)
        models, unseen, trainings, steps = zip(*parts, strict=True)
        self.seconds[STACK] = sum(seconds)
        self.best_steps[STACK] = np.concatenate(steps)
        self.complaint += " ".join(each.complaint for each in trainings).strip()
        model = join_networks(models)
        held_out = model.held_out_mixture(X, np.concatenate(unseen))
        # The networks know what a process says, and are more often right.
        pool = {STACK: held_out} | self._mixtures(("gp",))
        return StackNetwork(model, units), pool

    def _mixtures(self, left_out):
        return {
            name: prediction.mixture
            for name, prediction in self.predictions.items()
            if prediction.mixture is not None and name not in left_out
        }

    def _weigh(self, pool, crps_weight, seed):
        """Return the weight of each density."""
        if len(pool) == 1:
            return dict.fromkeys(pool, 1.0)
        Y, weight = self.rows.Y, self.rows.weight
        log_prob = np.stack([m.log_prob(Y) for m in pool.values()], axis=1)
        judged = np.random.RandomState(seed).permutation(len(Y))[:N_JUDGED]
        some = [mixture[judged] for mixture in pool.values()]
        terms = crps_terms(some, Y[judged], weight[judged])
        weights = stack_weights(log_prob, *terms, weight, crps_weight)
        return dict(zip(pool, weights.tolist(), strict=True))


def _timed_fit(*args):
    """Return the fit of a member or its failure, and the CPU seconds."""
    start = time.thread_time()
    try:
        # Whatever is raised: the others go on without this member.
        found = attempt(*args)
    except KeyboardInterrupt as stop:
        # Only whole members count.
        raise KeyboardInterrupt(*stop.args) from stop
    if not (isinstance(found, Failure) or found.held_out.is_finite()):
        found = Failure("it predicts NaN or infinity")
    return found, time.thread_time() - start


def _timed_stack(*args):
    """Train networks on members; return them and the CPU seconds."""
    start = time.thread_time()

    def timed(part):
        return part, time.thread_time() - start

    return learn_then(timed, tuple, train_stack, *args)


# Samples up to which there are few steps, and how many there are.
FEW_ROWS, FEW_STEPS, MANY_STEPS = 2000, 800, 2000
BATCH_SIZES = {True: 128, False: 256}
LEARNING_RATE = 3e-3
DROPOUT = {True: 0.1, False: 0.05}

# Decay of the matrices, in rows.
DECAY = 1000.0

# Pull of the blend towards the mean of the members, relative to the number of samples.
RIDGE = 0.05

# Smallest standard deviation of a start.
SMALLEST_SCALE = 1e-3


def _seeing(n_samples, network):
    """Return networks that see members' predictions, and how they are trained."""
    few = n_samples <= FEW_ROWS
    steps = FEW_STEPS if few else MANY_STEPS
    network = clone(network).set_params(
        max_iter=steps if network.max_iter == "auto" else network.max_iter,
        batch_size=BATCH_SIZES[few],
        learning_rate=LEARNING_RATE,
    )
    return network, Settings(
        patience=PATIENCE,
        dropout=DROPOUT[few],
        weight_decay=min(1.0, DECAY / n_samples),
        warmup=False,
    )


def train_stack(X, rows, network, settings, start, seed):
    """Train one network for each fold."""
    # Late: predictions need no torch.
    from skgmje.conditional._torch_sources import train_network

    data = X, rows.Y, rows.fold, network, settings, rows.weight
    return train_network(*data, np.random.RandomState(seed), start)


def join_networks(models):
    """Return one model with the networks of all."""

    def join(name):
        layers = zip(*(getattr(model, name) for model in models), strict=True)
        return tuple(map(np.concatenate, layers))

    skip = np.concatenate([model.skip for model in models])
    layers = {name: join(name) for name in ("weights", "biases")}
    return replace(models[0], skip=skip, **layers)


def _start(rows, predictions, units):
    """Return slope, intercept and scale of the means: a blend of the members."""
    n_targets, (loc, scale) = rows.Y.shape[1], units
    slope, intercept = np.zeros((len(loc), n_targets)), np.zeros(n_targets)
    errors = np.ones(n_targets)
    for target in range(n_targets):
        share, errors[target] = _blend_target(rows, predictions, target)
        columns = _mean_columns(rows, predictions, target)
        slope[columns, target] = share * scale[columns]
        intercept[target] = share @ loc[columns]
    return slope, intercept, np.maximum(errors, SMALLEST_SCALE)


def _blend_target(rows, predictions, target):
    """Return non-negative shares of the members' means, and the errors' size."""
    y, root = rows.Y[:, target], np.sqrt(rows.weight)
    means = np.hstack([p.means[:, target] for p in predictions])
    n_means = means.shape[1]
    ridge = RIDGE * np.sqrt(len(y))
    matrix = np.vstack([root[:, None] * means, ridge * np.eye(n_means)])
    share = nnls(matrix, np.append(root * y, np.full(n_means, ridge / n_means)))[0]
    error = y - means @ share
    return share, np.sqrt(np.average(error**2, weights=rows.weight))


def _mean_columns(rows, predictions, target):
    """Return where the members' means of a target are among all columns."""
    columns, first = [], rows.X.shape[1]
    for prediction in predictions:
        n_means = prediction.means.shape[2]
        columns.append(first + target * n_means + np.arange(n_means))
        first += prediction.features().shape[1]
    return np.concatenate(columns)
