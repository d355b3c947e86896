"""Mixtures of Student's t distributions."""

from __future__ import annotations

from numbers import Real
from typing import Any, Literal

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state

from skgmje._callbacks import FitTask
from skgmje._sklearn import Interval, StrOptions, _fit_context
from skgmje._typing import ArrayLike, NDArray, RandomState, Self
from skgmje._validation import TypeOptions, refuse_blocks
from skgmje.em._background import without_noise
from skgmje.em._missing import missing_moments, observed_moments
from skgmje.em._select import draw_start
from skgmje.em._student import FIRST_DOF, LEARNED_DOF, Student, fit_student
from skgmje.gaussian._mixture import Mixture
from skgmje.mixture._base import AMOUNT, AUTO, COUNT, MixtureDensityMixin
from skgmje.mixture._fit_rows import fit_rows, regularisation
from skgmje.mixture._settled import warn_about


class StudentMixture(MixtureDensityMixin, BaseEstimator):
    r"""Mixture of Student's t distributions: clusters with heavy tails.

    .. math:: p(x) = \sum_k w_k\, t_{\nu_k}(x; m_k, \Sigma_k), \qquad
        t_\nu(x; m, \Sigma) = \int N(x; m, \Sigma / u)\,
        \mathrm{Gamma}(u; \nu / 2, \nu / 2)\, du

    A sample far out has a small u, and pulls little at mean and scale. Fitted by EM
    with a free scale of u and a likelihood step for :math:`\nu` [1]_. Of samples with
    missing entries (NaN) the likelihood is that of what is observed: u is expected to
    be :math:`(\nu + d_o) / (\nu + \delta_o)`, of so many features and their squared
    Mahalanobis distance [2]_.

    Parameters
    ----------
    n_components : int, default=1
        Number of components.

    covariance_type : str, default='full'
        Shape of the scale matrices :math:`\Sigma_k`: 'full', 'tied', 'diag',
        'spherical' or 'low-rank'.

    dof : {'shared', 'each'}, float or array-like, default='shared'
        Degrees of freedom :math:`\nu`: learned, one for all components or one for
        each, between 0.5 and 200; or given, of each as (n_components,).

    tol : float, default=1e-4
        Stop when the mean log-likelihood gains less, in nats.

    reg_covar : float or 'auto', default=1e-6
        Added to the diagonal of every scale matrix, in squared units of `X`;
        'auto' is a millionth of each feature's variance.

    max_iter : int, default=200
        Largest number of EM iterations.

    n_init : int, default=1
        Number of starts; the best likelihood is kept.

    shrinkage : float, default=0
        Pseudo-count of the pooled scale matrix, in samples.

    rank : int, default=4
        Number of factors of 'low-rank' matrices, at most n_features.

    random_state : int, RandomState instance or None, default=None
        Controls starts and :meth:`sample`.

    Attributes
    ----------
    n_components_ : int
        Number of components.

    weights_ : ndarray of shape (n_components,)
        Weights of the components.

    means_ : ndarray of shape (n_components, n_features)
        Centers of the components; their means for more than one degree of freedom.

    covariances_ : ndarray or tuple of ndarray
        Scale matrices, in the shape of :class:`GaussianMixture`. The covariance is
        :math:`\nu / (\nu - 2)` times it for more than two degrees of freedom.

    dof_ : ndarray of shape (n_components,)
        Degrees of freedom.

    mixture_ : Mixture
        The density as a mixture of Gaussians, of many widths of each component (30 for
        4 degrees of freedom and 2 features, 87 for 50 features): its logarithm is right
        to 2e-5 but for the last billionth of the tails. :meth:`condition` and
        :meth:`marginal` are those of it; scores and samples are exact.

    converged_ : bool
        Whether the best start converged.

    n_iter_ : int
        Number of iterations of the best start.

    lower_bounds_ : list of float
        Mean log-likelihood before each M-step, in nats.

    n_features_in_, feature_names_in_ : int and ndarray of str
        Number and names of the features seen during :term:`fit`; the latter if all
        names are strings.

    See Also
    --------
    GaussianMixture : Light tails; ``background=True`` for samples of no cluster.

    References
    ----------
    .. [1] D. Peel and G. J. McLachlan, "Robust mixture modelling using the t
       distribution", Statistics and Computing 10, 2000.
    .. [2] C. Liu and D. B. Rubin, "ML estimation of the t distribution using EM and
       its extensions, ECM and ECME", Statistica Sinica 5, 1995.

    Examples
    --------
    >>> import numpy as np
    >>> from skgmje.mixture import StudentMixture
    >>> X = np.random.default_rng(0).standard_t(3, size=(2000, 1))
    >>> mixture = StudentMixture(random_state=0).fit(X)
    >>> bool(2 < mixture.dof_[0] < 4)
    True
    """

    _missing = "marginal"

    dof_: NDArray[Any]
    converged_: bool
    n_iter_: int
    lower_bounds_: list[float]

    _parameter_constraints: dict = {
        "n_components": [COUNT],
        "covariance_type": [TypeOptions(is_free=False)],
        "dof": [
            StrOptions(set(LEARNED_DOF)),
            Interval(Real, 0, None, closed="neither"),
            "array-like",
        ],
        "tol": [AMOUNT],
        "reg_covar": [AMOUNT, AUTO],
        "max_iter": [COUNT],
        "n_init": [COUNT],
        "shrinkage": [AMOUNT],
        "rank": [COUNT],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        n_components: int = 1,
        *,
        covariance_type: Literal[
            "full", "tied", "diag", "spherical", "low-rank"
        ] = "full",
        dof: Literal["shared", "each"] | ArrayLike = "shared",
        tol: float = 1e-4,
        reg_covar: float | Literal["auto"] = 1e-6,
        max_iter: int = 200,
        n_init: int = 1,
        shrinkage: float = 0,
        rank: int = 4,
        random_state: RandomState = None,
    ) -> None:
        self.n_components = n_components
        self.covariance_type = covariance_type
        self.dof = dof
        self.tol = tol
        self.reg_covar = reg_covar
        self.max_iter = max_iter
        self.n_init = n_init
        self.shrinkage = shrinkage
        self.rank = rank
        self.random_state = random_state

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self, X: ArrayLike, y: Any = None, sample_weight: ArrayLike | None = None
    ) -> Self:
        """Fit the mixture.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The samples; NaN means missing. A feature without any value raises
            ValueError, a sample without any is as good as absent.

        y : Ignored
            Not used, present for API consistency by convention.

        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the samples; a weight of 2 counts as two copies.

        Returns
        -------
        self : object
            The fitted estimator.
        """
        n_steps = self.n_init * self.max_iter
        with FitTask(self, X, y, sample_weight, n_steps=n_steps) as task:
            refuse_blocks(self, X)
            X, weight, _ = fit_rows(self, X, sample_weight)
            weight = None if weight is None else weight.astype(np.float64)
            random_state = check_random_state(self.random_state)
            best = self._fit_starts(X, weight, random_state, task)
            task.end(self._store, best)
        warn_about(best, self.n_components, self.tol)
        return self

    def _fit_starts(self, X, weight, random_state, task):
        """Return the likeliest of the fits from all starts."""
        dof, learns = self._asked_dof()
        how = {"reg_covar": regularisation(self.reg_covar, X, weight)}
        how["shrinkage"] = float(self.shrinkage)
        first = {"covariance_type": self.covariance_type, "rank": self.rank, **how}
        # What is far out would have centers of its own, and fill the gaps of others.
        clean = without_noise(X, weight, random_state)
        first["moments"] = missing_moments(X, weight)
        if first["moments"] is not None:
            # What is clean may lack all values of a feature.
            of_clean = observed_moments(X, clean)
            pairs = zip(of_clean, first["moments"], strict=True)
            first["moments"] = [np.where(of_clean[1] > 0, *pair) for pair in pairs]
        best = None
        for _ in range(self.n_init):
            given = X, clean, self.n_components, "kmeans", random_state
            mixture = draw_start(*given, **first)
            n_learned = {"shared": 1, "each": len(mixture.weights)}
            n_learned = n_learned[self.dof] if learns else 0
            start = Student(mixture, dof[: len(mixture.weights)], n_learned)
            found = fit_student(
                X,
                weight,
                start,
                learns,
                tol=self.tol,
                max_iter=self.max_iter,
                callback=lambda n_iter: task.step("iteration"),
                **how,
            )
            if best is None or found.lower_bounds[-1] > best.lower_bounds[-1]:
                best = found
        return best

    def _asked_dof(self):
        """Return degrees of freedom (K,) to begin with, and how they are learned."""
        if isinstance(self.dof, str):
            return np.full(self.n_components, FIRST_DOF), LEARNED_DOF[self.dof]
        dof = np.asarray(self.dof, np.float64)
        if dof.shape not in ((), (self.n_components,)) or not (
            np.isfinite(dof).all() and (dof > 0).all()
        ):
            raise ValueError(
                f"dof={self.dof!r} must be a positive, finite number, or "
                f"n_components={self.n_components} of them, or 'shared' or 'each'."
            )
        return np.broadcast_to(dof, (self.n_components,)).copy(), None

    def _store(self, best):
        density = best.density
        self._set_mixture(best.mixture)
        self.dof_, self._n_learned = density.dof, density.n_learned
        self.converged_, self.n_iter_ = best.converged, best.n_iter
        self.lower_bounds_ = best.lower_bounds

    @property
    def _density(self):
        return Student(self._gaussians, self.dof_, self._n_learned)

    @property
    def mixture_(self) -> Mixture:
        """The density as a mixture of Gaussians of many widths."""
        return self._density.as_gaussians()
