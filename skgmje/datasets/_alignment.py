"""Alignment tasks with a known conditional density."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np
from scipy.special import i0e
from sklearn.utils.validation import check_consistent_length

from skgmje._backend import LOG_2PI, as_generator, logsumexp
from skgmje._settings import settle
from skgmje._typing import ArrayLike, NDArray, RandomState
from skgmje._validation import check_count, check_numbers
from skgmje.gaussian._mixture import Mixture


@settle
class AlignmentTask(ABC):
    """Contexts and targets whose conditional density is known.

    An instance holds nothing. To add a task, write a final subclass and one line
    in :data:`ALIGNMENT_TASKS`; the tests over that dictionary do the rest.

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

    def sample(
        self, n_samples: int, random_state: RandomState = None
    ) -> tuple[NDArray[Any], NDArray[Any]]:
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
        check_count(n_samples=n_samples)
        return self._draw(n_samples, as_generator(random_state))

    def log_prob(self, X: ArrayLike, y: ArrayLike) -> NDArray[Any]:
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
        Y = check_numbers(y, "y", ensure_2d=False)
        check_consistent_length(X, Y)
        Y = Y.reshape(len(Y), -1)
        if Y.shape[1] != self.n_targets:
            raise ValueError(
                f"y has {Y.shape[1]} columns; the task has {self.n_targets} targets."
            )
        return self._log_prob(X, Y)

    def _check_contexts(self, X):
        X = check_numbers(X, "X")
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
    def _mixture(self, X):
        """Return the mixtures of the targets for checked contexts."""

    def predict_mixture(self, X: ArrayLike) -> Mixture:
        """Return the true conditional density of each sample."""
        return self._mixture(self._check_contexts(X))

    def _draw(self, n_samples, generator):
        shape = n_samples, self.n_context
        if np.isinf(self.domain).any():
            X = generator.standard_normal(shape)
        else:
            X = generator.uniform(*self.domain, shape)
        return X, self._mixture(X).sample(1, generator)[0][0]

    def _log_prob(self, X, Y):
        return self._mixture(X).log_prob(Y)


# Standard deviation of the noise of most tasks.
NOISE = 0.05

# Samples of a table of nodes that are held at a time.
BLOCK_ROWS = 1024


class Sqrt(MixtureTask):
    r"""Two branches, :math:`y = \pm \sqrt x`, which the mean lies between."""

    domain = (0.0, 1.0)

    def _mixture(self, X):
        root = np.sqrt(X)
        return _branches([0.5, 0.5], [root, -root], NOISE)


class Cross(MixtureTask):
    r"""Two branches that cross, :math:`y = \pm x`."""

    domain = (-1.0, 1.0)

    def _mixture(self, X):
        return _branches([0.5, 0.5], [X, -X], NOISE)


class Branch(MixtureTask):
    r"""Three branches of unequal weight, with noise that grows."""

    domain = (-1.0, 1.0)

    def _mixture(self, X):
        wave = np.sin(3 * X)
        return _branches([0.5, 0.3, 0.2], [wave, wave + 2, -1 - X], 0.08 + 0.05 * X)


class Heteroscedastic(MixtureTask):
    r"""One branch, :math:`y = 0.8 x + 0.2 e^{x / 2} \epsilon`: the control."""

    def _mixture(self, X):
        return _branches([1.0], [0.8 * X], 0.2 * np.exp(0.5 * X))


class High5(MixtureTask):
    r"""Five contexts, two targets, two branches :math:`\pm (1 + \tanh(W x))`."""

    n_context = 5
    n_targets = 2

    def _mixture(self, X):
        W = np.array([[1, 0.5, 0, -0.5, 0], [0, 1, -1, 0, 0.5]])
        branch = 1 + np.tanh(X @ W.T)
        return _branches([0.5, 0.5], [branch, -branch], 2 * NOISE)


class Bishop(AlignmentTask):
    r"""The inverse of :math:`x = y + 0.3 \sin(2 \pi y)`: one or three branches."""

    def _curve(self, y):
        return y + 0.3 * np.sin(2 * np.pi * y)

    def _draw(self, n_samples, generator):
        Y = generator.random((n_samples, 1))
        return self._curve(Y) + NOISE * generator.standard_normal(Y.shape), Y

    def _log_prob(self, X, Y):
        nodes, weights = np.polynomial.legendre.leggauss(400)
        curve = self._curve(0.5 * (nodes + 1))
        total = _log_mean_density(X, curve, np.log(0.5 * weights))
        inside = (Y >= 0) & (Y <= 1)
        log_prob = _log_normal(X - self._curve(Y)) - total[:, None]
        return np.where(inside, log_prob, -np.inf)[:, 0]


class Ring(AlignmentTask):
    """A noisy circle: two branches, or one, or nearly none."""

    def _draw(self, n_samples, generator):
        angle = 2 * np.pi * generator.random(n_samples)
        points = np.stack([np.cos(angle), np.sin(angle)], axis=1)
        points += NOISE * generator.standard_normal(points.shape)
        return points[:, :1], points[:, 1:]

    def _log_prob(self, X, Y):
        radius = np.hypot(X, Y)[:, 0]
        joint = np.log(i0e(radius / NOISE**2)) + _log_normal(radius - 1)
        joint -= 0.5 * LOG_2PI + np.log(NOISE)
        cosines = np.cos(2 * np.pi * (np.arange(1024) + 0.5) / 1024)
        return joint - _log_mean_density(X, cosines, -np.log(1024))


def _branches(weights, means, scale):
    """Return mixtures of branches (n, n_targets) with one scale, or one per sample."""
    means = np.stack(means, axis=1)
    shape = (len(means), len(weights))
    variances = np.broadcast_to(np.asarray(scale) ** 2, shape)
    return Mixture(weights, means, variances, "spherical")


def _log_normal(diff):
    """Return the log-density of the noise."""
    return -0.5 * (diff / NOISE) ** 2 - np.log(NOISE) - 0.5 * LOG_2PI


def _log_mean_density(X, centers, log_weights):
    """Compute each sample's log-density under weighted Gaussians around `centers`."""
    blocks = [
        logsumexp(log_weights + _log_normal(X[i : i + BLOCK_ROWS] - centers), axis=-1)
        for i in range(0, len(X), BLOCK_ROWS)
    ]
    return np.concatenate(blocks)


def make_alignment(
    name: str = "sqrt", n_samples: int = 1000, *, random_state: RandomState = None
) -> tuple[NDArray[Any], NDArray[Any]]:
    r"""Draw contexts and targets of a synthetic task with known truth.

    ================ ===================================================== =======
    name             targets given contexts                                columns
    ================ ===================================================== =======
    bishop           the branches of :math:`x = y + 0.3 \sin 2 \pi y`      1, 1
    branch           three branches of unequal weight and noise            1, 1
    cross            :math:`y = \pm x`                                     1, 1
    heteroscedastic  one branch, with noise that grows                     1, 1
    high5            :math:`y = \pm (1 + \tanh W x)`                       5, 2
    ring             a circle with noise                                   1, 1
    sqrt             :math:`y = \pm \sqrt x`                               1, 1
    ================ ===================================================== =======

    Where there are branches the conditional mean lies between them, where no target
    is; a model that predicts densities finds them. 'heteroscedastic' is the control.

    Parameters
    ----------
    name : str, default='sqrt'
        Key of :data:`ALIGNMENT_TASKS`, where the true densities are.

    n_samples : int, default=1000
        Number of pairs.

    random_state : int, numpy.random.Generator, RandomState or None
        Source of randomness.

    Returns
    -------
    X : ndarray of shape (n_samples, n_context)
        Contexts.

    Y : ndarray of shape (n_samples, n_targets)
        Targets.

    Raises
    ------
    ValueError
        If there is no such task or `n_samples` is no positive integer.

    References
    ----------
    .. [1] C. M. Bishop, "Mixture density networks", Aston University, 1994 (the
       task 'bishop').

    Examples
    --------
    >>> from skgmje.datasets import ALIGNMENT_TASKS, make_alignment
    >>> X, Y = make_alignment("ring", n_samples=200, random_state=0)
    >>> X.shape, Y.shape
    ((200, 1), (200, 1))
    >>> ALIGNMENT_TASKS["ring"].log_prob(X, Y).shape
    (200,)
    """
    if name not in ALIGNMENT_TASKS:
        raise ValueError(
            f"name={name!r} is no alignment task. Choose one of "
            f"{sorted(ALIGNMENT_TASKS)}."
        )
    return ALIGNMENT_TASKS[name].sample(n_samples, random_state)


ALIGNMENT_TASKS = {
    "bishop": Bishop(),
    "branch": Branch(),
    "cross": Cross(),
    "heteroscedastic": Heteroscedastic(),
    "high5": High5(),
    "ring": Ring(),
    "sqrt": Sqrt(),
}
