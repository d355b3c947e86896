"""Methods of every density estimator that is one Gaussian mixture."""

from __future__ import annotations

from copy import copy
from functools import partial
from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted, validate_data

from skgmje._backend import as_generator, from_tensor
from skgmje._callbacks import DensityEstimatorMixin
from skgmje._sklearn import Interval, StrOptions
from skgmje._typing import ArrayLike, NDArray, RandomState
from skgmje._validation import (
    as_blocks,
    check_rows,
    check_weights,
    column_numbers,
    is_lazy,
    warn_about_narrow_ties,
)
from skgmje.em._background import Background, BackgroundMixture
from skgmje.em._covariance_models import layout_of
from skgmje.em._noise import (
    denoise,
    noisy_log_prob,
    noisy_responsibilities,
    split_noise,
)
from skgmje.em._stepwise import score_block
from skgmje.gaussian._covariance import COVARIANCE_TYPES
from skgmje.gaussian._covariance_type import lock, map_arrays
from skgmje.gaussian._mixture import Mixture
from skgmje.mixture._fit_rows import read_noise, some


def mixture_attributes(mixture):
    """Return the parameters of `mixture` under scikit-learn's names, a dict."""
    mixture = mixture.to_numpy()
    return {
        "weights_": mixture.weights,
        "means_": mixture.means,
        "covariances_": mixture.covariances,
        "covariance_type_": mixture.covariance_type,
    }


def check_goes_on(call, known, asked, remedy):
    """Raise if parameters ask for another mixture than the one to go on from."""
    changed = {n: v for n, v in asked.items() if v not in ("auto", known[n])}
    if changed:
        has, wants = (
            ", ".join(f"{name}={values[name]!r}" for name in changed)
            for values in (known, changed)
        )
        raise ValueError(
            f"{call} goes on from the last solution, which has {has}, but {wants} is "
            f"asked for. Fit a clone, or {remedy}."
        )


# Values of parameters that several estimators have.
COUNT = Interval(Integral, 1, None, closed="left")
AMOUNT = Interval(Real, 0, None, closed="left")
AUTO = StrOptions({"auto"})


class NoMixtureError(TypeError, AttributeError):
    """A density is not one mixture: to who looks for the attribute, it has none."""


# Samples whose results are computed at a time, beside the array that holds them all.
CHUNK_ROWS = 2**17


class MixtureDensityMixin(DensityEstimatorMixin):
    """Prediction methods of an estimator that is one Gaussian mixture.

    Fitted attributes may be set by hand, as scikit-learn allows. Their arrays are
    those of :attr:`mixture_` and read-only: writing into them raises ValueError.

    A subclass that takes NaN as missing overrides ``_missing``.
    """

    weights_: NDArray[Any]
    means_: NDArray[Any]
    covariances_: NDArray[Any] | tuple[NDArray[Any], ...]
    covariance_type_: str

    _missing = "raise"

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = self._missing == "marginal"
        return tags

    def _check_predict(self, X):
        if "means_" not in vars(self):
            check_is_fitted(self)
        return check_rows(self, X, reset=False, allow_nan=self._missing == "marginal")

    @property
    def _density(self):
        """What scores and samples are of: the mixture, and what stands beside it."""
        if not self._has_background:
            return self._gaussians
        background = Background(*self.background_box_, self.background_weight_)
        return BackgroundMixture(self._gaussians, background)

    @property
    def _has_background(self):
        return "background_box_" in vars(self)

    def _count_parameters(self):
        return self._density.n_parameters

    def _responsibilities(self, rows, noise=None):
        if noise is not None:
            return noisy_responsibilities(self._of_noise(), rows, noise)
        return self._density.responsibilities(rows, missing=self._missing)

    def _log_prob(self, rows, noise=None):
        if noise is not None:
            return noisy_log_prob(self._of_noise(), rows, noise)
        return self._density.log_prob(rows, missing=self._missing)

    def _of_noise(self):
        """Return the mixture, or raise TypeError where a background keeps its noise."""
        if self._has_background:
            raise TypeError(
                "noise does not go with background=True: the density of such samples "
                "has no closed form. Fit with background=False."
            )
        return self.mixture_

    def _each_chunk(self, X, function, shape=(), dtype=None, noise=None):
        """Check `X` and apply `function` to some samples at a time, (n, *shape)."""
        if is_lazy(X):
            blocks, given = as_blocks(X), {"shape": shape, "dtype": dtype}
            nameless = self._check_blocks(blocks)
            answer = partial(nameless._each_chunk, function=function, **given)
            if noise is not None:
                blocks = blocks.beside(noise)
                answer = partial(_answer_joined, answer, self.n_features_in_)
            return blocks.map(answer, shape, dtype)
        X = self._check_predict(X)
        if noise is not None:
            noise = read_noise(self, noise, X)
        return self._in_chunks(X, function, shape, dtype, noise)

    def _in_chunks(self, X, function, shape=(), dtype=None, noise=None):
        """Apply `function` to some of the checked samples at a time, (n, *shape)."""
        out = np.empty((len(X), *shape), dtype or X.dtype)
        for rows, *chunk in _chunks(X, noise):
            answer = function(*chunk)
            # What single precision cannot hold of a log-density is -inf.
            with np.errstate(over="ignore"):
                out[rows] = answer
        return out

    def _clusters(self, rows, *noise):
        labels = self._responsibilities(rows, *noise).argmax(axis=1)
        if self._has_background:
            labels[labels == len(self.weights_)] = -1
        return labels

    @property
    def _n_labels(self):
        return len(self.weights_) + self._has_background

    def _check_blocks(self, blocks):
        """Return this estimator without names of columns, which those blocks lack."""
        check_is_fitted(self)
        validate_data(self, blocks.header, reset=False, skip_check_array=True)
        nameless = copy(self)
        vars(nameless).pop("feature_names_in_", None)
        return nameless

    def _sums(self, X, sample_weight=None, noise=None):
        """Return the weighted sum of the log-densities, and that of the weights."""
        blocks = as_blocks(X, sample_weight)
        if blocks is not None:
            nameless = self._check_blocks(blocks)
            score = partial(_score, self._density, self._missing)
            if noise is not None:
                blocks, score = blocks.beside(noise), partial(_score_joined, nameless)
            return blocks.over_rows(score, np.add).tolist()
        X = self._check_predict(X)
        weight = check_weights(sample_weight, X)
        noise = read_noise(self, noise, X, weight)
        if weight is None:
            return self._total(X, noise=noise), len(X)
        if not weight.all():
            # Zero times the -inf of a row far away would be NaN.
            X, weight, noise = some(weight > 0, X, weight, noise)
        return self._total(X, weight, noise), float(weight.sum(dtype=np.float64))

    def _total(self, X, weight=None, noise=None):
        """Return the weighted sum of the log-densities of checked rows."""
        total = 0.0
        for rows, *chunk in _chunks(X, noise):
            log_prob = self._log_prob(*chunk)
            total += float(
                log_prob.sum() if weight is None else log_prob @ weight[rows]
            )
        return total

    def score_samples(self, X: ArrayLike) -> NDArray[Any]:
        return self._each_chunk(X, self._log_prob)

    def score(
        self, X: ArrayLike, y: Any = None, sample_weight: ArrayLike | None = None
    ) -> float:
        total, weight = self._sums(X, sample_weight)
        return total / weight

    def predict_proba(self, X: ArrayLike) -> NDArray[Any]:
        """Compute the responsibility of each component for each sample.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The samples.

        Returns
        -------
        resp : ndarray of shape (n_samples, n_components)
            Posterior probability of each component; rows sum to one.
        """
        return self._proba(X)

    def _proba(self, X, noise=None):
        width = (self._n_labels,) if "means_" in vars(self) else ()
        return self._each_chunk(X, self._responsibilities, width, noise=noise)

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Find the most probable component (of a neural gas: cluster) of each sample.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The samples.

        Returns
        -------
        labels : ndarray of shape (n_samples,)
            Column of the largest entry of :meth:`predict_proba`.
        """
        return self._each_chunk(X, self._clusters, dtype=np.intp)

    def sample(
        self, n_samples: int = 1, random_state: RandomState = None
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """Draw samples from the fitted density.

        Parameters
        ----------
        n_samples : int, default=1
            Number of samples.

        random_state : int, RandomState instance, Generator or None, default=None
            Source of randomness; None means the ``random_state`` of the
            estimator, so that equal calls give equal samples if it is an int.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features)
            The samples, in no particular order.

        y : ndarray of shape (n_samples,)
            The component that each sample comes from.

        Raises
        ------
        ValueError
            If `n_samples` is no positive integer.
        """
        check_is_fitted(self)
        source = self.random_state if random_state is None else random_state
        return self._density.sample(n_samples, as_generator(source))

    def bic(self, X: ArrayLike) -> float:
        """Compute the Bayesian information criterion; lower is better.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The samples.

        Returns
        -------
        bic : float
            ``-2 log L + p log n`` for p free parameters.
        """
        total, n_rows = self._sums(X)
        return -2 * total + self._count_parameters() * float(np.log(n_rows))

    def icl(self, X: ArrayLike) -> float:
        """Compute the integrated completed likelihood criterion; lower is better.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The samples.

        Returns
        -------
        icl : float
            :meth:`bic` less twice the sum of the log of each sample's largest
            responsibility: clusters that overlap cost.
        """
        doubts = self._each_chunk(X, self._doubts, dtype=np.float64)
        return self.bic(X) + float(np.sum(doubts))

    def _doubts(self, rows):
        """Return what each sample adds to the criterion, (n_samples,)."""
        return -2 * np.log(self._responsibilities(rows).max(axis=1))

    def aic(self, X: ArrayLike) -> float:
        """Compute the Akaike information criterion; lower is better.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The samples.

        Returns
        -------
        aic : float
            ``-2 log L + 2 p`` for p free parameters.
        """
        return -2 * self._sums(X)[0] + 2 * self._count_parameters()

    def marginal(self, indices: ArrayLike) -> Mixture:
        """Return the density of some of the features.

        Parameters
        ----------
        indices : array-like of int or str
            Features to keep, in the order wanted; by name if names were seen.

        Returns
        -------
        mixture : Mixture
            Density of ``X[:, indices]``.
        """
        return self.mixture_.marginal(column_numbers(self, indices))

    def condition(self, indices: ArrayLike, values: ArrayLike) -> Mixture:
        """Return the density of the other features, given some.

        Parameters
        ----------
        indices : array-like of int or str
            Features that are known; by name if names were seen.

        values : array-like of shape (n_samples, n_indices) or (n_indices,)
            Their values.

        Returns
        -------
        mixture : Mixture
            Density of the remaining features, one for each sample of `values`.
        """
        indices = column_numbers(self, indices, values)
        values = np.asarray(from_tensor(values), np.float64)
        return self.mixture_.condition(indices, values)

    # What files leave out, because it follows from the rest.
    _derived = ("_mixture",)

    def _set_mixture(self, mixture):
        """Store `mixture` and its arrays under scikit-learn's names."""
        mixture = mixture.to_numpy()
        vars(self).update(mixture_attributes(mixture))
        self._mixture = self._parameters(), mixture

    def _warn_of_ties(self, X):
        """Warn if components are as narrow as single values that repeat."""
        mixture = self._gaussians
        shape = mixture.n_components, mixture.n_features
        kind = COVARIANCE_TYPES[mixture.covariance_type]
        variances = kind.diagonal(mixture.covariances, *shape)
        warn_about_narrow_ties(self, X, variances[mixture.weights > 0])

    def _parameters(self):
        return self.weights_, self.means_, self.covariances_, self._kind()

    def _kind(self):
        return getattr(self, "covariance_type_", None) or layout_of(
            self.covariance_type
        )

    @property
    def n_components_(self) -> int:
        """Number of components, as given or chosen."""
        return len(self.weights_)

    @property
    def mixture_(self) -> Mixture:
        """The fitted density as a :class:`skgmje.gaussian.Mixture`."""
        if self._has_background:
            name = type(self).__name__
            raise NoMixtureError(
                f"{name}(background=True) is no Gaussian mixture: it has a constant "
                f"density, too. Fit with background=False, or take its components by "
                f"{name}.from_parameters(weights_, means_, covariances_, "
                "covariance_type_)."
            )
        return self._gaussians

    @property
    def _gaussians(self):
        """The mixture of the fitted attributes."""
        parameters = self._checked_parameters()
        known, mixture = vars(self).get("_mixture", ((None,) * 4, None))
        if not all(a is b for a, b in zip(parameters, known, strict=True)):
            # It comes from a file, or somebody has set fitted attributes by hand;
            # from now on nobody can write into them.
            mixture = Mixture(*parameters)
            self.weights_, self.means_ = mixture.weights, mixture.means
            self.covariances_ = mixture.covariances
            self._mixture = self._parameters(), mixture
        return mixture

    @property
    def precisions_cholesky_(self) -> Any:
        """Cholesky factors of the precisions, in scikit-learn's layout."""
        *_, covariances, kind = self._checked_parameters()
        return COVARIANCE_TYPES[kind].precisions_cholesky(covariances)

    @precisions_cholesky_.setter
    def precisions_cholesky_(self, value: ArrayLike) -> Any:
        # By hand, as scikit-learn allows: the factor says what the covariance is.
        kind = COVARIANCE_TYPES[self._kind()]
        self.precisions_ = kind.square(np.asarray(value, np.float64))

    @property
    def precisions_(self) -> Any:
        """Inverse covariances, in scikit-learn's layout (dense for low-rank)."""
        *_, covariances, kind = self._checked_parameters()
        return COVARIANCE_TYPES[kind].precisions(covariances)

    @precisions_.setter
    def precisions_(self, value: ArrayLike) -> Any:
        kind = COVARIANCE_TYPES[self._kind()]
        inverse = kind.precisions(np.asarray(value, np.float64))
        self.covariances_ = kind.symmetrize(inverse)

    def _checked_parameters(self):
        if "means_" not in vars(self):
            check_is_fitted(self, "means_")
        return self._parameters()

    def _rebuild(self):
        """Check what a file says; called when the attributes are set."""
        if {part.dtype.kind for part in (self.weights_, self.means_)} != {"f"}:
            raise ValueError("weights_ and means_ must hold floating-point numbers")
        for part in (self.weights_, self.means_, self.covariances_):
            map_arrays(lock, part)  # nobody else holds a file's arrays
        self._gaussians._rebuild()
        if self._gaussians.n_features != self.n_features_in_:
            raise ValueError(
                f"means_ has {self._gaussians.n_features} features, and n_features_in_ "
                f"is {self.n_features_in_}"
            )


class NoisyDensityMixin(MixtureDensityMixin):
    """Prediction methods of a Gaussian mixture, for samples with errors, too."""

    def score_samples(
        self, X: ArrayLike, noise: ArrayLike | None = None
    ) -> NDArray[Any]:
        r"""Compute the log-likelihood of each sample.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The samples.

        noise : array-like, default=None
            Variances, of the shape of `X`, or covariances, (n_samples, n_features,
            n_features), :math:`E_i` of the measurement errors of the
            samples: their density is that of :math:`v + e, e \sim N(0, E_i)`, for v
            of the fitted one.

        Returns
        -------
        log_prob : ndarray of shape (n_samples,)
            Log-density of each sample, in nats, in the units of `X`.
        """
        return self._each_chunk(X, self._log_prob, noise=noise)

    def score(
        self,
        X: ArrayLike,
        y: Any = None,
        sample_weight: ArrayLike | None = None,
        noise: ArrayLike | None = None,
    ) -> float:
        """Compute the mean log-likelihood of the samples.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The samples.

        y : Ignored
            Not used, present for API consistency by convention.

        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the samples.

        noise : array-like, default=None
            Their measurement errors, see :meth:`score_samples`.

        Returns
        -------
        log_likelihood : float
            Weighted mean of :meth:`score_samples`, in nats.
        """
        total, weight = self._sums(X, sample_weight, noise)
        return total / weight

    def predict_proba(
        self, X: ArrayLike, noise: ArrayLike | None = None
    ) -> NDArray[Any]:
        """Compute the responsibility of each component for each sample.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The samples.

        noise : array-like, default=None
            Their measurement errors, see :meth:`score_samples`.

        Returns
        -------
        resp : ndarray of shape (n_samples, n_components)
            Posterior probability of each component; rows sum to one.
        """
        return self._proba(X, noise)

    def predict(self, X: ArrayLike, noise: ArrayLike | None = None) -> NDArray[Any]:
        """Find the most probable component of each sample.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The samples.

        noise : array-like, default=None
            Their measurement errors, see :meth:`score_samples`.

        Returns
        -------
        labels : ndarray of shape (n_samples,)
            Index of the component with the largest responsibility.
        """
        return self._each_chunk(X, self._clusters, dtype=np.intp, noise=noise)

    def denoise(
        self, X: ArrayLike, noise: ArrayLike, *, return_cov: bool = False
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        r"""Compute what samples are expected to be without their measurement errors.

        .. math:: E[v \mid x] = \sum_k r_k(x) \big(m_k +
            \Sigma_k (\Sigma_k + E)^{-1} (x - m_k)\big)

        with the responsibilities of :meth:`predict_proba`. Where entries are missing,
        it is what they are expected to be.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The samples.

        noise : array-like
            Their measurement errors E, see :meth:`score_samples`.

        return_cov : bool, default=False
            Whether covariances are returned, too.

        Returns
        -------
        mean : ndarray of shape (n_samples, n_features)
            Expectations, in the units of `X`.

        covariance : ndarray of shape (n_samples, n_features, n_features)
            Covariances of what is not known, if `return_cov`.

        Raises
        ------
        TypeError
            If the fit has a background: it is no Gaussian mixture.
        """
        mixture = self._of_noise()
        d = mixture.n_features
        found = partial(denoise, mixture, return_cov=return_cov)
        out = self._each_chunk(X, found, (1 + return_cov * d, d), noise=noise)
        return (out[:, 0], out[:, 1:]) if return_cov else out[:, 0]


def _chunks(X, noise):
    """Yield slices of the samples, and samples with their noise, if there is any."""
    arrays = (X,) if noise is None else (X, noise)
    for start in range(0, len(X), CHUNK_ROWS):
        rows = slice(start, start + CHUNK_ROWS)
        yield rows, *(array[rows] for array in arrays)


def _answer_joined(answer, n_features, joined):
    """Return the answer to samples that have columns of their noise."""
    X, noise = split_noise(joined, n_features)
    return answer(X, noise=noise)


def _score_joined(estimator, index, joined, sample_weight):
    """Return the sums of :meth:`MixtureDensityMixin._sums` of such a block."""
    X, noise = split_noise(joined, estimator.n_features_in_)
    return np.array(estimator._sums(X, sample_weight, noise))


def _score(mixture, missing, index, X, sample_weight):
    """Return the sum of a block's log-densities."""
    return score_block(mixture, X, sample_weight, missing)
