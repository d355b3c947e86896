"""What a network of centres is trained on. Imports torch: import it late."""

import numpy as np
import torch

from skgmje._backend import logsumexp
from skgmje._net import NonFiniteLossError
from skgmje.costs import COSTS, optimal_weights
from skgmje.gaussian import gaussian_log_gram, grams

# Steps in which the variance falls.
_N_STAGES = 20


class Objective:
    """The cost of a mixture on a batch of weighted rows, at a falling variance.

    Parameters
    ----------
    cost : str or callable
        Key of :data:`EVALUATIONS`, or a function of
        :class:`skgmje.gaussian.Grams`.

    bumps : Bumps
        The variances, and what is learned.
    """

    def __init__(self, cost, bumps):
        self.cost = cost
        self.evaluate = _user_cost(cost) if callable(cost) else EVALUATIONS[cost]
        self.remedy = (
            f"Check what cost={cost!r} returns."
            if callable(cost)
            else "Increase bandwidth, or scale the input data."
        )
        self.bumps = bumps
        self.factor = bumps.ratio
        self._last = (None, None, None)

    def set_progress(self, fraction):
        """Cool down geometrically in the first half of the run, in stages.

        Within a stage, what depends on the data alone is computed once.
        """
        stage = np.floor(2 * _N_STAGES * fraction) / _N_STAGES
        self.factor = self.bumps.ratio ** float(max(0.0, 1.0 - stage))

    def __call__(self, mixture, X, sample_weight=None):
        weights = mixture.weights if self.bumps.learn_weights else None
        return self.evaluate(self.grams(mixture, X, sample_weight), weights)

    def model_weights(self, mixture, *rows):
        """Return the weights of the model: learned, equal or in closed form."""
        closed_form = OPTIMAL_WEIGHTS.get(self.cost)
        if closed_form is None:
            return mixture.weights
        return closed_form(self.grams(mixture, *rows))

    def grams(self, mixture, X, sample_weight=None):
        """Return the Gram matrices; what only depends on the rows is shared."""
        model_bandwidth = None
        if self.bumps.learn_variance:
            model_bandwidth = (self.factor * mixture.covariances[0]) ** 0.5
            if not model_bandwidth > 0:
                raise NonFiniteLossError(f"model bandwidth {model_bandwidth:.3g}")
        rows, factor, last = self._last
        if rows is not X or factor != self.factor:
            logs = None if sample_weight is None else sample_weight.log()
            bandwidth = (self.factor * self.bumps.variance) ** 0.5
            last = grams(X, mixture.means, bandwidth, log_data_weights=logs)
        last = last.with_centers(mixture.means, model_bandwidth)
        self._last = (X, self.factor, last)
        return last


def _clipped_optimum(grams):
    """Return the cost's own weights, as far as they are a density's."""
    weights = optimal_weights(grams).clamp(min=0)
    return torch.where(weights.sum() > 0, weights, torch.ones_like(weights))


def _likelihood(grams, weights=None):
    """Compute minus the mean log-likelihood of the rows."""
    log_joint = gaussian_log_gram(grams.X, grams.centers, grams.model_variance)
    log_prob = logsumexp(log_joint + weights.log(), axis=1)
    if grams.log_data_weights is None:
        return -log_prob.mean()
    return -(grams.log_data_weights.exp() * log_prob).sum()


def _user_cost(cost):
    def evaluate(grams, weights=None):
        value = cost(grams)
        if not (torch.is_tensor(value) and value.numel() == 1):
            raise ValueError(
                f"cost={cost!r} must return one number, a tensor made from the "
                f"Grams by torch operations, got {value!r}."
            )
        if grams.centers.requires_grad and not value.requires_grad:
            raise ValueError(
                f"cost={cost!r} returned a tensor without a gradient by the centres. "
                "Make it from log_xy or log_yy of the Grams, without detach."
            )
        return value.reshape(())

    return evaluate


EVALUATIONS = {**COSTS, "likelihood": _likelihood}

# Costs that leave the weights to a closed form.
OPTIMAL_WEIGHTS = {"vector-matrix": _clipped_optimum}
