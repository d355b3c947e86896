"""Growing neural gas as clustering, graph and density."""

from __future__ import annotations

from functools import partial
from numbers import Integral
from typing import Any, Literal

import numpy as np
from scipy.sparse import csr_array
from scipy.spatial.distance import cdist
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    ClusterMixin,
    TransformerMixin,
)
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from skgmje._callbacks import Change, FitTask
from skgmje._options import as_options
from skgmje._sklearn import Interval, StrOptions, _fit_context
from skgmje._typing import ArrayLike, NDArray, RandomState, Self
from skgmje._validation import (
    TypeOptions,
    as_blocks,
    check_blocks,
    check_rows,
    check_weights,
)
from skgmje.em._blocks import RowBlocks
from skgmje.em._em import EMResult, expectation_maximization
from skgmje.em._select import part_of
from skgmje.em._stepwise import blend
from skgmje.gaussian._covariance import COVARIANCE_TYPES
from skgmje.mixture._base import AMOUNT, AUTO, NoisyDensityMixin, check_goes_on
from skgmje.mixture._gas_fit import (
    check_nodes,
    follow_nodes,
    group_nodes,
    grow,
    in_proportion,
    mixture_of,
    node_responsibilities,
    node_statistics,
    on_device,
    select_nodes,
    stats_kernel,
    stream_regularisation,
    sum_shares,
)
from skgmje.mixture._gas_growth import GROWTHS, GasGrowth, rules_of
from skgmje.mixture._gaussian_mixture import GaussianMixture, regularisation
from skgmje.mixture._refinement import refining_mixture
from skgmje.mixture._settled import warn_about
from skgmje.neural_gas._nodes import gas_errors, gas_mixture, nearest_nodes
from skgmje.neural_gas._state import GasState, adapt_gas, gas_components, start_gas

# What transform computes of samples, and its number of columns.
OUTPUTS = {
    "responsibilities": lambda gas: (gas.mixture_.responsibilities, len(gas.weights_)),
    "distances": lambda gas: (partial(_distances, gas.nodes_), gas.n_nodes_),
}

# Largest number of nodes of a stream that nobody says.
MAX_NODES = 100

# Rows that are learned from at a time; longer chunks are cut.
PART_ROWS = 512

# The mixture begins anew from the nodes when it has fallen behind what their own
# rows give by so many nats, in a sequential likelihood ratio test.
PATIENCE = 20.0


def _distances(nodes, rows):
    """Return the distances of samples to all nodes."""
    return cdist(rows, nodes)


def _nearest(nodes, rows):
    """Return the nearest node of each sample."""
    return nearest_nodes(nodes, rows)[0]


class GrowingNeuralGasMixture(
    ClusterMixin,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    NoisyDensityMixin,
    BaseEstimator,
):
    r"""Gaussian mixture that grows with the topology of the data.

    A growing neural gas is a graph whose nodes learn where the samples are, and
    whose edges learn which nodes are neighbours. Its connected parts are clusters;
    the samples around its nodes (or clusters) start EM, which makes a density of
    it. It learns from a table (:meth:`fit`) or from a stream (:meth:`partial_fit`).

    .. math:: w_1 \leftarrow w_1 + \epsilon_b (x - w_1), \quad
        w_n \leftarrow w_n + \epsilon_n (x - w_n)

    for the node :math:`w_1` nearest to a sample x and its neighbours :math:`w_n`.
    Distances are Euclidean: scale the features if their units differ.

    Parameters
    ----------
    max_nodes : int or 'auto', default=100
        Largest number of nodes; :meth:`fit` takes no more than one for three
        distinct samples. 'auto' grows until the likelihood of held-out samples stops
        improving; in a stream it is 100.

    component : {'node', 'cluster'}, default='node'
        What becomes a component of the mixture, and has a mean in `means_`: each
        node, or each cluster. :meth:`predict` speaks of clusters, of the same ones
        with either. Below 100 samples, or ten per feature, held-out samples may make
        all nodes one component, where `shrinkage` or another setting is 'auto'.

    covariance_type : {'full', 'tied', 'diag', 'spherical', 'auto'}, default='full'
        Shape of the covariances; 'auto' is chosen by held-out samples. Without
        `refine`, and in a stream, it is 'full'.

    shrinkage : float or 'auto', default='auto'
        Pseudo-count s of the pooled within-covariance, in samples; 'auto' is chosen
        by held-out samples. Without `refine`, and in a stream, it is the number of
        features.

    reg_covar : float or 'auto', default='auto'
        Added to the diagonal of every covariance, in squared units of `X`; 'auto'
        is a millionth of each feature's variance.

    refine : 'em', GaussianMixture or None, default='em'
        What follows the growth. 'em': EM with the three settings above. A
        :class:`GaussianMixture`: EM with its `covariance_type`, `shrinkage`,
        `reg_covar`, `shrinkage_target`, `annealing`, `tol` and `max_iter`; its other
        parameters, and the three above, then have to stay as they are. None: the
        mixture is that of the samples nearest to each node, and only ``"auto"`` nodes
        are chosen. In a stream: samples count by their responsibilities; with None,
        for the nearest node.

    growth : {'batch', 'sequential'} or GasGrowth, default='batch'
        Whether the gas sees up to two samples per node at once, or single samples;
        :class:`GasGrowth` has all rules, among them the `utility_threshold` by which
        a drifting stream is followed.

    output : {'responsibilities', 'distances'}, default='responsibilities'
        What :meth:`transform` returns: the responsibilities of the components, not
        summed to those of clusters, or distances to the nodes.

    device : str, default='cpu'
        Where :meth:`fit` grows the gas and takes the E-steps (not of 'tied'
        covariances): 'cpu' (NumPy, without torch), or torch's name of a device;
        'auto' is the first CUDA device if there is one.

    random_state : int, RandomState instance or None, default=None
        Controls the order of the samples, folds and :meth:`sample`; not of streams.

    Attributes
    ----------
    nodes_ : ndarray of shape (n_nodes_, n_features)
        Positions of the nodes.

    edges_ : ndarray of int, shape (n_edges, 2)
        Nodes that are linked.

    ages_ : ndarray of int, shape (n_edges,)
        Ages of the edges.

    n_nodes_ : int
        Number of nodes.

    graph_ : scipy.sparse.csr_array of shape (n_nodes_, n_nodes_)
        1 where two nodes are linked.

    node_labels_ : ndarray of int, shape (n_nodes_,)
        Cluster of each node: its connected part of the graph.

    labels_ : ndarray of int, shape (n_samples,)
        Cluster of each sample of the last fit or chunk, as :meth:`predict` gives it.

    quantization_error_ : float
        Mean distance of these samples to their nearest nodes.

    topographic_error_ : float
        Share of these samples whose two nearest nodes are not linked.

    n_components_, weights_, means_, covariances_, covariance_type_, mixture_
        The components, as those of :class:`GaussianMixture`; `shrinkage_`,
        `precisions_` and `precisions_cholesky_`, too. Nodes with less than five samples
        may have none.

    n_iter_ : int
        Number of M-steps.

    lower_bound_ : float
        Mean log-likelihood of the samples before the last M-step, in nats; without
        `refine` that of the mixture.

    cv_results_ : dict
        Held-out log-likelihoods of the candidates, if a setting was 'auto'.

    n_features_in_, feature_names_in_ : int and ndarray of str
        Number and names of the features seen during :term:`fit`; the latter if all
        names are strings.

    See Also
    --------
    GaussianMixture : EM from k-means.
    GasGrowth : The rules of the gas.

    References
    ----------
    .. [1] B. Fritzke, "A Growing Neural Gas Network Learns Topologies", 1995.

    Examples
    --------
    >>> from sklearn.datasets import make_moons
    >>> from skgmje.mixture import GrowingNeuralGasMixture
    >>> X, y = make_moons(500, noise=0.05, random_state=0)
    >>> gas = GrowingNeuralGasMixture(40, random_state=0).fit(X)
    >>> int(gas.node_labels_.max()) + 1
    2
    >>> float(abs((gas.predict(X) == y).mean() - 0.5))
    0.5
    """

    nodes_: NDArray[Any]
    edges_: NDArray[Any]
    ages_: NDArray[Any]
    n_nodes_: int
    node_labels_: NDArray[Any]
    labels_: NDArray[Any]
    quantization_error_: float
    topographic_error_: float
    n_iter_: int
    lower_bound_: float
    cv_results_: dict[str, Any]

    _parameter_constraints: dict = {
        "max_nodes": [Interval(Integral, 2, None, closed="left"), AUTO],
        "component": [StrOptions({"node", "cluster"})],
        "covariance_type": [TypeOptions(lambda kind: not kind.needs_start)],
        "shrinkage": [AMOUNT, AUTO],
        "reg_covar": [AMOUNT, AUTO],
        "refine": [StrOptions({"em"}), GaussianMixture, None],
        "growth": [StrOptions(set(GROWTHS)), GasGrowth],
        "output": [StrOptions(set(OUTPUTS))],
        "device": [str],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        max_nodes: int | Literal["auto"] = 100,
        *,
        component: Literal["node", "cluster"] = "node",
        covariance_type: Literal["full", "tied", "diag", "spherical", "auto"] = "full",
        shrinkage: float | Literal["auto"] = "auto",
        reg_covar: float | Literal["auto"] = "auto",
        refine: Literal["em"] | GaussianMixture | None = "em",
        growth: Literal["batch", "sequential"] | GasGrowth = "batch",
        output: Literal["responsibilities", "distances"] = "responsibilities",
        device: str = "cpu",
        random_state: RandomState = None,
    ) -> None:
        self.max_nodes = max_nodes
        self.component = component
        self.covariance_type = covariance_type
        self.shrinkage = shrinkage
        self.reg_covar = reg_covar
        self.refine = refine
        self.growth = growth
        self.output = output
        self.device = device
        self.random_state = random_state

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self, X: Any, y: Any = None, sample_weight: ArrayLike | None = None
    ) -> Self:
        """Grow the gas on the samples, in random order, and make a mixture of it.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or Dask collection
            The samples. Of a Dask array or dataframe the gas grows on a random
            part, which `labels_` and the errors are of; EM sees all samples.

        y : Ignored
            Not used, present for API consistency by convention.

        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the samples; a weight of 2 counts as two copies.

        Returns
        -------
        self : object
            The fitted estimator.
        """
        growth, em = as_options(self.growth, GROWTHS), refining_mixture(self)
        n_steps = 1 if self.refine is None else em.max_iter
        with FitTask(self, X, y, sample_weight, n_steps=n_steps) as task:
            rows = X, sample_weight
            everyone, given, weight = self._check_chunk(*rows, reset=True, least=2)
            random_state = check_random_state(self.random_state)
            reg_covar = regularisation(em.reg_covar, given, weight)
            rows = part_of(given, weight, random_state)
            selection = self._select(*rows, random_state, growth, em, reg_covar)
            size = self.max_nodes
            size = selection.n_components if size == "auto" else size
            size = self._chosen_nodes = check_nodes(size, rows[0])
            part = on_device(self.device, *rows)
            gas = task.learn(GasState, grow, *part, size, random_state, growth)
            if not COVARIANCE_TYPES[selection.covariance_type].loops.on_device:
                gas, part = gas.to_numpy(), rows
            settings = selection, em, reg_covar
            refine = partial(self._refined, gas, part, given, settings, task)
            everyone = rows[0] if everyone is given else everyone
            more = gas.to_numpy(), selection, rows, everyone
            start, result = task.end(self._store, refine, *more)
        if result is not None:
            advice = "Increase max_iter or tol of refine, or lower max_nodes."
            words = {"size": "max_nodes", "advice": advice}
            warn_about(result, start.n_components, em.tol, **words)
        self._warn_of_ties(given)
        return self

    def _select(self, X, weight, random_state, growth, em, reg_covar):
        """Choose what is 'auto'; without a refinement only the nodes."""
        kind, shrinkage, max_iter = em.covariance_type, em.shrinkage, em.max_iter
        if self.refine is None:
            (kind, shrinkage), max_iter = self._without_search(X.shape[1]), 1
        return select_nodes(
            X,
            weight,
            random_state,
            max_nodes=self.max_nodes,
            component=self.component,
            growth=growth,
            covariance_type=kind,
            shrinkage=shrinkage,
            shrinkage_target=em.shrinkage_target,
            annealing=em.annealing,
            reg_covar=reg_covar,
            tol=em.tol,
            max_iter=max_iter,
        )

    def _without_search(self, n_features):
        """Return covariance type and pseudo-count where no likelihood chooses them."""
        kind, shrinkage = self._setting("covariance_type"), self._setting("shrinkage")
        kind = "full" if kind == "auto" else kind
        return kind, float(n_features if shrinkage == "auto" else shrinkage)

    def _setting(self, name):
        """Return a setting of the covariances: that of `refine` if it is a mixture."""
        return getattr(self.refine, name, getattr(self, name))

    def _refined(self, gas, part, given, settings, task):
        """Return the mixture of the nodes' samples, and what EM makes of it, if any."""
        (X, weight), (selection, em, reg_covar) = part, settings
        prior = {"shrinkage": selection.shrinkage, "reg_covar": reg_covar}
        granularity = "one" if selection.n_components == 1 else self.component
        how = {"granularity": granularity, "sample_weight": weight, **prior}
        start = gas_mixture(gas, X, selection.covariance_type, **how)
        if self.refine is None:
            return start, None
        if isinstance(given, RowBlocks):
            X, weight = given, None
        result = task.learn(
            EMResult,
            expectation_maximization,
            X,
            start,
            sample_weight=weight,
            shrinkage_target=em.shrinkage_target,
            annealing=em.annealing,
            tol=em.tol,
            max_iter=1 if task.when else em.max_iter,
            callback=task.has_listeners and (lambda *_: task.step("iteration")),
            **prior,
        )
        return start, result

    def _store(self, refine, gas, selection, rows, everyone):
        """Store the gas, the mixture that is made of it, and what both say."""
        (X, weight), (start, result) = rows, refine()
        mixture = start if result is None else result.mixture
        self._set_gas(gas)
        self._set_mixture(mixture)
        self.shrinkage_ = float(selection.shrinkage)
        if result is None:
            total = len(X) if weight is None else float(weight.sum(dtype=np.float64))
            self.n_iter_, self.lower_bound_ = 1, self._total(X, weight) / total
        else:
            bound = result.lower_bounds[-1] if result.n_iter else -np.inf
            self.n_iter_, self.lower_bound_ = result.n_iter, bound
        vars(self).pop("cv_results_", None)
        if selection.cv_results is not None:
            self.cv_results_ = selection.cv_results
        assign = None
        if self.refine is not None and self.component == "node":
            assign = node_responsibilities(mixture, gas.nodes)
        self._begin_stream(gas, X, weight, assign)
        self._judge(everyone, X, weight)
        return start, result

    def _check_chunk(self, X, sample_weight, *, reset, least):
        """Return all samples, and those that have a weight with their weights."""
        blocks = as_blocks(X, sample_weight)
        if blocks is not None:
            blocks = check_blocks(self, blocks)
            return blocks, blocks, None
        X = check_rows(self, X, reset=reset, min_samples=least, fitting=True)
        weight = check_weights(sample_weight, X)
        if weight is None or weight.all():
            return X, X, weight
        return X, X[weight > 0], weight[weight > 0]

    def _set_gas(self, gas):
        self._gas = gas
        self.nodes_, self.edges_, self.ages_ = gas.nodes, gas.edges, gas.ages
        self.n_nodes_ = len(gas.nodes)
        self.node_labels_ = gas_components(gas)

    def _judge(self, everyone, X, weight):
        """Store what the nodes say of clusters, and how the gas fits the samples."""
        self._node_mixture = self._mixture_of(self._hard)
        self.labels_ = self._in_chunks(everyone, self._clusters, dtype=np.intp)
        self.quantization_error_, self.topographic_error_ = gas_errors(
            self._gas, X, sample_weight=weight
        )

    @property
    def graph_(self) -> csr_array:
        """Adjacency of the nodes: 1 where two are linked, a SciPy sparse array."""
        check_is_fitted(self, "edges_")
        # The width of an index that all of SciPy's graph functions take.
        i, j = self.edges_.T.astype(np.int32)
        ends = np.concatenate([i, j]), np.concatenate([j, i])
        return csr_array((np.ones(len(ends[0])), ends), shape=(self.n_nodes_,) * 2)

    def to_networkx(self) -> Any:
        """Return the graph as a :class:`networkx.Graph`.

        Returns
        -------
        graph : networkx.Graph
            Nodes have the attributes `position` and `label` (their connected
            component), edges have `age` and `length`.

        Raises
        ------
        ImportError
            If networkx is not installed.
        """
        check_is_fitted(self)
        try:
            import networkx as nx
        except ImportError as error:
            raise ImportError(
                "to_networkx needs networkx: pip install networkx. The attribute "
                "graph_ holds the same edges."
            ) from error
        graph = nx.Graph()
        for i, position in enumerate(self.nodes_):
            graph.add_node(i, position=position, label=int(self.node_labels_[i]))
        i, j = self.edges_.T
        lengths = np.linalg.norm(self.nodes_[i] - self.nodes_[j], axis=1)
        for edge, age, length in zip(self.edges_, self.ages_, lengths, strict=True):
            graph.add_edge(*edge.tolist(), age=int(age), length=float(length))
        return graph

    def _responsibilities(self, rows):
        return sum_shares(self._node_mixture.responsibilities(rows), self.node_labels_)

    @property
    def _n_labels(self):
        return int(self.node_labels_.max()) + 1

    def predict_proba(self, X: ArrayLike) -> NDArray[Any]:
        """Compute the probability of each cluster for each sample.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The samples.

        Returns
        -------
        proba : ndarray of shape (n_samples, n_clusters)
            Sums of the responsibilities of the nodes of each cluster, every node being
            the Gaussian of the samples nearest to it, whatever `component` and
            `refine` made of them. Those of the components are what :meth:`transform`
            returns.
        """
        return super().predict_proba(X)

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Find the most probable cluster of each sample.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The samples.

        Returns
        -------
        labels : ndarray of shape (n_samples,)
            Clusters, from 0: the largest entries of :meth:`predict_proba`.
        """
        return super().predict(X)

    def predict_node(self, X: ArrayLike) -> NDArray[Any]:
        """Find the nearest node of each sample.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The samples.

        Returns
        -------
        nodes : ndarray of shape (n_samples,)
            Indices into `nodes_`.
        """
        check_is_fitted(self)
        return self._each_chunk(X, partial(_nearest, self.nodes_), dtype=np.intp)

    def transform(self, X: ArrayLike) -> NDArray[Any]:
        """Describe each sample by the components or by the nodes.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The samples.

        Returns
        -------
        features : ndarray of shape (n_samples, n_features_out)
            Responsibilities of the components, or distances to the nodes, see `output`.
        """
        check_is_fitted(self)
        function, width = OUTPUTS[self.output](self)
        return self._each_chunk(X, function, (width,))

    @property
    def _n_features_out(self):
        return OUTPUTS[self.output](self)[1]

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(
        self, X: Any, y: Any = None, sample_weight: ArrayLike | None = None
    ) -> Self:
        """Let gas and mixture follow a chunk of a stream, in its order.

        The mixture is valid after every chunk, of whatever size. Its components
        are those of the nodes (or clusters): samples are mixed into their statistics
        by stepwise EM, and a new node takes its share from the nodes around it. With
        a `utility_threshold` in `growth` older samples fade over the time in which
        half of the nodes could be new. Nothing is drawn at random. Another
        `covariance_type`, or fewer `max_nodes` than there are nodes, raises ValueError.
        A chunk that Ctrl-C interrupts is as if not given.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or Dask collection
            The chunk, with one sample or more. Of a Dask array or dataframe, block
            follows block.

        y : Ignored
            Not used, present for API consistency by convention.

        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the samples. The gas sees as many samples as the chunk has,
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
        growth = as_options(self.growth, GROWTHS)
        refining_mixture(self)
        with Change(self):
            is_first = not hasattr(self, "_gas")
            rows = X, sample_weight
            everyone, X, weight = self._check_chunk(*rows, reset=is_first, least=1)
            if is_first:
                self._start_stream(X, weight)
            self._check_goes_on()
            for start in range(0, len(X), PART_ROWS):
                rows = slice(start, start + PART_ROWS)
                part_weight = None if weight is None else weight[rows]
                self._follow(X[rows], part_weight, growth)
            self._set_gas(self._gas)
            stats = self._stats
            if self.component == "cluster":
                stats = group_nodes(stats, self.node_labels_, self.covariance_type_)
            self._set_mixture(self._mixture_of(stats))
            self._judge(everyone, X, weight)
        return self

    def _start_stream(self, X, weight):
        """Begin a stream that no fit came before."""
        self.covariance_type_, self.shrinkage_ = self._without_search(X.shape[1])
        self.n_iter_ = 0
        weight = None if weight is None else weight[:2]
        self._begin_stream(start_gas(X), X[:2], weight)

    def _check_goes_on(self):
        """Raise if parameters ask for another gas than that of the stream."""
        n_nodes = len(self._gas.nodes)
        known = {"covariance_type": self.covariance_type_, "max_nodes": n_nodes}
        kind, shrinkage = self._setting("covariance_type"), self._setting("shrinkage")
        asked = {"covariance_type": kind, "max_nodes": self.max_nodes}
        if asked["max_nodes"] != "auto":
            # Nodes are added, never removed for being too many.
            asked["max_nodes"] = min(asked["max_nodes"], n_nodes)
        check_goes_on("partial_fit", known, asked, "call fit, which begins anew")
        if shrinkage != "auto":
            self.shrinkage_ = float(shrinkage)

    def _begin_stream(self, gas, X, weight, assign=None):
        """Take the statistics of the nodes, with which a stream goes on."""
        self._gas, self._lag = gas, 0.0
        taken = gas.nodes, self.covariance_type_
        nearest = partial(_nearest, gas.nodes)
        self._hard = self._stats = node_statistics(X, weight, nearest, *taken)
        if assign is not None:
            self._stats = node_statistics(X, weight, assign, *taken)

    def _follow(self, X, weight, growth):
        """Let gas, statistics and mixture learn from some samples."""
        old, memory = self._gas, np.inf
        if growth.utility_threshold is not None:
            memory = growth.insertion_interval * len(old.nodes) / 2
        signals = X if weight is None else X[in_proportion(weight)]
        most = self.max_nodes
        if most == "auto":
            most = vars(self).get("_chosen_nodes", MAX_NODES)
        gas = self._gas = adapt_gas(old, signals, max_nodes=most, **rules_of(growth))
        self._compare(X, weight)
        hard = follow_nodes(self._hard, old, gas, shift=True)
        nearest = partial(_nearest, gas.nodes)
        self._hard = self._blend(hard, X, weight, nearest, memory)
        self.n_iter_ += 1
        if self.refine is None:
            self._stats = self._hard
            return
        stats = follow_nodes(self._stats, old, gas)
        assign = self._mixture_of(stats).responsibilities
        self._stats = self._blend(stats, X, weight, assign, memory)

    def _compare(self, X, weight):
        """Score samples that are new; take the nodes' own mixture if it does better."""
        soft = self._mixture_of(self._stats).log_prob(X)
        self.lower_bound_ = float(np.average(soft, weights=weight))
        if self.refine is None:
            return
        hard = self._mixture_of(self._hard).log_prob(X)
        gain = len(X) * float(np.average(hard - soft, weights=weight))
        self._lag = max(0.0, self._lag + gain)
        if self._lag > PATIENCE:
            self._stats, self._lag = self._hard, 0.0

    def _blend(self, old, X, weight, assign, memory):
        kind = self.covariance_type_
        fresh = node_statistics(X, weight, assign, old.means, kind)
        return blend(stats_kernel(old, kind), old, fresh, memory)

    def _mixture_of(self, stats):
        kind = self.covariance_type_
        reg_covar = stream_regularisation(self._setting("reg_covar"), stats, kind)
        return mixture_of(stats, kind, self.shrinkage_, reg_covar)
