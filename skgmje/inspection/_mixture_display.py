"""Displays of mixtures as ellipses, and of neural gases as graphs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any

import numpy as np

from skgmje._bridges import as_mixture, find_estimator
from skgmje._typing import NDArray, Self
from skgmje.gaussian._covariance import COVARIANCE_TYPES
from skgmje.inspection._canvas import (
    BLUE,
    COLORS,
    Display,
    check_matplotlib,
    choose_features,
    number_columns,
    read_columns,
)

# Corners of the polygon that stands for an ellipse.
N_CORNERS = 100


class PlaneDisplay(Display, ABC):
    """A display of two features; a subclass says how it reads and draws them."""

    @classmethod
    @abstractmethod
    def _read(cls, estimator):
        """Return the number of features, and what makes a display's values of two."""

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any = None,
        *,
        features: Sequence[int] | str | None = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> Any:
        """Draw what the display shows of a fitted estimator.

        Parameters
        ----------
        estimator : fitted estimator or Mixture
            Of which it shows a part.

        X : array-like or data frame of shape (n_samples, n_features), default=None
            Samples to show, and names of the features.

        features : sequence of two int or str, default=None
            Columns to show; None if there are only two.

        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.

        **kwargs : dict
            Arguments of :meth:`plot`.

        Returns
        -------
        display : object
            As drawn.

        Raises
        ------
        TypeError
            If the estimator is not of the kind that is drawn.

        ValueError
            If not two features are chosen.
        """
        check_matplotlib(f"{cls.__name__}.from_estimator")
        n_features, values_of = cls._read(estimator)
        rows, names = read_columns(X, n_features)
        chosen = choose_features(features, names, (2,))
        display = cls(
            **values_of(chosen),
            data=None if rows is None else rows[:, chosen],
            names=[names[j] for j in chosen],
        )
        return display.plot(ax=ax, **kwargs)  # type: ignore[attr-defined]


@dataclass(eq=False, repr=False)
class MixtureDisplay(PlaneDisplay):
    """Ellipses that hold a given share of each component of a mixture.

    Drawn of whatever :func:`skgmje.as_mixture` takes.

    Parameters
    ----------
    weights : ndarray of shape (n_components,)
        Weights of the components: the heavier, the darker.

    means : ndarray of shape (n_components, 2)
        Means of the two features shown.

    covariances : ndarray of shape (n_components, 2, 2)
        Their covariances.

    data : ndarray of shape (n_samples, 2), default=None
        Samples shown beside the components.

    names : list of str, default=None
        Names of the two features.

    Attributes
    ----------
    ax_, figure_ : matplotlib Axes and Figure
        Where it was drawn.

    ellipses_ : list of matplotlib PolyCollection
        The ellipses of each share, those of the largest first.

    centers_ : matplotlib PathCollection
        The means.

    data_ : matplotlib PathCollection or None
        Points of the data.

    See Also
    --------
    DensityDisplay : What the components add up to.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.mixture import GaussianMixture
    >>> from skgmje.inspection import MixtureDisplay
    >>> X = np.random.default_rng(0).normal(size=(100, 3))
    >>> mixture = GaussianMixture(2, random_state=0).fit(X)
    >>> display = MixtureDisplay.from_estimator(mixture, X, features=[0, 2])
    >>> display.means.shape
    (2, 2)
    """

    weights: NDArray[Any]
    means: NDArray[Any]
    covariances: NDArray[Any]
    _: KW_ONLY
    data: NDArray[Any] | None = None
    names: list[str] | None = None

    @classmethod
    def _read(cls, estimator):
        mixture = as_mixture(estimator).to_numpy()

        def values_of(chosen):
            pair = mixture.marginal(chosen)
            dense = COVARIANCE_TYPES[pair.covariance_type].dense
            return {
                "weights": pair.weights,
                "means": pair.means,
                "covariances": dense(pair.covariances, pair.n_components, 2),
            }

        return mixture.n_features, values_of

    def plot(
        self,
        ax: Any = None,
        *,
        coverage: Sequence[float] = (0.5, 0.9),
        color: Any = BLUE,
        show_data: bool = True,
    ) -> Self:
        """Draw the ellipses.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.

        coverage : sequence of float, default=(0.5, 0.9)
            Shares of each component that its ellipses hold.

        color : matplotlib color, default='#0072B2'
            Colour of the components.

        show_data : bool, default=True
            Whether to show the data, if there are any.

        Returns
        -------
        self : MixtureDisplay
            With the artists as attributes.

        Raises
        ------
        ValueError
            If a share does not lie between zero and one.
        """
        if not all(0 < share < 1 for share in coverage):
            raise ValueError(
                f"coverage={coverage!r} must lie strictly between 0 and 1, such as "
                "(0.5, 0.9)."
            )
        self._start(ax)
        self._show_data(show_data)
        self._name_axes(*number_columns(2))
        shares = sorted(coverage, reverse=True)
        self.ellipses_ = [self._plot_ellipses(share, color) for share in shares]
        strength = self.weights / self.weights.max()
        self.centers_ = self.ax_.scatter(
            *self.means.T, s=10 + 30 * strength, color=color, marker="+", zorder=3
        )
        self.ax_.autoscale_view()
        percents = " and ".join(f"{share:.0%}" for share in sorted(coverage))
        self.ax_.set_title(f"{percents} of each component")
        return self

    def _plot_ellipses(self, share, color):
        from matplotlib.collections import PolyCollection
        from matplotlib.colors import to_rgba

        angles = np.linspace(0, 2 * np.pi, N_CORNERS, endpoint=False)
        circle = np.stack([np.cos(angles), np.sin(angles)], axis=-1)
        radius = (-2 * np.log1p(-share)) ** 0.5
        roots = np.linalg.cholesky(self.covariances)
        corners = self.means[:, None] + radius * circle @ np.swapaxes(roots, 1, 2)
        strength = self.weights / self.weights.max()
        ellipses = PolyCollection(
            corners,
            facecolors=[to_rgba(color, 0.05 + 0.2 * s) for s in strength],
            edgecolors=[to_rgba(color, 0.25 + 0.75 * s) for s in strength],
            linewidths=1.2,
        )
        return self.ax_.add_collection(ellipses)


@dataclass(eq=False, repr=False)
class GraphDisplay(PlaneDisplay):
    """The graph that a growing neural gas has learned.

    Drawn of an estimator with ``nodes_`` and ``edges_``, such as
    :class:`skgmje.mixture.GrowingNeuralGasMixture`; ``node_labels_`` give colours.

    Parameters
    ----------
    nodes : ndarray of shape (n_nodes, 2)
        Positions in the two features shown.

    edges : ndarray of int, shape (n_edges, 2)
        Pairs of linked nodes.

    labels : ndarray of int, shape (n_nodes,), default=None
        The connected component of each node, which gives its colour. There are
        seven colours; further components use them again.

    data : ndarray of shape (n_samples, 2), default=None
        Samples shown beside the graph.

    names : list of two str, default=None
        Names of the features.

    Attributes
    ----------
    ax_, figure_ : matplotlib Axes and Figure
        Where it was drawn.

    nodes_ : matplotlib PathCollection
        The nodes.

    edges_ : matplotlib LineCollection
        The edges.

    data_ : matplotlib PathCollection or None
        Points of the data.

    Examples
    --------
    >>> import numpy as np
    >>> from skgmje.inspection import GraphDisplay
    >>> from skgmje.mixture import GrowingNeuralGasMixture
    >>> X = np.random.default_rng(0).normal(size=(500, 2))
    >>> gas = GrowingNeuralGasMixture(random_state=0).fit(X)
    >>> display = GraphDisplay.from_estimator(gas, X)
    >>> len(display.nodes) == gas.n_nodes_
    True
    """

    nodes: NDArray[Any]
    edges: NDArray[Any]
    _: KW_ONLY
    labels: NDArray[Any] | None = None
    data: NDArray[Any] | None = None
    names: list[str] | None = None

    @classmethod
    def _read(cls, estimator):
        estimator = find_estimator(estimator)
        try:
            nodes, edges = np.asarray(estimator.nodes_), np.asarray(estimator.edges_)
        except AttributeError as error:
            raise TypeError(
                f"{estimator!r} has no graph: nodes_ and edges_ are missing. Give a "
                "fitted GrowingNeuralGasMixture; of a pipeline with transformers its "
                "last step, and as X what that step sees."
            ) from error
        labels = getattr(estimator, "node_labels_", None)
        graph = {"edges": edges, "labels": labels}
        return nodes.shape[1], lambda chosen: {"nodes": nodes[:, chosen], **graph}

    def plot(
        self, ax: Any = None, *, node_size: float = 20.0, show_data: bool = True
    ) -> Self:
        """Draw the graph.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.

        node_size : float, default=20.0
            Area of a node, in square points.

        show_data : bool, default=True
            Whether to show the data, if there are any.

        Returns
        -------
        self : GraphDisplay
            With the artists as attributes.
        """
        self._start(ax)
        self._show_data(show_data, color="0.8")
        self._name_axes(*number_columns(2))
        from matplotlib.collections import LineCollection

        n_nodes = len(self.nodes)
        labels = np.zeros(n_nodes, int) if self.labels is None else self.labels
        colors = np.array(COLORS)[np.asarray(labels) % len(COLORS)]
        lines = LineCollection(self.nodes[self.edges], colors="0.3", linewidths=1)
        self.edges_ = self.ax_.add_collection(lines)
        self.nodes_ = self.ax_.scatter(
            *self.nodes.T, s=node_size, c=colors, zorder=3, linewidths=0
        )
        return self
