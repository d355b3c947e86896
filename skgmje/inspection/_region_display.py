"""The display of regions of highest density."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from skgmje._bridges import as_mixture, find_last
from skgmje._typing import ArrayLike, NDArray, Self
from skgmje.inspection._canvas import (
    BLUE,
    ORANGE,
    check_matplotlib,
    choose_features,
    conditional_mixtures,
    make_axes,
    make_grid,
    read_columns,
    show_points,
    slice_contexts,
)


class RegionDisplay:
    """The smallest regions of given probabilities, on a plane.

    Of a density of two features the plane is theirs; of a conditional density it is
    that of a feature and the target, and each column has regions of its own.

    Parameters
    ----------
    x : ndarray of shape (n_x,)
        Values along the first axis.

    y : ndarray of shape (n_y,)
        Values along the second axis.

    margins : ndarray of shape (n_levels, n_y, n_x)
        How many nats the log-density is above the border of each region.

    coverage : sequence of float
        Probability of each region, ascending.

    data : ndarray of shape (n_samples, 2), default=None
        Samples shown beside the regions.

    names : list of two str, default=None
        Names of the axes.

    Attributes
    ----------
    ax_, figure_ : matplotlib Axes and Figure
        Where it was drawn.

    regions_ : list of matplotlib QuadContourSet
        The regions, the largest first.

    data_ : matplotlib PathCollection or None
        Points of the data.

    See Also
    --------
    DensityDisplay : The density itself.
    ConditionalDensityDisplay : The conditional density itself.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.mixture import GaussianMixture
    >>> from skgmje.inspection import RegionDisplay
    >>> X = np.random.default_rng(0).normal(size=(1000, 2))
    >>> density = GaussianMixture().fit(X)
    >>> display = RegionDisplay.from_estimator(density, X, coverage=[0.5, 0.9])
    >>> display.margins.shape
    (2, 150, 150)
    """

    ax_: Any
    figure_: Any
    regions_: list[Any]
    data_: Any

    def __init__(
        self,
        x: NDArray[Any],
        y: NDArray[Any],
        margins: NDArray[Any],
        coverage: Sequence[float],
        *,
        data: NDArray[Any] | None = None,
        names: list[str] | None = None,
    ) -> None:
        self.x = x
        self.y = y
        self.margins = margins
        self.coverage = coverage
        self.data = data
        self.names = names

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: ArrayLike | None = None,
        *,
        coverage: Sequence[float] = (0.5, 0.9),
        features: int | str | Sequence[Any] | None = None,
        target: int | str = 0,
        grid_resolution: int = 150,
        ax: Any = None,
        **kwargs: Any,
    ) -> RegionDisplay:
        """Find regions of a density, or of a conditional density, and draw them.

        Parameters
        ----------
        estimator : fitted estimator or Mixture
            Of a density whatever :func:`skgmje.as_mixture` takes. With `y` what
            predicts one mixture for each sample, also at the end of a pipeline or
            search, or a joint density of the columns of `X` and then `y`. If it was
            calibrated, its regions of one target are.

        X : array-like or data frame of shape (n_samples, n_features)
            Samples, or contexts whose other features are held at their medians.

        y : array-like of shape (n_samples,) or (n_samples, n_targets), default=None
            Targets; None if there are none.

        coverage : sequence of float, default=(0.5, 0.9)
            Probabilities of the regions, strictly between zero and one.

        features : int or str, or sequence of two of these, default=None
            The two columns of `X` to show; None if there are no others. With `y` the
            one that is varied; None: the first.

        target : int or str, default=0
            Column of `y` to show.

        grid_resolution : int, default=150
            Number of values along each axis.

        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.

        **kwargs : dict
            Arguments of :meth:`plot`.

        Returns
        -------
        display : RegionDisplay
            As drawn.

        Raises
        ------
        ImportError
            If matplotlib is not installed.

        TypeError
            If there is no Gaussian mixture.

        ValueError
            If a column does not exist, shapes do not fit, or a coverage is no
            probability.
        """
        check_matplotlib(f"{cls.__name__}.from_estimator")
        levels = sorted(np.ravel(coverage).tolist())
        if not levels:
            raise ValueError(f"coverage={coverage!r} must hold a probability at least.")
        look = _of_density if y is None else _of_targets
        display = look(cls, estimator, X, y, levels, features, target, grid_resolution)
        return display.plot(ax=ax, **kwargs)

    def plot(
        self, ax: Any = None, *, color: Any = BLUE, show_data: bool = True
    ) -> Self:
        """Draw the regions, smaller ones darker.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.

        color : matplotlib color, default='#0072B2'
            Colour of the regions.

        show_data : bool, default=True
            Whether to show the data, if there are any. Of more than 2000 points
            some, evenly spread, are shown.

        Returns
        -------
        self : RegionDisplay
            With the artists as attributes.
        """
        self.ax_ = make_axes(ax, f"{type(self).__name__}.plot")
        self.figure_ = self.ax_.figure
        from matplotlib.colors import to_rgba
        from matplotlib.patches import Patch

        shades = np.linspace(0.3, 0.8, len(self.coverage))[::-1]
        handles, self.regions_, self.data_ = [], [], None
        pairs = [*zip(self.coverage, self.margins, shades, strict=True)]
        for level, margin, shade in reversed(pairs):
            # Contours know no -inf.
            heights, fill = np.maximum(margin, -50.0), to_rgba(color, shade)
            top = max(1.0, float(heights.max()) + 1.0)
            contours = self.ax_.contourf(
                self.x, self.y, heights, [0.0, top], colors=[fill]
            )
            self.regions_.append(contours)
            handles.append(Patch(color=fill, label=f"{100 * level:g} %"))
        if show_data and self.data is not None:
            self.data_ = show_points(
                self.ax_, self.data, color=ORANGE, zorder=2, label="data"
            )
            handles.append(self.data_)
        names = self.names or ["feature", "target"]
        self.ax_.set(xlim=self.x[[0, -1]], ylim=self.y[[0, -1]])
        self.ax_.set(xlabel=names[0], ylabel=names[1])
        self.ax_.legend(handles=handles)
        return self


def _of_density(cls, estimator, X, y, levels, features, target, resolution):
    """Return the display of regions of two features."""
    try:
        mixture = as_mixture(estimator).to_numpy()
    except TypeError as error:
        raise TypeError(f"{error} Of a density of targets given X pass y, too.") from (
            error
        )
    rows, names = read_columns(X, mixture.n_features)
    chosen = choose_features(features, names, (2,))
    data, names = rows[:, chosen], [names[j] for j in chosen]
    mixture = mixture.marginal(chosen)
    grid = [make_grid(x, resolution) for x in data.T]
    logs = mixture.log_prob(np.stack(np.meshgrid(*grid), axis=-1))
    regions = [mixture.region(level, random_state=0) for level in levels]
    margins = np.stack([logs - region.log_threshold for region in regions])
    return cls(*grid, margins, levels, data=data, names=names)


def _of_targets(cls, estimator, X, y, levels, feature, target, resolution):
    """Return the display of regions of a target along a feature."""
    feature = 0 if feature is None else feature
    part = slice_contexts(X, y, feature, target, resolution)
    last, contexts = find_last(estimator, part.contexts)
    if part.n_targets == 1 and hasattr(last, "predict_region"):
        regions = [last.predict_region(contexts, level) for level in levels]
    else:
        mixture = conditional_mixtures(estimator, part.contexts, part.n_targets)
        mixture = mixture.to_numpy().marginal([part.target])
        regions = [mixture.region(level) for level in levels]
    rows = part.y[:, None, None]
    margins = [r.mixture.log_prob(rows) - r.log_threshold for r in regions]
    names, margins = part.names, np.stack(margins)
    return cls(part.x, part.y, margins, levels, data=part.data, names=names)
