"""A density behind a transformer, and its mass on the image of the map."""

import inspect
from typing import NamedTuple

import numpy as np
from scipy.special import ndtr, ndtri
from scipy.stats import qmc
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

from skgmje._backend import as_generator
from skgmje._bridges import as_mixture
from skgmje._callbacks import DensityEstimatorMixin, FitTask
from skgmje._interrupt import fit_whole
from skgmje._options import as_asked
from skgmje._sklearn import _fit_context
from skgmje._validation import (
    as_given,
    check_count,
    check_rows,
    check_weights,
    like_rows,
    nameless,
)
from skgmje._warnings import warn
from skgmje.compose._bijections import bijection, is_everywhere, type_of
from skgmje.gaussian._covariance import COVARIANCE_TYPES

# Independently scrambled sets of Sobol points; their scatter is the error.
_REPLICATES = 8
_LOG2_POINTS = 13

# Of all or none inside, the standard error is no smaller than one of them.
_N_POINTS = _REPLICATES * 2**_LOG2_POINTS

# Coordinates that Sobol's sequence has.
_MAX_NORMALS = 20_000


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


class Mass(NamedTuple):
    """A probability and its standard error."""

    value: float
    error: float


def mixture_or_none(density):
    """Return a fitted density as a mixture if it is one."""
    try:
        return as_mixture(density)
    except TypeError:
        return None


def image_mass(density, bijection, n_features):
    """Compute the probability of the image of a map under a fitted density."""
    intervals = bijection.intervals(n_features)
    if is_everywhere(intervals):
        return Mass(1.0, 0.0)
    mixture = mixture_or_none(density)
    if mixture is None:
        return _monte_carlo(density, bijection)
    if intervals is not None:
        bounded = [j for j, edges in enumerate(intervals) if not is_everywhere([edges])]
        if len(bounded) == 1 or COVARIANCE_TYPES[mixture.covariance_type].independent:
            boxes = [intervals[j] for j in bounded]
            return Mass(_box_mass(mixture.marginal(bounded), boxes), 0.0)
    return _quasi_monte_carlo(mixture, bijection)


def _box_mass(mixture, boxes):
    """Sum over components the product over columns of normal probabilities."""
    means = mixture.means
    mass = np.ones(mixture.n_components)
    for j, edges in enumerate(boxes):
        column = mixture.marginal([j])
        kind = COVARIANCE_TYPES[column.covariance_type]
        variances = kind.dense(column.covariances, column.n_components, 1)
        scores = (edges[:, :, None] - means[:, j]) / np.sqrt(variances[:, 0, 0])
        # Of a box far above take the upper tails, which are small too.
        flip = np.where(scores[:, 0] > 0, -1.0, 1.0)
        tails = ndtr(flip[:, None] * scores)
        mass = mass * np.abs(tails[:, 1] - tails[:, 0]).sum(axis=0)
    return float(mixture.weights @ mass)


def _quasi_monte_carlo(mixture, bijection):
    """Count Sobol points of the mixture that are in the image."""
    kind = COVARIANCE_TYPES[mixture.covariance_type]
    n_normals = kind.n_normals(mixture.covariances, mixture.n_features)
    if n_normals > _MAX_NORMALS:
        raise ValueError(
            f"The image's mass takes {n_normals} coordinates; at most {_MAX_NORMALS} "
            "can be. Use covariance_type='diag', or a transformer onto the whole space."
        )
    root = kind.root(mixture.covariances)
    levels = np.cumsum(mixture.weights)
    means = np.asarray(mixture.means)
    shares = []
    for generator in np.random.default_rng(0).spawn(_REPLICATES):
        points = qmc.Sobol(n_normals + 1, seed=generator).random_base2(_LOG2_POINTS)
        # Scrambled points may be 0, which no normal number maps to.
        points = np.clip(points, 2.0**-40, 1 - 2.0**-40)
        component = np.searchsorted(levels, points[:, 0] * levels[-1])
        noise = kind.noise(root, component, ndtri(points[:, 1:]))
        shares.append(_share_inside(bijection, means[component] + noise))
    error = np.std(shares, ddof=1) / np.sqrt(_REPLICATES)
    return Mass(float(np.mean(shares)), max(float(error), 1 / _N_POINTS))


def _monte_carlo(density, bijection):
    """Count samples of a density that is no Gaussian mixture."""
    share = _share_inside(bijection, draw(density, _N_POINTS, 0)[0])
    error = float(np.sqrt(share * (1 - share) / _N_POINTS))
    return Mass(share, max(error, 1 / _N_POINTS))


def _share_inside(bijection, Z):
    """Return the share of points that lie in the image."""
    with np.errstate(all="ignore"):
        return float(bijection.contains(Z).mean())


def draw(density, n_samples, seed):
    """Draw from any fitted density, and never from the global random state."""
    method = getattr(density, "sample", None)
    if method is not None and "random_state" in inspect.signature(method).parameters:
        drawn = method(n_samples, random_state=seed)
    else:
        mixture = mixture_or_none(density)
        if mixture is None:
            raise TypeError(
                f"{density!r} has no method sample(n_samples, random_state), which "
                "sampling, and a transformer whose image is not the whole space, need."
            )
        drawn = mixture.sample(n_samples, seed)
    if isinstance(drawn, tuple):
        return drawn
    return drawn, np.zeros(n_samples, np.intp)


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

# Below, samples inside the image are too rare to wait for.
_SMALLEST_MASS = 1e-6


def _as_transformer(transformer):
    """Return the transformer that a parameter stands for."""
    is_word = isinstance(transformer, str) and transformer == "passthrough"
    if not (is_word or hasattr(transformer, "fit")):
        raise TypeError(
            f"transformer={transformer!r} is none, and has no log-determinant. Give an "
            "object such as StandardScaler(), or 'passthrough'."
        )
    if not is_word:
        return transformer
    return FunctionTransformer(feature_names_out="one-to-one")


def _has_seen_arrays(density):
    """Return whether names of columns would be news to a fitted density."""
    return hasattr(density, "n_features_in_") and not hasattr(
        density, "feature_names_in_"
    )


class TransformedDensity(DensityEstimatorMixin, BaseEstimator):
    r"""Density of the samples, fitted on what a transformer makes of them.

    A :class:`~sklearn.pipeline.Pipeline` of a transformer T and a density q scores
    a sample by q(T(x)), which is no density of x: its unit is that of T(x). Here the
    Jacobian is counted, so that scores compare between transformers, and with none.

    .. math:: \log p(x) = \log q(T(x)) + \log |\det T'(x)| - \log m, \qquad
        m = \int_{T(\mathbb{R}^d)} q(z)\, dz

    The mass m of the transformer's image is below one where q reaches beyond it;
    without it p would not integrate to one. Where T has no inverse, p is zero and its
    logarithm -inf.

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

    Attributes
    ----------
    transformer_ : transformer
        The fitted transformer.

    density_ : estimator
        The fitted density, of transformed samples.

    image_mass_ : float
        The mass m of the image.

    image_mass_error_ : float
        Its standard error; 0 if the mass is exact.

    n_features_in_ : int
        Number of features seen during :term:`fit`.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of features seen during :term:`fit`. Defined only when `X`
        has feature names that are all strings.

    See Also
    --------
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

    _parameter_constraints: dict = {
        "transformer": "no_validation",
        "density": "no_validation",
        "log_det": [callable, dict, None],
    }

    def __init__(self, transformer, density, *, log_det=None):
        self.transformer = transformer
        self.density = density
        self.log_det = log_det

    def get_metadata_routing(self):
        """Tell who asks for `sample_weight`: this estimator, or one of its parts.

        Returns
        -------
        routing : MetadataRouter
            Requests of the transformer and of the density for ``fit``.
        """
        fit = MethodMapping().add(caller="fit", callee="fit")
        router = MetadataRouter(owner=type(self).__name__).add_self_request(self)
        router.add(transformer=_as_transformer(self.transformer), method_mapping=fit)
        return router.add(density=self.density, method_mapping=fit)

    # What files leave out, because it follows from the rest.
    _derived = ("_bijection",)

    @classmethod
    def from_fitted(cls, transformer, density):
        """Return a fitted estimator of parts that are fitted already.

        Parameters
        ----------
        transformer : fitted transformer
            Any of those that the class takes, but with a `FunctionTransformer` of a
            function.

        density : fitted estimator
            Density of its image.

        Returns
        -------
        estimator : TransformedDensity
            Ready to score and sample.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If a part has not been fitted.
        """
        estimator = cls(transformer, density)
        check_is_fitted(density)
        first = density if isinstance(transformer, str) else transformer
        check_is_fitted(first)
        estimator.n_features_in_ = first.n_features_in_
        if hasattr(first, "feature_names_in_"):
            estimator.feature_names_in_ = first.feature_names_in_
        estimator.transformer_ = _as_transformer(transformer)
        estimator.density_ = density
        estimator._bijection = bijection(estimator.transformer_)
        mass = image_mass(density, estimator._bijection, estimator.n_features_in_)
        estimator._set_mass(mass)
        return estimator

    # Both parts validate their own parameters.
    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y=None, sample_weight=None):
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
            alike. With scikit-learn's metadata routing, both get them if they
            request them.

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
            If the transformer drops columns, is flat, or has no image of a sample; or
            the density gives its image less than a millionth.
        """
        with FitTask(self, X, y, sample_weight, n_steps=1) as task:
            rows = check_rows(self, X, reset=True, min_samples=2)
            weight = check_weights(sample_weight, rows)
            transformer = _as_transformer(self.transformer)
            type_of(transformer)
            transformer = clone(transformer)
            for_transformer, for_density = self._route(weight)
            given = as_given(self, X, rows)
            with np.errstate(all="ignore"):
                self.transformer_ = transformer.fit(given, **for_transformer)
                self._bijection = bijection(self.transformer_, self.log_det)
                Z, _ = self._bijection.forward_training(rows)
            known = np.isfinite(Z).all(axis=1)
            if not known.all():
                raise ValueError(
                    f"Sample {known.argmin()} of X, one of {np.sum(~known)}, has no "
                    f"finite image under {self.transformer!r}. Drop such samples, or "
                    "change the transformer."
                )
            warn_about_loss(self.transformer, self._bijection, rows)
            Z, density = self._image_like(given, Z), clone(self.density)
            with task.part(density, "fit-density"):
                self.density_ = task.learn(object, fit_whole, density, Z, **for_density)
            task.end(self._measure, Z.shape[1])
        return self

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

    def _measure(self, n_features):
        self._set_mass(image_mass(self.density_, self._bijection, n_features))

    def _route(self, weight):
        """Return what the ``fit`` of transformer and density are passed, two dicts."""
        is_routed = get_config()["enable_metadata_routing"]
        given = f"density={self.density!r}"
        check_density(self.density, given, None if is_routed else weight)
        if weight is None:
            return {}, {}
        if is_routed:
            routed = process_routing(self, "fit", sample_weight=weight)
            return routed.transformer.fit, routed.density.fit
        weights = {"sample_weight": weight}
        transformer = _as_transformer(self.transformer)
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
            self._bijection = bijection(self.transformer_, log_det)

    def _rebuild(self):
        """Try what a file says."""
        with nameless():
            self.score_samples(np.zeros((1, self.n_features_in_)))

    def _set_mass(self, mass):
        if mass.value < _SMALLEST_MASS:
            raise ValueError(
                f"The density {self.density_!r} gives the image of "
                f"{self.transformer_!r} only the mass {mass.value:.2g}. Use a density "
                "that fits its samples, or a transformer onto the whole space."
            )
        self._asked = as_asked(self)
        self.image_mass_, self.image_mass_error_ = mass

    def score_samples(self, X):
        check_is_fitted(self)
        rows = check_rows(self, X, reset=False)
        with np.errstate(all="ignore"):
            Z, log_det = self._bijection.forward(rows)
        log_prob = np.full(len(rows), -np.inf, rows.dtype)
        inside = np.isfinite(log_det) & np.isfinite(Z).all(axis=1)
        if inside.any():
            Z = Z[inside]
            if not _has_seen_arrays(self.density_):
                Z = self._image_like(as_given(self, X, rows), Z)
            scores = self.density_.score_samples(Z)
            log_prob[inside] = scores + (log_det[inside] - np.log(self.image_mass_))
        return log_prob

    def sample(self, n_samples=1, random_state=None):
        """Draw samples from the fitted density, and map them back.

        Parameters
        ----------
        n_samples : int, default=1
            Number of samples.

        random_state : int, RandomState instance, Generator or None, default=None
            Source of randomness; None means fresh entropy.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features)
            The samples; those outside of the transformer's image are drawn again.

        y : ndarray of shape (n_samples,)
            The component of the density that each sample comes from; 0 if the
            density names none.

        Raises
        ------
        TypeError
            If the density cannot sample with a seed.

        ValueError
            If `n_samples` is no positive integer.
        """
        check_is_fitted(self)
        check_count(n_samples=n_samples)
        generator = as_generator(random_state)
        rows, labels, missing = [], [], n_samples
        while missing > 0:
            seed = int(generator.integers(_LARGEST_SEED))
            X, y = self._draw_inside(missing, seed)
            rows.append(X)
            labels.append(y)
            missing -= len(X)
        return np.concatenate(rows), np.concatenate(labels)

    def _draw_inside(self, n_samples, seed):
        """Draw samples and keep those that can be mapped back."""
        Z, y = draw(self.density_, n_samples, seed)
        with np.errstate(all="ignore"):
            inside = self._bijection.contains(Z)
            if not inside.any():
                return Z[inside], y[inside]
            X = self._bijection.inverse(Z[inside])
        finite = np.isfinite(X).all(axis=1)
        return X[finite], y[inside][finite]
