"""Displays of clusters: what a search for models has tried, and how sure labels are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any, Literal

import numpy as np
from sklearn.pipeline import Pipeline

from skgmje._bridges import as_mixture, find_estimator
from skgmje._typing import NDArray, Self
from skgmje.inspection._canvas import (
    COLORS,
    GREY,
    Display,
    check_matplotlib,
    choose_features,
    line_style,
    read_columns,
    thin_out,
)

# Columns that a table may have, and the sign that makes the largest the best.
CRITERIA = {"bic": -1, "icl": -1, "stability": 1, "held_out": 1, "mean_test_score": 1}

# Sizes of points, those of sure labels and those of tossed coins.
SURE, UNSURE = 8.0, 60.0


@dataclass(eq=False, repr=False)
class SelectionDisplay(Display):
    """Criterion over the number of components, a curve for each model.

    Fits whose components are spikes are left out of the curves, as in the search.

    Parameters
    ----------
    n_components : ndarray of shape (n_candidates,)
        Numbers of components.

    models : list of str
        Covariance type of each candidate.

    values : ndarray of shape (n_candidates,)
        Criterion of each candidate.

    sound : ndarray of shape (n_candidates,), default=None
        Whether a candidate counts; None means that all do.

    criterion : str, default='bic'
        Name of the criterion: of 'bic' and 'icl' the lowest is marked.

    errors : ndarray of shape (n_candidates,), default=None
        Standard errors of `values`, drawn as bars; None draws none.

    Attributes
    ----------
    ax_, figure_ : matplotlib Axes and Figure
        Where it was drawn.

    lines_ : dict of matplotlib Line2D
        The curve of each model.

    best_ : matplotlib Line2D
        Mark of the best candidate.

    Examples
    --------
    >>> import numpy as np
    >>> from skgmje import GaussianMixture
    >>> from skgmje.inspection import SelectionDisplay
    >>> X = np.random.default_rng(0).normal(size=(100, 2)) + [[0, 0], [9, 0]] * 50
    >>> mixture = GaussianMixture("auto", covariance_type="EII", criterion="bic")
    >>> display = SelectionDisplay.from_estimator(mixture.fit(X))
    >>> int(display.n_components[display.values.argmin()])
    2
    """

    n_components: NDArray[Any]
    models: list[str]
    values: NDArray[Any]
    _: KW_ONLY
    sound: NDArray[Any] | None = None
    criterion: str = "bic"
    errors: NDArray[Any] | None = None

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        *,
        criterion: Literal["bic", "icl", "stability", "held-out", "mean_test_score"]
        | None = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> SelectionDisplay:
        """Draw what a fitted mixture has tried.

        Parameters
        ----------
        estimator : fitted GaussianMixture, or a search or pipeline of one
            That has chosen its n_components or covariance_type.

        criterion : {'bic', 'icl', 'stability', 'held-out', 'mean_test_score'}, \
                default=None
            A column of `cv_results_`; None means that of the estimator. Of 'held-out'
            the standard errors are drawn, too. They are those of one model: models
            are held out on the same samples, so that their differences err less.

        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.

        **kwargs : dict
            Arguments of :meth:`plot`.

        Returns
        -------
        display : SelectionDisplay
            As drawn.

        Raises
        ------
        TypeError
            If nothing was chosen in the fit.

        ValueError
            If the table does not have the criterion.
        """
        check_matplotlib(f"{cls.__name__}.from_estimator")
        estimator = find_estimator(estimator)
        if isinstance(estimator, Pipeline):
            # What was tried is the same in whatever coordinates.
            estimator = find_estimator(estimator[-1])
        table = getattr(estimator, "cv_results_", None)
        if table is None or "param_covariance_type" not in table:
            raise TypeError(
                f"{estimator!r} has chosen no settings. Fit a GaussianMixture with "
                "n_components='auto' or covariance_type='auto'."
            )
        known = [name for name in CRITERIA if name in table]
        if criterion is None:
            asked = getattr(estimator, "criterion", "held-out")
            asked = asked if isinstance(asked, str) else asked[0]
            criterion = asked if asked.replace("-", "_") in table else "mean_test_score"
        criterion = criterion.replace("-", "_")
        if criterion not in known:
            raise ValueError(
                f"criterion={criterion!r} is not in cv_results_, which has {known}. "
                "Fit with that criterion, or draw one of these."
            )
        display = cls(
            np.asarray(table["param_n_components"]),
            list(table["param_covariance_type"]),
            np.asarray(table[criterion], np.float64),
            sound=table.get("sound"),
            criterion=criterion,
            errors=table.get(f"{criterion}_error"),
        )
        return display.plot(ax=ax, **kwargs)

    def plot(self, ax: Any = None, **kwargs: Any) -> Self:
        """Draw the curves, and mark the best candidate.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.

        **kwargs : dict
            Arguments of :meth:`matplotlib.axes.Axes.plot`, such as ``linewidth``.

        Returns
        -------
        self : SelectionDisplay
            With the artists as attributes.
        """
        models, values = np.asarray(self.models), np.asarray(self.values)
        n_components, known = np.asarray(self.n_components), np.isfinite(values)
        if not known.any():
            raise ValueError(
                f"No candidate has a finite {self.criterion!r}: held-out likelihood "
                "and stability want at least five distinct samples. Name another "
                "criterion."
            )
        self._start(ax)
        from matplotlib.ticker import MaxNLocator

        if self.sound is not None and np.any(self.sound & known):
            known &= self.sound
        self.lines_ = {}
        for i, model in enumerate(dict.fromkeys(models[known].tolist())):
            chosen = known & (models == model)
            # Of several pseudo-counts the best.
            sizes = np.unique(n_components[chosen])
            best = [self._best(chosen & (n_components == size)) for size in sizes]
            style = {"label": model, "marker": ".", **line_style(i), **kwargs}
            (self.lines_[model],) = self.ax_.plot(sizes, values[best], **style)
            if self.errors is not None:
                bars = {"ecolor": self.lines_[model].get_color(), "alpha": 0.4}
                bars |= {"fmt": "none", "capsize": 2, "label": "_bars"}
                error = np.asarray(self.errors)[best]
                self.ax_.errorbar(sizes, values[best], error, **bars)
        place = self._best(known)
        (self.best_,) = self.ax_.plot(
            n_components[place],
            values[place],
            marker="o",
            markersize=11,
            markerfacecolor="none",
            markeredgecolor="black",
            linestyle="none",
            label="best",
        )
        self.ax_.set(xlabel="n_components", ylabel=self.criterion)
        self.ax_.xaxis.set_major_locator(MaxNLocator(integer=True))
        self.ax_.legend(ncols=2, fontsize="small")
        return self

    def _best(self, chosen):
        """Return the place of the best of some candidates."""
        places = np.flatnonzero(chosen)
        sign = CRITERIA.get(self.criterion, 1)
        return places[np.argmax(sign * np.asarray(self.values)[places])]


@dataclass(eq=False, repr=False)
class ClassificationDisplay(Display):
    """Samples in the colors of their clusters, the larger the less sure.

    Parameters
    ----------
    data : ndarray of shape (n_samples, 2)
        The two features shown.

    labels : ndarray of shape (n_samples,)
        Cluster of each sample; -1 is drawn in grey.

    uncertainty : ndarray of shape (n_samples,)
        One less the largest responsibility.

    names : list of str, default=None
        Names of the two features.

    Attributes
    ----------
    ax_, figure_ : matplotlib Axes and Figure
        Where it was drawn.

    points_ : matplotlib PathCollection
        The samples, at most 2000 of them.

    See Also
    --------
    MixtureDisplay : The components as ellipses, which may be drawn on the same axes.
    SelectionDisplay : How the clusters were chosen.

    Examples
    --------
    >>> import numpy as np
    >>> from skgmje import GaussianMixture
    >>> from skgmje.inspection import ClassificationDisplay
    >>> X = np.random.default_rng(0).normal(size=(100, 2)) + [[0, 0], [3, 0]] * 50
    >>> mixture = GaussianMixture(2, random_state=0).fit(X)
    >>> display = ClassificationDisplay.from_estimator(mixture, X)
    >>> bool(display.uncertainty.max() <= 0.5)
    True
    """

    data: NDArray[Any]
    labels: NDArray[Any]
    uncertainty: NDArray[Any]
    _: KW_ONLY
    names: list[str] | None = None

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        *,
        features: Sequence[int] | str | None = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> ClassificationDisplay:
        """Draw the clusters of samples.

        Parameters
        ----------
        estimator : fitted estimator or Mixture
            With ``predict`` and ``predict_proba``, or what :func:`skgmje.as_mixture`
            takes.

        X : array-like or data frame of shape (n_samples, n_features)
            The samples.

        features : sequence of two int or str, default=None
            Columns to show; None if there are only two.

        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.

        **kwargs : dict
            Arguments of :meth:`plot`.

        Returns
        -------
        display : ClassificationDisplay
            As drawn.

        Raises
        ------
        TypeError
            If the estimator has no clusters.

        ValueError
            If not two features are chosen.
        """
        check_matplotlib(f"{cls.__name__}.from_estimator")
        estimator = find_estimator(estimator)
        if hasattr(estimator, "predict_proba") and hasattr(estimator, "predict"):
            resp, labels = estimator.predict_proba(X), estimator.predict(X)
            rows, names = read_columns(X, np.shape(X)[1])
        else:
            mixture = as_mixture(estimator).to_numpy()
            rows, names = read_columns(X, mixture.n_features)
            resp = mixture.responsibilities(rows, missing="marginal")
            labels = resp.argmax(axis=1)
        chosen = choose_features(features, names, (2,))
        unsure = 1 - np.max(resp, axis=1)
        pair = [names[j] for j in chosen]
        return cls(rows[:, chosen], labels, unsure, names=pair).plot(ax=ax, **kwargs)

    def plot(self, ax: Any = None, **kwargs: Any) -> Self:
        """Draw the samples.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.

        **kwargs : dict
            Arguments of :meth:`matplotlib.axes.Axes.scatter`, such as ``alpha``.

        Returns
        -------
        self : ClassificationDisplay
            With the artists as attributes.
        """
        self._start(ax)
        labels = thin_out(np.asarray(self.labels))
        _, numbers = np.unique(labels, return_inverse=True)
        outside = labels == -1 if labels.dtype.kind in "iu" else np.zeros(0, bool)
        first = int(outside.any())
        colors = [COLORS[(number - first) % len(COLORS)] for number in numbers]
        for i in np.flatnonzero(outside):
            colors[i] = GREY
        # A label is least sure where all clusters are as likely.
        share = np.clip(2 * thin_out(np.asarray(self.uncertainty)), 0, 1)
        style = {"c": colors, "s": SURE + (UNSURE - SURE) * share, "linewidths": 0}
        style |= {"alpha": 0.7, **kwargs}
        self.points_ = self.ax_.scatter(*thin_out(self.data).T, **style)
        if self.names is not None:
            self._name_axes()
        return self
