"""A density behind a transformer, and its mass on the image of the map."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from sklearn import get_config
from sklearn.base import BaseEstimator, clone
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.metadata_routing import (
    MetadataRouter,
    MethodMapping,
    process_routing,
)
from sklearn.utils.validation import check_is_fitted, has_fit_parameter

from skgmje._backend import as_generator, block_rows
from skgmje._callbacks import DensityEstimatorMixin, FitTask
from skgmje._interrupt import fit_whole
from skgmje._options import as_asked
from skgmje._sklearn import _fit_context, _safe_indexing
from skgmje._typing import ArrayLike, NDArray, RandomState, Self
from skgmje._validation import (
    as_given,
    check_count,
    check_numbers,
    check_rows,
    check_weights,
    column_numbers,
    like_rows,
    nameless,
)
from skgmje._warnings import warn
from skgmje.compose._bijections import Blocks, Chain, bijection, type_of
from skgmje.compose._bounded_lines import Bounds
from skgmje.compose._bounds import ColumnBounds, as_bounds
from skgmje.compose._image_mass import (
    SMALLEST_MASS,
    check_draws,
    count_draws,
    draw,
    image_mass,
    mixture_or_none,
)
from skgmje.compose._marginal_gaussianizer import MarginalGaussianizer
from skgmje.compose._transformed_mixture import (
    ClosedFormsMixin,
    TransformedMixture,
    fill_given_rest,
    images,
    map_back,
)
from skgmje.mixture._gaussian_mixture import GaussianMixture

# Of so many samples, more than this share that do not come back from their images to
# within this share of a column's spread have lost what tells them apart.
_N_RETURNED, _LOST_SHARE, _LOST_SPREAD = 1000, 0.05, 1e-3


def warn_about_loss(transformer, bijection, X):
    """Warn of columns that a transformer rounds to a few values."""
    X = X[:: -(-len(X) // _N_RETURNED)].astype(np.float64, copy=False)
    with np.errstate(all="ignore"):
        gaps = np.abs(bijection.inverse(bijection.forward(X)[0]) - X)
        spread = X.std(axis=0)
        rounding = 4 * np.finfo(np.float64).eps * np.abs(X).max(axis=0)
        # What is no number does not come back either.
        lost = ~(gaps <= _LOST_SPREAD * spread + rounding)
    share = lost.mean(axis=0)
    j = int(share.argmax())
    if share[j] > _LOST_SHARE:
        warn(
            f"{transformer!r} loses what tells samples apart: of {len(X)} samples "
            f"{share[j]:.0%} do not come back from their images in column {j} (counted "
            f"from 0), whose standard deviation is {spread[j]:.3g} about the mean "
            f"{X[:, j].mean():.3g}. The density means little there. Center and scale "
            "first, for example make_pipeline(StandardScaler(), ...).",
        )


def check_density(density, given, weight=None, *, takes_pipelines=False):
    """Raise if an estimator, which is given so, cannot be fitted as a density."""
    if not callable(getattr(density, "score_samples", None)):
        raise TypeError(
            f"{given} has no method score_samples. Give an estimator of a density, for "
            "example GaussianMixture()."
        )
    is_chain = isinstance(density, Pipeline) and len(density.steps) > 1
    if is_chain and not takes_pipelines:
        raise TypeError(
            f"{given} is a Pipeline, which drops the Jacobian of its transformers. "
            "Move them to transformer of skgmje.TransformedDensity, and let its last "
            "step be density."
        )
    if weight is not None and not has_fit_parameter(density, "sample_weight"):
        raise TypeError(
            f"{given} takes no sample_weight. Use one that does, for example "
            "skgmje.GaussianMixture(), or fit without weights."
        )


_LARGEST_SEED = 2**31 - 1


def _as_transformer(transformer):
    """Return the transformer that a parameter stands for."""
    if isinstance(transformer, str) and transformer == "passthrough":
        return FunctionTransformer(feature_names_out="one-to-one")
    if not hasattr(transformer, "fit"):
        raise TypeError(
            f"transformer={transformer!r} is none, and has no log-determinant. Give an "
            "object such as StandardScaler(), or 'passthrough'."
        )
    return transformer


def _takes_bounds(transformer):
    """Return whether a transformer has bounds of its own."""
    return "bounds" in transformer.get_params(deep=False)


class TransformedDensity(ClosedFormsMixin, DensityEstimatorMixin, BaseEstimator):
    r"""Density of the samples, fitted on what a transformer makes of them.

    A :class:`~sklearn.pipeline.Pipeline` of a transformer T and a density q scores
    a sample by q(T(x)), which is no density of x: its unit is that of T(x). Here the
    Jacobian is counted, so that scores compare between transformers, and with none.

    .. math:: \log p(x) = \log q(T(x)) + \log |\det T'(x)| - \log m, \qquad
        m = \int_{T(\mathbb{R}^d)} q(z)\, dz

    The mass m of the transformer's image is below one where q reaches beyond it. Where
    T has no inverse, p is zero and its logarithm -inf.

    Parameters
    ----------
    transformer : transformer
        One of :class:`~sklearn.preprocessing.StandardScaler`, `MinMaxScaler`,
        `MaxAbsScaler`, `RobustScaler`, `PowerTransformer`,
        `QuantileTransformer(output_distribution="normal")`, `FunctionTransformer`
        with an `inverse_func`, :class:`~sklearn.decomposition.PCA` that keeps all
        directions, :class:`MarginalGaussianizer`, :class:`ResidualCoordinates`,
        :class:`~sklearn.compose.ColumnTransformer` of these that keeps all columns,
        and :class:`~sklearn.pipeline.Pipeline` of these. "passthrough" changes
        nothing.

    density : estimator
        Any density with ``fit`` and ``score_samples``, ours or scikit-learn's. Of a
        data frame it gets a frame, with the names that the transformer gives.

    log_det : callable or dict, default=None
        What a `FunctionTransformer` does not tell: a function that takes samples, as
        an array, and returns :math:`\log |\det T'(x)|` of each. If there are
        several, a dict from their ``func`` to such functions.

    bounds : sequence or dict, default=None
        Bounds of the columns: for each a pair (low, high), in which None stands for no
        bound, or None for neither; or a dict of those that have bounds, by name, or by
        number of columns without names. Before the transformer, columns are mapped to
        the whole line: by the logarithm of the distance to a bound, and by normal
        scores of the share of the way between two, both standardized. A transformer
        that has a parameter `bounds`, such as :class:`MarginalGaussianizer`, gets them
        instead. Scores are of the columns as they are, -inf on the bounds and outside;
        samples are inside.

    Attributes
    ----------
    transformer_ : transformer
        The fitted transformer.

    bounds_ : list of (float, float)
        Lower and upper bound of each column, None for no bound; None without `bounds`.

    bounds_units_ : ndarray of shape (n_features, 2)
        Mean and standard deviation that images of columns with bounds have been
        shifted by and divided by; None if the transformer takes the bounds.

    density_ : estimator
        The fitted density, of transformed samples.

    image_mass_, image_mass_error_ : float
        The mass m of the image, and its standard error; 0 if it is exact.

    n_features_in_, feature_names_in_ : int and ndarray of str
        Number and names of the features seen during :term:`fit`; the latter if all
        names are strings.

    See Also
    --------
    GaussianMixtureCopula : Normal scores of each column, and a mixture of them.
    skgmje.mixture.GaussianMixture : A density to transform.
    sklearn.compose.TransformedTargetRegressor : Transforms the target of a regressor.

    Notes
    -----
    The image is the whole space, and m = 1, for scalers, PCA and this library's
    transformers. It has bounds for

    * `PowerTransformer`: Yeo-Johnson with :math:`\lambda` outside [0, 2] and Box-Cox
      with :math:`\lambda \ne 0`. Box-Cox gives samples that are not positive the score
      -inf.
    * `QuantileTransformer`: it is flat outside the samples to fit, and within 1e-7 of
      their ends, so that samples beyond have the score -inf: held-out ones, and those
      that its `subsample` left out. The ends themselves have the limit from inside.
      Tied quantiles leave gaps in its image.
    * `FunctionTransformer`: a point is in the image if `func` takes it back from
      where `inverse_func` puts it, and the score is -inf where `func` or `log_det`
      is not finite.

    m is computed in closed form if `density` is a Gaussian mixture and only one
    column has bounds, or its covariances are diagonal or spherical, and no step of a
    pipeline comes after the bounds; for other mixtures by eight scrambled sets of
    8192 Sobol points, always the same; for other densities by 65536 of their
    samples.

    References
    ----------
    .. [1] I.-K. Yeo and R. A. Johnson, "A new family of power transformations to
       improve normality or symmetry", 2000.

    Examples
    --------
    The scales, of 1000 and 0.01, count:

    >>> import numpy as np
    >>> from sklearn.preprocessing import StandardScaler
    >>> from skgmje import GaussianMixture, TransformedDensity
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(500, 2)) * [1000.0, 0.01]
    >>> density = GaussianMixture(reg_covar=0)
    >>> round(TransformedDensity(StandardScaler(), density).fit(X).score(X), 2)
    -5.09
    >>> round(density.fit(X).score(X), 2)
    -5.09

    A function, with the logarithm of its derivative:

    >>> from sklearn.preprocessing import FunctionTransformer
    >>> log_normal = TransformedDensity(
    ...     FunctionTransformer(np.log, inverse_func=np.exp),
    ...     GaussianMixture(),
    ...     log_det=lambda X: -np.log(X).sum(axis=1),
    ... ).fit(np.exp(rng.normal(size=(500, 1))))
    >>> log_normal.score_samples([[1.0], [-1.0]]).round(2)
    array([-0.93,  -inf])
    """

    transformer_: Any
    bounds_: list[Any]
    bounds_units_: NDArray[Any]
    density_: Any
    image_mass_: float
    image_mass_error_: float

    _parameter_constraints: dict = {
        "transformer": "no_validation",
        "density": "no_validation",
        "log_det": [callable, dict, None],
        "bounds": [list, tuple, Mapping, np.ndarray, None],
    }

    def __init__(
        self,
        transformer: Any,
        density: Any,
        *,
        log_det: Callable[..., Any] | dict[str, Any] | None = None,
        bounds: Any = None,
    ) -> None:
        self.transformer = transformer
        self.density = density
        self.log_det = log_det
        self.bounds = bounds

    def get_metadata_routing(self) -> Any:
        """Tell which parts ask for `sample_weight` in ``fit``.

        Returns
        -------
        routing : MetadataRouter
            Requests of the transformer and of the density.
        """
        fit = MethodMapping().add(caller="fit", callee="fit")
        router = MetadataRouter(owner=type(self).__name__).add_self_request(self)
        transformer, density = self._parts()
        router.add(transformer=transformer, method_mapping=fit)
        return router.add(density=density, method_mapping=fit)

    def _parts(self):
        """Return the transformer and the density that are to be fitted."""
        return _as_transformer(self.transformer), self.density

    # What files leave out, because it follows from the rest.
    _derived = ("_bijection",)

    # Whether parts ask for weights themselves.
    _routes = True

    @classmethod
    def from_fitted(
        cls,
        transformer: Any,
        density: Any,
        *,
        bounds: Any = None,
        bounds_units: ArrayLike | None = None,
    ) -> TransformedDensity:
        """Return a fitted estimator of parts that are fitted already.

        Parameters
        ----------
        transformer : fitted transformer
            Any of those that the class takes, but with a `FunctionTransformer` of a
            function.

        density : fitted estimator
            Density of its image.

        bounds : sequence or dict, default=None
            Bounds of the columns, such as the `bounds_` of another estimator; None for
            those of the transformer, if it has some.

        bounds_units : array-like of shape (n_features, 2), default=None
            The `bounds_units_` of an estimator that the parts are of; None takes images
            as they are.

        Returns
        -------
        estimator : TransformedDensity
            Ready to score and sample.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If a part has not been fitted.

        ValueError
            If bounds are none of the columns, or other than the transformer's.
        """
        estimator = TransformedDensity(transformer, density)
        check_is_fitted(density)
        first = density if isinstance(transformer, str) else transformer
        check_is_fitted(first)
        estimator.n_features_in_ = first.n_features_in_
        if hasattr(first, "feature_names_in_"):
            estimator.feature_names_in_ = first.feature_names_in_
        estimator.transformer_ = _as_transformer(transformer)
        estimator.density_ = density
        estimator._take_bounds(bounds, bounds_units)
        estimator._bijection = estimator._as_bijection()
        estimator._measure()
        return estimator

    def _take_bounds(self, bounds, units):
        """Store bounds that fitted parts have, or are said to have."""
        n, names = self.n_features_in_, getattr(self, "feature_names_in_", None)
        own = getattr(self.transformer_, "bounds_", None)
        self.bounds_ = own if bounds is None else as_bounds(bounds, n, names)
        if not _takes_bounds(self.transformer_):
            self.bounds = bounds
        elif self.bounds_ != own:
            raise ValueError(
                f"bounds={bounds!r} are not those of {self.transformer_!r}, {own}. "
                "Leave them out."
            )
        self.bounds_units_ = None
        if units is not None:
            units = self.bounds_units_ = check_numbers(units, "bounds_units")
            if units.shape != (n, 2) or (units[:, 1] <= 0).any():
                raise ValueError(
                    f"bounds_units={units.tolist()} must be a mean and a positive "
                    f"standard deviation for each of {n} columns."
                )

    # Both parts validate their own parameters.
    @_fit_context(prefer_skip_nested_validation=False)
    def fit(
        self, X: ArrayLike, y: Any = None, sample_weight: ArrayLike | None = None
    ) -> Self:
        """Fit the transformer, and the density on what it makes of the samples.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Training data.

        y : Ignored
            Not used, present for API consistency by convention.

        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the samples, for the density; also for the transformer if its
            ``fit`` takes them, as that of `StandardScaler` does. Others see all samples
            alike, with bounds those of positive weight. With scikit-learn's metadata
            routing, both get them if they request them.

        Returns
        -------
        self : TransformedDensity
            The fitted estimator.

        Raises
        ------
        TypeError
            If the log-determinant of the transformer is not known, or the density
            has no ``score_samples``, is a pipeline, or takes no `sample_weight`.

        ValueError
            If the transformer drops columns, is flat, or has no image of a sample; if
            the density gives its image less than a millionth; or if bounds are no
            bounds of the columns, are those of a transformer too, are so far that
            rounding leaves nothing of the samples, or a sample is not inside of them.
        """
        with FitTask(self, X, y, sample_weight, n_steps=1) as task:
            rows = check_rows(self, X, reset=True, min_samples=2)
            weight = check_weights(sample_weight, rows)
            transformer, density = self._parts()
            type_of(transformer)
            bounds = ColumnBounds.asked(self, rows, weight)
            given, numbers = as_given(self, X, rows), np.arange(len(rows))
            # What does not count may be outside of bounds, and have no image.
            if bounds is not None and weight is not None and not weight.all():
                numbers = np.flatnonzero(weight)
                given = _safe_indexing(given, numbers)
                rows, weight = rows[numbers], weight[numbers]
            for_transformer, for_density = self._route(transformer, density, weight)
            transformer, density = clone(transformer), clone(density)
            given = self._without_bounds(bounds, transformer, given, rows, weight)
            with np.errstate(all="ignore"):
                self.transformer_ = transformer.fit(given, **for_transformer)
                self._bijection = self._as_bijection(self.log_det)
                Z, _ = self._bijection.forward(rows, training=True)
            known = np.isfinite(Z).all(axis=1)
            if not known.all():
                raise ValueError(
                    f"Sample {numbers[known.argmin()]} of X, one of {np.sum(~known)}, "
                    f"has no finite image under {transformer!r}. Drop such samples, or "
                    "change the transformer."
                )
            warn_about_loss(transformer, self._bijection, rows)
            Z = self._image_like(given, Z)
            with task.part(density, "fit-density"):
                self.density_ = task.learn(object, fit_whole, density, Z, **for_density)
            task.end(self._measure)
        return self

    def _without_bounds(self, bounds, transformer, X, rows, weight):
        """Return samples, an array or a frame, as the transformer takes them."""
        self.bounds_, self.bounds_units_ = bounds and bounds.pairs, None
        if bounds is None:
            return X
        if not _takes_bounds(transformer):
            lines = Bounds.fit(bounds, rows, weight)
            self.bounds_units_ = lines.units
            return like_rows(lines.forward(rows)[0], X)
        if transformer.bounds is not None:
            raise ValueError(
                f"bounds={self.bounds!r} are given beside those of {transformer!r}. "
                "Give them once, to TransformedDensity or to its transformer."
            )
        transformer.set_params(bounds=self.bounds_)
        return X

    def _as_bijection(self, log_det=None):
        """Return the map of bounds and transformer."""
        map_ = bijection(self.transformer_, log_det)
        bounds = ColumnBounds.fitted(self)
        if bounds is None or _takes_bounds(self.transformer_):
            return map_
        # Files of before have no units.
        return Chain([Bounds(bounds, getattr(self, "bounds_units_", None)), map_])

    def _image_like(self, X, Z):
        """Return images as a frame with the transformer's names, if `X` is a frame."""
        if isinstance(X, np.ndarray):
            return Z
        try:
            names = self.transformer_.get_feature_names_out(self.feature_names_in_)
            return like_rows(Z, X, names)
        except (AttributeError, ValueError):
            # It names no columns, or some alike.
            return Z

    def _route(self, transformer, density, weight):
        """Return what the ``fit`` of transformer and density are passed, two dicts."""
        is_routed = self._routes and get_config()["enable_metadata_routing"]
        given = f"density={density!r}"
        check_density(density, given, None if is_routed else weight)
        if weight is None:
            return {}, {}
        if is_routed:
            routed = process_routing(self, "fit", sample_weight=weight)
            return routed.transformer.fit, routed.density.fit
        weights = {"sample_weight": weight}
        takes = has_fit_parameter(transformer, "sample_weight")
        return weights if takes else {}, weights

    def __getstate__(self):
        # Functions of SciPy, which files of skops would have to trust.
        state = super().__getstate__()
        return {k: v for k, v in state.items() if k not in self._derived}

    def __setstate__(self, state):
        super().__setstate__(state)
        if "transformer_" in state:
            # Files of before have no `_asked`.
            log_det = getattr(self, "_asked", self).log_det
            self._bijection = self._as_bijection(log_det)

    def _rebuild(self):
        """Try what a file says."""
        with nameless():
            self.score_samples(np.zeros((1, self.n_features_in_)))

    def _measure(self):
        """Store the mass of the image, or raise if next to nothing is in it."""
        mass = image_mass(self.density_, self._bijection, self.n_features_in_)
        if mass.value < SMALLEST_MASS:
            raise ValueError(
                f"The density {self.density_!r} gives the image of "
                f"{self.transformer_!r} only the mass {mass.value:.2g}. Use a density "
                "that fits its samples, or a transformer onto the whole space."
            )
        self._asked = as_asked(self)
        self.image_mass_, self.image_mass_error_ = mass

    def score_samples(self, X: ArrayLike) -> NDArray[Any]:
        check_is_fitted(self)
        rows = check_rows(self, X, reset=False)
        Z, log_det = images(self._bijection, rows)
        log_prob = np.full(len(rows), -np.inf, rows.dtype)
        inside = log_det > -np.inf
        if inside.any():
            Z = Z[inside]
            # One that has seen arrays knows no names of columns.
            knows_names = hasattr(self.density_, "feature_names_in_")
            if knows_names or not hasattr(self.density_, "n_features_in_"):
                Z = self._image_like(as_given(self, X, rows), Z)
            scores = self.density_.score_samples(Z)
            log_prob[inside] = scores + (log_det[inside] - np.log(self.image_mass_))
        return log_prob

    def sample(
        self, n_samples: int = 1, random_state: RandomState = None
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        check_is_fitted(self)
        check_count(n_samples=n_samples)
        generator = as_generator(random_state)
        rows, labels, missing, n_drawn = [], [], n_samples, 0
        while missing > 0:
            n_draws = count_draws(n_samples, missing, n_drawn, self.image_mass_)
            check_draws(n_samples, missing / n_draws)
            seed = int(generator.integers(_LARGEST_SEED))
            most = max(missing, block_rows(self.n_features_in_))
            size = min(int(n_draws), most)
            Z, y = draw(self.density_, size, seed)
            X = map_back(self._bijection, Z)
            kept = np.flatnonzero(np.isfinite(X).all(axis=1))
            if len(kept) > missing:
                # Draws may come in the order of their components.
                kept = np.sort(generator.choice(kept, missing, replace=False))
            rows.append(X[kept])
            labels.append(y[kept])
            missing, n_drawn = missing - len(kept), n_drawn + size
        return np.concatenate(rows), np.concatenate(labels)

    def marginal(self, indices: int | slice | str | Sequence[int]) -> Any:
        return self._joint().marginal(column_numbers(self, indices))

    def condition(
        self, indices: int | slice | str | Sequence[int], values: ArrayLike
    ) -> Any:
        return self._joint().condition(column_numbers(self, indices, values), values)

    def impute(self, X: ArrayLike) -> Any:
        """Replace missing entries by their expectation given the others.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The samples; NaN means missing. One without any value becomes the mean of
            the density.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features)
            A copy without NaN. Expectations are those of the columns as they are, not
            images of those of transformed columns.

        Raises
        ------
        TypeError
            As :meth:`condition`.

        ValueError
            If the values of a sample are outside of the bounds, or have no density.
        """
        joint = self._joint()
        X = check_rows(self, X, reset=False, allow_nan=True)
        bounds = ColumnBounds.fitted(self)
        if bounds is not None:
            bounds.check(X)
        return fill_given_rest(X, joint, joint._condition, lambda given: given.mean)

    def _joint(self):
        """Return the density as a value, whose columns have the order of samples."""
        check_is_fitted(self)
        mixture = mixture_or_none(self.density_)
        if mixture is None:
            raise TypeError(
                f"{self.density_!r} is no Gaussian mixture, so that marginals and "
                "conditionals have no closed form. By Monte Carlo: draw with "
                "sample(n_samples), and keep the samples that are close to the "
                "condition. Or use one that is, such as GaussianMixture()."
            )
        columns = [*range(self.n_features_in_)]
        whole = Blocks([(columns, np.array(columns), self._bijection)])
        mixture = mixture.marginal(whole.places(columns))
        map_ = whole.select(columns)
        return TransformedMixture(mixture, map_, len(columns), self.image_mass_)


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
