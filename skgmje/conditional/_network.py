"""Trained mixture density networks as conditional densities, without torch."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from skgmje._backend import as_double, logsumexp
from skgmje.conditional._models import Conditional
from skgmje.gaussian._heads import join_members, perceptrons, split_outputs

# Contexts further out, in standard deviations, are taken as this far.
FARTHEST = 8.0


# Rows whose outputs are computed at a time.
CHUNK_ROWS = 4096


# Of a row: where one member fails worse, what it is pooled with helps as much.
LARGEST_GAIN = 1.0


@dataclass(frozen=True)
class NetworkConditional(Conditional):
    """The trained members of a :class:`MixtureDensityNetwork`, as arrays."""

    weights: tuple
    biases: tuple
    skip: Any
    n_components: int
    n_targets: int
    min_scale: float

    @property
    def n_context(self):
        return self.skip.shape[1]

    def heads(self, X):
        """Evaluate each member."""
        check_complete(X)
        # In single precision the place of a sample in the batch would show.
        layers = [
            tuple(map(as_double, self.weights)),
            tuple(map(as_double, self.biases)),
            as_double(self.skip),
        ]
        context = clip_context(as_double(X))
        starts = range(0, max(1, len(X)), CHUNK_ROWS)
        parts = [perceptrons(*layers, context[i : i + CHUNK_ROWS]) for i in starts]
        outputs = np.concatenate(parts, axis=1)
        return split_outputs(outputs, self.n_components, self.n_targets, self.min_scale)

    def member(self, m):
        """Return one member alone."""
        one = slice(m, m + 1)
        return replace(
            self,
            weights=tuple(weight[one] for weight in self.weights),
            biases=tuple(bias[one] for bias in self.biases),
            skip=self.skip[one],
        )

    def predict_mixture(self, X):
        return join_members(self.heads(X)).mixture()

    def gain(self, X, random_state=None):
        """Estimate how much likelier targets are under all members than under one."""
        Y = self.predict_mixture(X).sample(1, random_state)[0][0]
        log_prob = self.heads(X).log_prob(Y)
        pooled = logsumexp(log_prob, axis=0) - np.log(len(log_prob))
        return float(np.minimum(pooled - log_prob, LARGEST_GAIN).mean())


def check_complete(X):
    """Raise if a context is missing."""
    if np.isnan(X).any():
        raise ValueError(
            "X has missing values, which a network cannot integrate out. Impute "
            "them, or use mixture='prototypes'."
        )


def clip_context(X):
    """Bring far contexts to the edge of what the networks have learned from."""
    return np.clip(X, -FARTHEST, FARTHEST)
