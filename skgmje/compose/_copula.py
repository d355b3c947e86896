"""A Gaussian mixture of the normal scores of columns."""

from __future__ import annotations

from typing import Any

from sklearn.base import BaseEstimator

from skgmje._typing import RandomState
from skgmje.compose._marginal_gaussianizer import MarginalGaussianizer
from skgmje.compose._transformed import TransformedDensity
from skgmje.mixture._gaussian_mixture import GaussianMixture


class GaussianMixtureCopula(TransformedDensity):
    r"""Gaussian mixture of the normal scores of each column.

    .. math:: p(x) = q(z_1, \dots, z_d) \prod_j \frac{f_j(x_j)}{\phi(z_j)}, \qquad
        z_j = \Phi^{-1}(F_j(x_j))

    The distribution function :math:`F_j` of each column is that of
    :class:`MarginalGaussianizer`, whatever its shape, and the Gaussian mixture q says
    how columns depend on each other. With one component it is the Gaussian copula [1]_,
    in which all dependence is linear in the scores; with several it may be any [2]_.
    Conditionals and marginals have closed forms. It is a :class:`TransformedDensity`
    of these two parts.

    Parameters
    ----------
    density : estimator or 'auto', default='auto'
        Density q of the scores. 'auto' is a :class:`~skgmje.mixture.GaussianMixture`
        whose number of components, covariance type and shrinkage are 'auto', too;
        ``GaussianMixture()`` makes a Gaussian copula.

    bounds : sequence or dict, default=None
        Bounds of the columns, as :class:`TransformedDensity` takes them.

    random_state : int, RandomState instance or None, default=None
        Controls the starts of ``density="auto"``.

    Attributes
    ----------
    transformer_ : MarginalGaussianizer
        The columns' distribution functions; with bounds, those of their images.

    density_ : estimator
        The fitted density of the scores.

    bounds_ : list of (float, float)
        As that of :class:`TransformedDensity`.

    image_mass_, image_mass_error_ : float
        Always 1 and 0: the scores fill the whole space.

    n_features_in_, feature_names_in_ : int and ndarray of str
        Number and names of the features seen during :term:`fit`; the latter if all
        names are strings.

    See Also
    --------
    TransformedDensity : The same with any transformer.
    skgmje.ensemble.StackingDensity : Averages such densities with others.

    References
    ----------
    .. [1] A. Sklar, "Fonctions de répartition à n dimensions et leurs marges", 1959.
    .. [2] A. Tewari, M. J. Giering and A. Raghunathan, "Parametric characterization of
       multimodal distributions with non-Gaussian modes", ICDM Workshops, 2011.

    Examples
    --------
    >>> import numpy as np
    >>> from skgmje import GaussianMixture, GaussianMixtureCopula
    >>> rng = np.random.default_rng(0)
    >>> X = np.exp(rng.normal(size=(400, 1)) + 0.5 * rng.normal(size=(400, 2)))
    >>> copula = GaussianMixtureCopula(bounds=[(0, None), (0, None)], random_state=0)
    >>> copula.fit(X).score(X) > GaussianMixture(3, random_state=0).fit(X).score(X)
    True

    What the second column is likely to be where the first is 3:

    >>> draws, _ = copula.condition([0], [3.0]).sample(1000, random_state=0)
    >>> bool((draws > 0).all()), bool(2 < np.median(draws) < 4)
    (True, True)
    """

    transformer_: MarginalGaussianizer

    _parameter_constraints: dict = {
        "density": "no_validation",
        "bounds": TransformedDensity._parameter_constraints["bounds"],
        "random_state": ["random_state"],
    }

    # The columns' map is no parameter, and takes weights without being asked.
    log_det = None
    _routes = False
    get_metadata_routing = BaseEstimator.get_metadata_routing

    def __init__(
        self,
        density: Any = "auto",
        *,
        bounds: Any = None,
        random_state: RandomState = None,
    ) -> None:
        self.density = density
        self.bounds = bounds
        self.random_state = random_state

    def _parts(self):
        density = self.density
        if isinstance(density, str) and density == "auto":
            auto = {"covariance_type": "auto", "shrinkage": "auto"}
            density = GaussianMixture("auto", **auto, random_state=self.random_state)
        return MarginalGaussianizer(), density
