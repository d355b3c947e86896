"""What is fitted to pairs of contexts and targets: conditional densities."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from skgmje.gaussian import COVARIANCE_TYPES, Mixture
from skgmje.gaussian._checks import patterns


class Conditional(ABC):
    """A conditional density that is one Gaussian mixture for each context.

    Implementations are frozen, hold NumPy arrays only, and have the attributes
    `n_context` and `n_targets`.
    """

    @abstractmethod
    def predict_mixture(self, X):
        """Return the mixtures of the targets.

        Parameters
        ----------
        X : ndarray of shape (n_samples, n_context)
            Contexts.

        Returns
        -------
        mixture : Mixture
            One for each row, over the targets.
        """


class Fit(NamedTuple):
    """A fitted conditional density and what was learned on the way.

    Parameters
    ----------
    model : Conditional
        The density.

    held_out : ndarray of shape (n_samples,) or None
        Log-density of each training row by models that have not seen it; NaN
        where there is none.

    info : dict
        Further results, such as ``n_iter`` or ``loss_curve``.

    trouble : str
        What a user should know, in sentences; empty if there is nothing.
    """

    model: Conditional
    held_out: Any = None
    info: Any = {}
    trouble: str = ""


@dataclass(frozen=True)
class JointConditional(Conditional):
    r"""The conditional of a joint mixture, in closed form.

    .. math:: p(y | x) = p(x, y) / p(x)

    Parameters
    ----------
    mixture : Mixture
        Over contexts and targets, in this order.

    n_context : int
        Number of context features.
    """

    mixture: Mixture
    n_context: int
    n_targets: int = field(init=False)

    def __post_init__(self):
        n_targets = self.mixture.n_features - self.n_context
        object.__setattr__(self, "n_targets", n_targets)

    def predict_mixture(self, X):
        missing = np.isnan(X)
        if not missing.any():
            return self.mixture.condition(range(self.n_context), X)
        return self._given_observed(X)

    def _given_observed(self, X):
        """Condition each row on what it shows: missing entries are integrated out."""
        n, k, d = len(X), self.mixture.n_components, self.n_targets
        weights, means = np.empty((n, k)), np.empty((n, k, d))
        covariances = np.empty((n, k, d, d))
        targets = list(range(self.n_context, self.mixture.n_features))
        for rows, observed in patterns(X):
            seen = np.flatnonzero(observed)
            part = self.mixture.marginal([*seen, *targets])
            if len(seen):
                part = part.condition(range(len(seen)), X[np.ix_(rows, seen)])
            weights[rows], means[rows] = part.weights, part.means
            dense = COVARIANCE_TYPES[part.covariance_type].dense
            covariances[rows] = dense(part.covariances, k, d)
        return Mixture(weights, means, covariances)


def conditional_log_prob(mixture, rows, n_context):
    """Compute ``log p(y | x)`` of joint rows under a joint mixture.

    Parameters
    ----------
    mixture : Mixture
        Over contexts and targets.

    rows : ndarray of shape (n_samples, n_context + n_targets)
        Rows; NaN means missing.

    n_context : int
        Number of context features.

    Returns
    -------
    log_prob : ndarray of shape (n_samples,)
        In nats.
    """
    context = slice(0, n_context)
    marginal = mixture.marginal(context)
    return mixture.log_prob(rows, missing="marginal") - marginal.log_prob(
        rows[:, context], missing="marginal"
    )
