"""Sources of components by name, and their pool."""

from dataclasses import replace
from itertools import chain

import numpy as np

from skgmje._backend import logsumexp
from skgmje._interrupt import Work
from skgmje.conditional._joint_sources import JointMixture, MemoryBank, NeuralGas
from skgmje.conditional._models import Fit, PooledConditional
from skgmje.conditional._network_sources import MixtureNetwork, TrainedModule
from skgmje.conditional._source import Source
from skgmje.em._select import pool_weights
from skgmje.mixture._gaussian_mixture import GaussianMixture

# Fewer held-out samples do not tell which source is better.
FEWEST_ROWS = 20

# Models of less weight cost more time than they are worth.
POOLING = {"least": 0.02, "max_iter": 1000, "take_last": False}


class Pool(Source):
    """Sources that are pooled by their densities of held-out samples."""

    def __init__(self, parts):
        self.parts = parts

    @property
    def takes_missing(self):
        """Whether one of the sources does; the others then are left out."""
        return any(part.takes_missing for part in self.parts)

    def check(self):
        """Raise if a parameter of a source is wrong, or if it cannot be pooled."""
        if not self.parts:
            raise ValueError("source=[] is empty: list the sources to pool.")
        for part in self.parts:
            part.check()
            if not part.is_judged:
                raise ValueError(
                    f"source has the module {type(part.module).__name__} in a list, "
                    "but no densities of held-out samples to pool it by. Give it alone."
                )

    def _trainers(self):
        """Return what users ask of its trainings, checked."""
        trainers = [trainer for part in self.parts for trainer in part._trainers()]
        folders = [t.checkpoint_dir for t in trainers if t.checkpoint_dir is not None]
        if len(folders) > 1:
            raise ValueError(
                f"source has the folders checkpoint_dir={folders}: one of its networks "
                "only can keep its state. Leave out the others."
            )
        return trainers

    def _fit(self, X, Y, settings, sample_weight=None, random_state=None):
        complete = not np.isnan(X).any()
        able = [part for part in self.parts if complete or part.takes_missing]
        if len(np.unique(np.hstack([X, Y]), axis=0)) < FEWEST_ROWS:
            able = able[:1]
        data = X, Y, replace(settings, judged=True), sample_weight, random_state
        work, fits = Work(), {}
        for name, part in zip(_names(able), able, strict=True):
            try:
                fits[name] = work.learn(Fit, part._fit, *data)
            except KeyboardInterrupt:
                if not fits:
                    raise
                work.when = f"before the source {name!r} had learned"
            if work.when:
                break
        return work.end(_pool, fits, X, sample_weight, random_state)


def _names(sources):
    """Return the names of sources, with a number from the second of a kind on."""
    names = [source.name for source in sources]
    counts = [names[: i + 1].count(name) for i, name in enumerate(names)]
    return [
        f"{name}-{count}" if count > 1 else name
        for name, count in zip(names, counts, strict=True)
    ]


def _pool(fits, X, sample_weight, random_state):
    """Weigh fits by their densities of held-out samples; one alone is as it is."""
    if len(fits) == 1:
        return next(iter(fits.values()))
    held_out = np.stack([fit.held_out for fit in fits.values()], axis=1)
    judged = np.isfinite(held_out).all(axis=1)
    row_weight = None if sample_weight is None else sample_weight[judged]
    models = tuple(fit.model for fit in fits.values())
    gains = [model.pooling_gain(X, random_state) for model in models]
    weights = pool_weights(held_out[judged] + gains, row_weight, **POOLING)
    info = {}
    for fit in fits.values():
        info |= fit.info
    info["pool_weights"] = dict(zip(fits, weights.tolist(), strict=True))
    complaint = " ".join(fit.complaint for fit in fits.values() if fit.complaint)
    used = np.flatnonzero(weights)
    log_prob = logsumexp(held_out[:, used] + np.log(weights[used]), axis=1)
    return Fit(PooledConditional(weights, models), log_prob, info, complaint)


# What is a source, beside a GaussianMixture: those that have a name, and any module.
NAMED = (MemoryBank, MixtureNetwork, NeuralGas)
KINDS = (*NAMED, TrainedModule)

# Sources by name: the only place that lists them.
SOURCES = {
    "auto": lambda: read_source(["prototypes", "network"]),
    **{kind.name: kind for kind in NAMED},
    "prototypes": lambda: GaussianMixture("auto", shrinkage="auto"),
}


def read_source(value):
    """Return the source that a word, an object, or a list of these stands for."""
    if isinstance(value, list | tuple):
        found = map(read_source, value)
        parts = [part.parts if isinstance(part, Pool) else [part] for part in found]
        return Pool([*chain.from_iterable(parts)])
    if isinstance(value, str) and value in SOURCES:
        value = SOURCES[value]()
    if isinstance(value, GaussianMixture):
        return JointMixture(value)
    return value if isinstance(value, Source) else TrainedModule(value)


def source_of(value):
    """Return the source that a value stands for, checked before any work."""
    source = read_source(value)
    for part in getattr(source, "parts", [source]):
        word = getattr(part, "module", None)
        if isinstance(word, str):
            raise ValueError(
                f"{word!r} is no source of components. Use one of {sorted(SOURCES)}, "
                "or an object such as MixtureNetwork(n_members=3)."
            )
    source.check()
    return source
