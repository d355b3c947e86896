"""What an alignment task must answer; the tasks stand in the file beside."""

from abc import ABC, abstractmethod
from numbers import Integral
from typing import ClassVar

import numpy as np
from sklearn.utils.validation import check_array, check_consistent_length

from skgmje._backend import as_generator


class AlignmentTask(ABC):
    """Contexts and targets whose conditional density is known.

    An instance holds nothing. To add a task, write a final subclass and one line
    in :data:`ALIGNMENT_TASKS`; the tests over that dictionary do the rest.

    See Also
    --------
    make_alignment : Draw from a task by its name.

    Examples
    --------
    >>> from skgmje.datasets import ALIGNMENT_TASKS
    >>> task = ALIGNMENT_TASKS["sqrt"]
    >>> X, Y = task.sample(500, random_state=0)
    >>> X.shape, Y.shape
    ((500, 1), (500, 1))
    >>> bool(task.log_prob(X, Y).mean() > task.log_prob(X, -Y + 0.1).mean())
    True
    >>> task.predict_mixture(X).n_components
    2
    """

    #: Number of context features.
    n_context: ClassVar[int] = 1

    #: Number of target features.
    n_targets: ClassVar[int] = 1

    #: Lowest and highest context for which there are targets.
    domain: ClassVar[tuple] = (-np.inf, np.inf)

    @abstractmethod
    def _draw(self, n_samples, generator):
        """Draw arrays (n, n_context) and (n, n_targets)."""

    @abstractmethod
    def _log_prob(self, X, Y):
        """Compute ``log p(y | x)`` of checked arrays."""

    def sample(self, n_samples, random_state=None):
        """Draw pairs of contexts and targets.

        Parameters
        ----------
        n_samples : int
            Number of pairs.

        random_state : int, numpy.random.Generator, RandomState or None
            Source of randomness.

        Returns
        -------
        X : ndarray of shape (n_samples, n_context)
            Contexts.

        Y : ndarray of shape (n_samples, n_targets)
            Targets.
        """
        if not isinstance(n_samples, Integral) or n_samples < 1:
            raise ValueError(f"n_samples={n_samples!r} must be a positive integer.")
        return self._draw(n_samples, as_generator(random_state))

    def log_prob(self, X, y):
        r"""Compute the true conditional log-density :math:`\log p(y | x)`, in nats.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_context)
            Contexts.

        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            Targets.

        Returns
        -------
        log_prob : ndarray of shape (n_samples,)
            Its mean over samples of the task is the best that any model can reach,
            but for chance; -inf where no target can be.
        """
        X = self._check_contexts(X)
        Y = check_array(y, dtype=np.float64, ensure_2d=False, input_name="y")
        check_consistent_length(X, Y)
        Y = Y.reshape(len(Y), -1)
        if Y.shape[1] != self.n_targets:
            raise ValueError(
                f"y has {Y.shape[1]} columns; the task has {self.n_targets} targets."
            )
        return self._log_prob(X, Y)

    def _check_contexts(self, X):
        X = check_array(X, dtype=np.float64, input_name="X")
        low, high = self.domain
        if X.shape[1] != self.n_context:
            raise ValueError(
                f"X has {X.shape[1]} columns; the task has {self.n_context} contexts."
            )
        if X.min() < low or X.max() > high:
            raise ValueError(
                f"X has entries from {X.min():g} to {X.max():g}; the task is defined "
                f"between {low:g} and {high:g}."
            )
        return X


class MixtureTask(AlignmentTask):
    """A task whose conditional density is a Gaussian mixture."""

    @abstractmethod
    def _contexts(self, n_samples, generator):
        """Draw contexts (n, n_context)."""

    @abstractmethod
    def _mixture(self, X):
        """Return the mixtures of the targets for checked contexts."""

    def predict_mixture(self, X):
        """Return the true conditional density of each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_context)
            Contexts.

        Returns
        -------
        mixture : Mixture
            One for each row, over the targets.
        """
        return self._mixture(self._check_contexts(X))

    def _draw(self, n_samples, generator):
        X = self._contexts(n_samples, generator)
        return X, self._mixture(X).sample(1, generator)[0][0]

    def _log_prob(self, X, Y):
        return self._mixture(X).log_prob(Y)
