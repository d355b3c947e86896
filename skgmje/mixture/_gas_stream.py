"""A gas and its mixture that follow a stream."""

import numpy as np

from skgmje._base import _fit_context
from skgmje._estimator import Change
from skgmje._row_blocks import as_blocks
from skgmje.adaptation import adapt_gas, nearest_nodes, start_gas
from skgmje.mixture._fitting import blend
from skgmje.mixture._gas_fit import in_proportion
from skgmje.mixture._gas_moments import (
    follow_nodes,
    group_nodes,
    mixture_of,
    node_statistics,
    stats_kernel,
    stream_regularisation,
)

# Largest number of nodes of a stream whose first rows do not say it.
MAX_NODES = 100

# Rows that are learned from at a time; longer chunks are cut.
PART_ROWS = 512

# The mixture begins anew from the nodes when it has fallen behind what their own
# rows give by so many nats, in a sequential likelihood ratio test.
PATIENCE = 20.0


class GasStreamMixin:
    """Keeps a gas and the moments of its nodes from one chunk to the next."""

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y=None, sample_weight=None):
        """Let gas and mixture follow a chunk of a stream, in its order.

        The mixture is valid after every chunk, of whatever size. Its components
        are those of the nodes (or connected components): rows are mixed into their
        statistics by stepwise EM, and a new node takes its share from the nodes
        around it. With a `utility_threshold` older rows fade over the time in
        which half of the nodes could be new. The order of chunks and rows decides
        everything: nothing is drawn at random. A chunk that Ctrl-C interrupts is as
        if not given.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or Dask collection
            The chunk, with one row or more. Of a Dask array or dataframe, block
            follows block.

        y : Ignored
            Not used, present for API consistency by convention.

        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the samples. The gas sees as many rows as the chunk has,
            each in proportion to its weight.

        Returns
        -------
        self : object
            The updated estimator.
        """
        blocks = as_blocks(X, sample_weight)
        if blocks is not None:
            for rows, weight in blocks:
                self.partial_fit(rows, sample_weight=weight)
            return self
        with Change(self):
            is_first = not hasattr(self, "_gas")
            X, weight = self._check_chunk(
                X, sample_weight, reset=is_first, min_samples=1
            )
            if is_first:
                self._start_stream(X, weight)
            for start in range(0, len(X), PART_ROWS):
                rows = slice(start, start + PART_ROWS)
                self._follow(X[rows], None if weight is None else weight[rows])
            self._set_gas(self._gas)
            groups = self._stats
            if self.component == "connected":
                groups = group_nodes(groups, self.node_labels_, self.covariance_type_)
            self._set_mixture(self._mixture_of(groups))
            self._judge(X, weight)
        return self

    def _start_stream(self, X, weight):
        """Begin a stream that no fit came before."""
        kind, shrinkage = self.covariance_type, self.shrinkage
        self.covariance_type_ = "full" if kind == "auto" else kind
        self.shrinkage_ = float(X.shape[1] if shrinkage == "auto" else shrinkage)
        self.n_iter_ = 0
        gas = start_gas(X)
        rows, weight = X[:2], None if weight is None else weight[:2]
        self._begin_stream(gas, rows, weight, gas_nearest(gas))

    def _begin_stream(self, gas, X, weight, assign):
        """Take the statistics of the nodes, with which a stream goes on.

        `_hard` are those of the rows nearest to each node, `_stats` those of the
        mixture; `_lag` is by how many nats the one has led of late.
        """
        kind = self.covariance_type_
        self._gas, self._lag = gas, 0.0
        nearest = gas_nearest(gas)
        self._hard = node_statistics(X, weight, nearest, gas.nodes, kind)
        self._stats = node_statistics(X, weight, assign, gas.nodes, kind)

    def _follow(self, X, weight):
        """Let gas, statistics and mixture learn from some rows."""
        old, memory = self._gas, self._memory()
        signals = X if weight is None else X[in_proportion(weight)]
        rules = {"max_nodes": self._most_nodes(), **self._rules()}
        gas = self._gas = adapt_gas(old, signals, **rules)
        self._compare(X, weight)
        hard = follow_nodes(self._hard, old, gas, shift=True)
        self._hard = self._blend(hard, X, weight, gas_nearest(gas), memory)
        self.n_iter_ += 1
        if self.polish is None:
            self._stats = self._hard
            return
        stats = follow_nodes(self._stats, old, gas)
        assign = self._mixture_of(stats).responsibilities
        self._stats = self._blend(stats, X, weight, assign, memory)

    def _compare(self, X, weight):
        """Score rows that are new; take the nodes' own mixture if it does better."""
        soft = self._mixture_of(self._stats).log_prob(X)
        self.lower_bound_ = float(np.average(soft, weights=weight))
        if self.polish is None:
            return
        hard = self._mixture_of(self._hard).log_prob(X)
        self._lag = max(0.0, self._lag + float((hard - soft).sum()))
        if self._lag > PATIENCE:
            self._stats, self._lag = self._hard, 0.0

    def _blend(self, old, X, weight, assign, memory):
        kind = self.covariance_type_
        fresh = node_statistics(X, weight, assign, old.means, kind)
        return blend(stats_kernel(old, kind), old, fresh, memory)

    def _most_nodes(self):
        if self.max_nodes != "auto":
            return self.max_nodes
        return vars(self).get("_chosen_nodes", MAX_NODES)

    def _mixture_of(self, stats):
        kind = self.covariance_type_
        reg_covar = stream_regularisation(self.reg_covar, stats, kind)
        return mixture_of(stats, kind, self.shrinkage_, reg_covar)

    def _memory(self):
        if self.utility_threshold is None:
            return np.inf
        return self.insertion_interval * len(self._gas.nodes) / 2


def gas_nearest(gas):
    """Return the function that finds the nearest nodes of rows."""
    return lambda rows: nearest_nodes(gas.nodes, rows)[0]
