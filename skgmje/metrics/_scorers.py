"""Scorers for searches and cross-validation."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from typing import Any

from sklearn.utils.metadata_routing import MetadataRequest
from sklearn.utils.validation import check_is_fitted

from skgmje._bridges import find_last
from skgmje._typing import ArrayLike, Self
from skgmje.metrics._scores import crps, energy_score, interval_coverage, rmse


class _MixtureScorer:
    """A metric of mixtures as a callable ``scorer(estimator, X, y)``."""

    def __init__(
        self, metric: Callable[..., Any], sign: int, kwargs: dict[str, Any]
    ) -> None:
        self._metric = metric
        self._sign = sign
        self._kwargs = kwargs
        self._request: dict[str, Any] = {}

    def __call__(self, estimator, X, y, sample_weight=None):
        """Score the densities that `estimator` predicts; more is better."""
        mixture = predict_mixture(estimator, X)
        kwargs = {"sample_weight": sample_weight, **self._kwargs}
        return self._sign * self._metric(y, mixture, **kwargs)

    def __repr__(self):
        parts = [self._metric.__name__]
        parts += ["greater_is_better=False"] if self._sign < 0 else []
        parts += [f"{name}={value!r}" for name, value in self._kwargs.items()]
        return f"make_mixture_scorer({', '.join(parts)})"

    def set_score_request(self, *, sample_weight: ArrayLike | None) -> Self:
        """Return a scorer that asks for `sample_weight` where metadata are routed."""
        scorer = copy(self)
        scorer._request = {"sample_weight": sample_weight}
        return scorer

    def get_metadata_routing(self) -> Any:
        """Return what is asked for, in scikit-learn's form."""
        request = MetadataRequest(owner=self)
        for param, alias in {"sample_weight": None, **self._request}.items():
            request.score.add_request(param=param, alias=alias)
        return request

    def _accept_sample_weight(self):
        # Asked by scikit-learn where weights reach a scorer without routing.
        return True


def predict_mixture(estimator, X):
    """Call ``predict_mixture`` of the estimator, of a pipeline's or a search's."""
    estimator, X = find_last(estimator, X)
    if hasattr(estimator, "predict_mixture"):
        return estimator.predict_mixture(X)
    if hasattr(estimator, "fit"):
        # A search that has not been fitted does not know the method yet.
        check_is_fitted(estimator)
    raise TypeError(
        f"{estimator!r} has no method predict_mixture. Give an estimator that predicts "
        "Gaussian mixtures, or a pipeline or a search (refit=True) that ends in one."
    )


def make_mixture_scorer(
    metric: Callable[..., Any], *, greater_is_better: bool = True, **kwargs: Any
) -> Callable[..., Any]:
    """Make a scorer of a metric of mixtures, for ``scoring=``.

    Made already: :data:`crps_scorer`, :data:`energy_scorer`, :data:`rmse_scorer` and
    :data:`coverage_scorer`.

    Parameters
    ----------
    metric : callable
        ``metric(y_true, distribution, sample_weight=None, **kwargs)`` returns a
        number.

    greater_is_better : bool, default=True
        Whether more is better; otherwise the scorer changes the sign.

    **kwargs : dict
        Further arguments of `metric`.

    Returns
    -------
    scorer : callable
        ``scorer(estimator, X, y, sample_weight=None)`` calls
        ``estimator.predict_mixture(X)``. The estimator may be the last step of a
        :class:`~sklearn.pipeline.Pipeline`, or the best one of a search. Its
        ``set_score_request`` says whether weights are routed to it.

    Examples
    --------
    >>> from skgmje import Mixture
    >>> from skgmje.metrics import interval_coverage, make_mixture_scorer
    >>> scorer = make_mixture_scorer(interval_coverage, coverage=0.5)
    >>> scorer
    make_mixture_scorer(interval_coverage, coverage=0.5)
    >>> class StandardNormal:
    ...     def predict_mixture(self, X):
    ...         return Mixture([1.0], [[0.0]], [1.0], "spherical")
    >>> scorer(StandardNormal(), X=None, y=[-2.0, 0.1])
    0.5
    """
    return _MixtureScorer(metric, 1 if greater_is_better else -1, kwargs)


def _coverage_gap(y_true, distribution, *, coverage, sample_weight):
    """Compute how far the coverage is from the stated one, over all targets."""
    shares = interval_coverage(
        y_true,
        distribution,
        coverage=coverage,
        sample_weight=sample_weight,
        multioutput="raw_values",
    )
    return float(abs(shares - coverage).mean())


#: Minus the mean continuous ranked probability score.
crps_scorer = make_mixture_scorer(crps, greater_is_better=False)

#: Minus the mean energy score of 64 draws, the same random numbers in every call.
energy_scorer = make_mixture_scorer(
    energy_score, greater_is_better=False, random_state=0
)

#: Minus the root mean squared error of the predicted means.
rmse_scorer = make_mixture_scorer(rmse, greater_is_better=False)

#: Minus the difference between the coverage of central 90 % intervals and 0.9.
coverage_scorer = make_mixture_scorer(
    _coverage_gap, greater_is_better=False, coverage=0.9
)
