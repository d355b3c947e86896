"""The display of densities of one or two features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from skgmje._bridges import as_mixture, find_estimator
from skgmje._typing import NDArray, Self
from skgmje._validation import like_rows
from skgmje.gaussian._mixture import Mixture
from skgmje.inspection._canvas import (
    BLUE,
    ORANGE,
    add_colorbar,
    check_matplotlib,
    choose_features,
    fill_contours,
    make_axes,
    make_grid,
    read_columns,
    read_rows,
    show_points,
)

# Values of each feature, by the number of features.
RESOLUTION = {1: 500, 2: 100}


class DensityDisplay:
    """Density of one feature as a curve, of two as filled contours.

    Parameters
    ----------
    grid : list of one or two ndarrays
        Values of each feature shown.

    log_density : ndarray of shape (len(grid[0]),) or (len(grid[1]), len(grid[0]))
        Log-density on the grid, in nats.

    data : ndarray of shape (n_samples, len(grid)), default=None
        Samples shown beside the density.

    names : list of str, default=None
        Names of the features.

    Attributes
    ----------
    ax_, figure_ : matplotlib Axes and Figure
        Where it was drawn.

    curve_ : matplotlib Line2D or None
        Density of one feature.

    surface_ : matplotlib QuadContourSet or None
        Log-density of two features.

    data_ : matplotlib artist or None
        Histogram or points of the data.

    See Also
    --------
    MixtureDisplay : The components of a mixture.
    ConditionalDensityDisplay : A density that depends on a feature.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.neighbors import KernelDensity
    >>> from skgmje.inspection import DensityDisplay
    >>> X = np.random.default_rng(0).normal(size=(100, 2))
    >>> display = DensityDisplay.from_estimator(KernelDensity().fit(X), X)
    >>> display.log_density.shape
    (100, 100)
    """

    ax_: Any
    figure_: Any
    curve_: Any
    surface_: Any
    data_: Any

    def __init__(
        self,
        grid: Any,
        log_density: Any,
        *,
        data: NDArray[Any] | None = None,
        names: list[str] | None = None,
    ) -> None:
        self.grid = grid
        self.log_density = log_density
        self.data = data
        self.names = names

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        *,
        features: Sequence[int] | str | int | None = None,
        grid_resolution: int | None = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> DensityDisplay:
        """Evaluate a fitted density on a grid around the data and draw it.

        Parameters
        ----------
        estimator : fitted estimator or Mixture
            Anything with ``score_samples``, of any library. A pipeline says how
            dense transformed samples are; for densities of `X` itself see
            :class:`~skgmje.compose.TransformedDensity`.

        X : array-like or data frame of shape (n_samples, n_features)
            Samples that say where to look; they are shown too.

        features : sequence of int or str, or int or str, default=None
            One or two columns. If they are not all, their marginal is shown,
            which takes a density that is one Gaussian mixture.

        grid_resolution : int, default=None
            Number of values of each feature; None means 500 of one and 100 of
            each of two.

        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.

        **kwargs : dict
            Arguments of :meth:`plot`.

        Returns
        -------
        display : DensityDisplay
            As drawn.

        Raises
        ------
        ImportError
            If matplotlib is not installed.

        TypeError
            If there is no ``score_samples``, or marginals are wanted of what is no
            Gaussian mixture.

        ValueError
            If the number of features cannot be shown.
        """
        check_matplotlib(f"{cls.__name__}.from_estimator")
        rows, names = read_rows(X)
        chosen = choose_features(features, names, (1, 2))
        data = rows[:, chosen]
        if grid_resolution is None:
            grid_resolution = RESOLUTION[len(chosen)]
        grid = [make_grid(x, grid_resolution) for x in data.T]
        points = np.stack(np.meshgrid(*grid), axis=-1)
        logs = _score(estimator, points.reshape(-1, len(chosen)), chosen, X, len(names))
        display = cls(
            grid,
            logs.reshape(points.shape[:-1]),
            data=data,
            names=[names[j] for j in chosen],
        )
        return display.plot(ax=ax, **kwargs)

    def plot(
        self,
        ax: Any = None,
        *,
        depth: float = 8.0,
        cmap: Any = "Blues",
        show_data: bool = True,
        show_colorbar: bool = True,
    ) -> Self:
        """Draw the density.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.

        depth : float, default=8.0
            Of two features, how many nats below the highest value colours reach.

        cmap : str or matplotlib Colormap, default='Blues'
            Colours of the log-density of two features.

        show_data : bool, default=True
            Whether to show a histogram or points of the data. Of more than 2000
            points some, evenly spread, are shown.

        show_colorbar : bool, default=True
            Whether to show what the colours mean.

        Returns
        -------
        self : DensityDisplay
            With the artists as attributes.
        """
        self.ax_ = make_axes(ax, f"{type(self).__name__}.plot")
        self.figure_ = self.ax_.figure
        self.curve_ = self.surface_ = self.data_ = None
        names = self.names or ["feature"] * len(self.grid)
        data = self.data if show_data else None
        if len(self.grid) == 1:
            self._plot_curve(data)
            self.ax_.set(xlabel=names[0], ylabel="density")
        else:
            self._plot_surface(data, depth, cmap, show_colorbar)
            self.ax_.set(xlabel=names[0], ylabel=names[1])
        return self

    def _plot_curve(self, data):
        (x,) = self.grid
        if data is not None:
            values = data[~np.isnan(data)]
            n_bins = min(100, max(10, int(2 * len(values) ** 0.5)))
            *_, self.data_ = self.ax_.hist(
                values, n_bins, density=True, color="0.85", label="data"
            )
        density = np.exp(self.log_density)
        (self.curve_,) = self.ax_.plot(
            x, density, color=BLUE, linewidth=2, label="density"
        )
        self.ax_.set_ylim(bottom=0)
        if data is not None:
            self.ax_.legend()

    def _plot_surface(self, data, depth, cmap, show_colorbar):
        self.surface_ = fill_contours(
            self.ax_, self.grid, self.log_density, depth, cmap
        )
        if data is not None:
            self.data_ = show_points(self.ax_, data, color=ORANGE, zorder=2)
        if show_colorbar:
            add_colorbar(self.surface_, self.ax_, "log-density (nats)")


def _score(estimator, points, chosen, X, n_features):
    """Return the log-density of points, of a marginal if they lack columns."""
    estimator = find_estimator(estimator)
    if isinstance(estimator, Mixture) or sorted(chosen) != list(range(n_features)):
        mixture = as_mixture(estimator).to_numpy()
        read_columns(X, mixture.n_features)
        return mixture.marginal(chosen).log_prob(points)
    if not hasattr(estimator, "score_samples"):
        raise TypeError(
            f"{estimator!r} has no method score_samples. Give the estimator of a "
            "density; a density of targets is drawn by ConditionalDensityDisplay."
        )
    return estimator.score_samples(like_rows(points[:, np.argsort(chosen)], X))
