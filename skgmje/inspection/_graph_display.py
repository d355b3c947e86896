"""The graph of a neural gas."""

import numpy as np

from skgmje.inspection._canvas import (
    COLORS,
    check_matplotlib,
    choose_features,
    make_axes,
    number_columns,
    read_rows,
    show_points,
)


class GraphDisplay:
    """The graph that a growing neural gas has learned.

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
        Rows shown beside the graph.

    names : list of two str, default=None
        Names of the features.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Where it was drawn.

    figure_ : matplotlib Figure
        The figure of `ax_`.

    nodes_ : matplotlib PathCollection
        The nodes.

    edges_ : matplotlib LineCollection
        The edges.

    data_ : matplotlib PathCollection or None
        Points of the data.

    See Also
    --------
    MixtureDisplay : The mixture that the gas carries.

    Examples
    --------
    >>> import numpy as np

    >>> from skgmje.mixture._neural_gas_mixture import GrowingNeuralGasMixture
    >>> X = np.random.default_rng(0).normal(size=(500, 2))
    >>> gas = GrowingNeuralGasMixture(random_state=0).fit(X)
    >>> display = GraphDisplay.from_estimator(gas, X)
    >>> len(display.nodes) == gas.n_nodes_
    True
    """

    def __init__(self, nodes, edges, *, labels=None, data=None, names=None):
        self.nodes = nodes
        self.edges = edges
        self.labels = labels
        self.data = data
        self.names = names

    @classmethod
    def from_estimator(cls, estimator, X=None, *, features=None, ax=None, **kwargs):
        """Draw the graph of a fitted estimator.

        Parameters
        ----------
        estimator : fitted estimator
            With ``nodes_`` and ``edges_``, such as
            :class:`skgmje.mixture.GrowingNeuralGasMixture`; ``node_labels_`` give
            colours.

        X : array-like or data frame of shape (n_samples, n_features), default=None
            Rows to show, and names of the features.

        features : sequence of two int or str, default=None
            Columns to show; None if there are only two.

        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.

        **kwargs : dict
            Arguments of :meth:`plot`.

        Returns
        -------
        display : GraphDisplay
            As drawn.

        Raises
        ------
        ImportError
            If matplotlib is not installed.

        TypeError
            If the estimator has no graph.

        ValueError
            If not two features are chosen.
        """
        check_matplotlib(f"{cls.__name__}.from_estimator")
        try:
            nodes, edges = np.asarray(estimator.nodes_), np.asarray(estimator.edges_)
        except AttributeError as error:
            raise TypeError(
                f"{estimator!r} has no graph: nodes_ and edges_ are missing. Fit a "
                "GrowingNeuralGasMixture first."
            ) from error
        rows, names = None, number_columns(nodes.shape[1])
        if X is not None:
            rows, names = read_rows(X)
        chosen = choose_features(features, names, (2,))
        display = cls(
            nodes[:, chosen],
            edges,
            labels=getattr(estimator, "node_labels_", None),
            data=None if rows is None else rows[:, chosen],
            names=[names[j] for j in chosen],
        )
        return display.plot(ax=ax, **kwargs)

    def plot(self, ax=None, *, node_size=20.0, show_data=True):
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
        self.ax_ = make_axes(ax, f"{type(self).__name__}.plot")
        from matplotlib.collections import LineCollection

        self.figure_ = self.ax_.figure
        self.data_ = None
        if show_data and self.data is not None:
            self.data_ = show_points(self.ax_, self.data, color="0.8")
        n_nodes = len(self.nodes)
        labels = np.zeros(n_nodes, int) if self.labels is None else self.labels
        colors = np.array(COLORS)[np.asarray(labels) % len(COLORS)]
        lines = LineCollection(self.nodes[self.edges], colors="0.3", linewidths=1)
        self.edges_ = self.ax_.add_collection(lines)
        self.nodes_ = self.ax_.scatter(
            *self.nodes.T, s=node_size, c=colors, zorder=3, linewidths=0
        )
        names = self.names or number_columns(2)
        self.ax_.set(xlabel=names[0], ylabel=names[1])
        return self
