"""A joint Gaussian mixture of few columns, held out by folds."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from skgmje._joint._pool import join_mixtures
from skgmje._joint._prototypes import fit_prototypes
from skgmje.ensemble._experts import Answer, Expert, ExpertFit
from skgmje.gaussian import Mixture

# Columns of contexts and targets together, up to which joint mixtures are strong.
MOST_COLUMNS = 4


@dataclass(frozen=True)
class JointExpert(Expert):
    """The conditional of a joint mixture.

    Parameters
    ----------
    model : JointConditional
        Fitted to all rows.
    """

    model: Any

    def answer(self, X, raw):
        return _answer(_plain(self.model.predict_mixture(X)))


def fit_joint_mixture(rows, settings, seed):
    """Fit a joint mixture, its size by held-out conditional likelihood.

    Parameters
    ----------
    rows : Rows
        What to learn from.

    settings : Settings
        Of these the smallest scale.

    seed : int
        Of the starts.

    Returns
    -------
    fit : ExpertFit
        Of a :class:`JointExpert`.
    """
    random_state = np.random.RandomState(seed)
    free = replace(
        settings,
        n_components="auto",
        covariance_type="full",
        max_iter="auto",
        reg_covar=settings.min_scale**2,
    )
    fit = fit_prototypes(rows.X, rows.Y, free, rows.weight, random_state)
    model = fit.model
    chosen = replace(
        free,
        n_components=model.mixture.n_components,
        shrinkage=fit.info["shrinkage"],
    )
    parts, order = [], []
    for k in range(rows.n_folds):
        own = np.flatnonzero(rows.fold == k)
        kept = rows.fold != k
        size = min(chosen.n_components, int(kept.sum()))
        part = fit_prototypes(
            rows.X[kept],
            rows.Y[kept],
            replace(chosen, n_components=size),
            rows.weight[kept],
            random_state,
        )
        parts.append(_padded(_plain(part.model.predict_mixture(rows.X[own])), chosen))
        order.append(own)
    back = np.argsort(np.concatenate(order))
    arrays = ("weights", "means", "covariances")
    joined = [np.concatenate([getattr(p, a) for p in parts])[back] for a in arrays]
    held_out = Mixture(*joined, parts[0].covariance_type)
    return ExpertFit(JointExpert(model), _answer(held_out))


def _plain(mixture):
    """Return a mixture whose rows share nothing."""
    return join_mixtures([(1.0, mixture)], len(mixture.means), mixture.n_features)


def _padded(mixture, chosen):
    """Return a mixture of as many components as others, the last ones of no weight."""
    n_missing = chosen.n_components - mixture.n_components
    if n_missing == 0:
        return mixture
    parts = [
        np.concatenate([part, np.repeat(part[:, :1], n_missing, axis=1)], axis=1)
        for part in (mixture.weights, mixture.means, mixture.covariances)
    ]
    parts[0][:, mixture.n_components :] = 0.0
    return Mixture(*parts, mixture.covariance_type)


def _answer(mixture):
    return Answer(mixture.mean[..., None], np.empty((len(mixture.means), 0)), mixture)
