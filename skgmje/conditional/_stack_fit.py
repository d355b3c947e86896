"""Fits of a conditional stack: its members, networks on them, and their weights."""

import time
from dataclasses import replace

import numpy as np
from scipy.optimize import nnls
from sklearn.base import clone

from skgmje._interrupt import Work, learn_then
from skgmje._parallel import Failure, attempt
from skgmje._standardize import location_scale
from skgmje._validation import name_estimators
from skgmje.conditional._member_process import fit_processes
from skgmje.conditional._member_regressors import RegressorFit, is_member
from skgmje.conditional._member_trees import fit_boosting, fit_forests
from skgmje.conditional._members import (
    MOST_COLUMNS,
    PATIENCE,
    fit_joint_mixture,
    fit_networks,
)
from skgmje.conditional._models import join_mixtures
from skgmje.conditional._source import Settings
from skgmje.conditional._stack_model import (
    JOINT,
    N_JUDGED,
    STACK,
    Blend,
    Calibration,
    StackedConditional,
    StackNetwork,
    calibrate,
    crps_terms,
    stack_columns,
    stack_weights,
    visible,
)

MEMBERS = {
    "boosting": fit_boosting,
    "gp": fit_processes,
    "network": fit_networks,
    "trees": fit_forests,
}

# Fewer samples are too few for networks.
FEWEST_ROWS = 50


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
        outcomes = work.learn(list, self.run, _timed_fit, tasks, "members")
        # Of the last ones there are no outcomes if Ctrl-C has come.
        for name, (fit, seconds) in zip(self.fits, outcomes, strict=False):
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
        columns = np.hstack([rows.X, *(p.features() for p in predictions)])
        units = location_scale(columns, rows.weight)
        how = self.network, Settings(patience=PATIENCE), None
        if predictions:
            how = *_seeing(len(rows.X), self.network), _start(rows, predictions, units)
        X = stack_columns(rows.X, predictions, units)
        seeds = [next(self._seeds) for _ in range(self.n_repeats)]
        tasks = [(X, rows, *how, seed) for seed in seeds]
        try:
            results = work.learn(list, self.run, _timed_stack, tasks, "networks")
        except KeyboardInterrupt:
            if not predictions:
                raise
            work.when = "before a network was done"
            return work.finish(self._fit_blend)
        parts, seconds = zip(*results, strict=True)
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
    return learn_then(
        lambda part: (part, time.thread_time() - start), tuple, train_stack, *args
    )


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
    n_targets = rows.Y.shape[1]
    slope = np.zeros((len(units[0]), n_targets))
    intercept, scales = np.zeros(n_targets), np.ones(n_targets)
    for target in range(n_targets):
        share, scales[target] = _blend_target(rows, predictions, target)
        columns = _mean_columns(rows, predictions, target)
        slope[columns, target] = share * units[1][columns]
        intercept[target] = share @ units[0][columns]
    return slope, intercept, np.maximum(scales, SMALLEST_SCALE)


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
