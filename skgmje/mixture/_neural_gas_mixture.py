"""Growing neural gas as clustering, graph and density."""

from numbers import Integral, Real
from os import PathLike

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
from skgmje._sklearn import Interval, StrOptions, _fit_context
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
from skgmje.mixture._base import MixtureDensityMixin, check_goes_on
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
)
from skgmje.mixture._gaussian_mixture import regularisation, warn_about
from skgmje.neural_gas._nodes import gas_errors, gas_mixture, nearest_nodes
from skgmje.neural_gas._state import GasState, adapt_gas, gas_components, start_gas

OUTPUTS = {
    "responsibilities": lambda gas, X: gas.predict_proba(X),
    "distances": lambda gas, X: gas._distances(X),
}

# Largest number of nodes of a stream whose first rows do not say it.
MAX_NODES = 100

# Rows that are learned from at a time; longer chunks are cut.
PART_ROWS = 512

# The mixture begins anew from the nodes when it has fallen behind what their own
# rows give by so many nats, in a sequential likelihood ratio test.
PATIENCE = 20.0


def gas_nearest(gas):
    """Return the function that finds the nearest nodes of rows."""
    return lambda rows: nearest_nodes(gas.nodes, rows)[0]


class GrowingNeuralGasMixture(
    ClusterMixin,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    MixtureDensityMixin,
    BaseEstimator,
):
    r"""Gaussian mixture that grows with the topology of the data.

    A growing neural gas is a graph whose nodes learn where the rows are, and
    whose edges learn which nodes are neighbours. Its connected components are
    clusters; the rows around its nodes (or components) start EM, which makes a
    density of it. It learns from a table (:meth:`fit`) or from a stream
    (:meth:`partial_fit`).

    .. math:: w_1 \leftarrow w_1 + \epsilon_b (x - w_1), \quad
        w_n \leftarrow w_n + \epsilon_n (x - w_n)

    for the node :math:`w_1` nearest to a row x and its neighbours :math:`w_n`.
    Distances are Euclidean: scale the features if their units differ.

    Parameters
    ----------
    max_nodes : int or 'auto', default=100
        Largest number of nodes; :meth:`fit` takes no more than one for three
        distinct rows. 'auto' grows until the likelihood of held-out rows stops
        improving; in a stream it is 100.

    component : {'node', 'connected'}, default='node'
        What becomes a component of the mixture: each node, or each connected
        component of the graph. Below 100 samples, or ten per feature, held-out
        samples may make all nodes one, where `shrinkage` or another setting is
        'auto'.

    covariance_type : {'full', 'tied', 'diag', 'spherical', 'auto'}, default='full'
        Shape of the covariances; in a stream 'auto' is 'full'.

    polish : {'em'} or None, default='em'
        EM after the growth; None keeps what the rows nearest to each node give.
        In a stream: responsibilities, or the nearest nodes.

    shrinkage : float or 'auto', default='auto'
        Pseudo-count s of the pooled within-covariance, in rows. 'auto' is chosen
        by held-out rows; in a stream it is the number of features.

    winner_rate : float, default=0.2
        Rate :math:`\epsilon_b` of the nearest node.

    neighbor_rate : float, default=0.006
        Rate :math:`\epsilon_n` of its neighbours.

    max_age : int, default=50
        Largest age :math:`a_{max}` of an edge, in rows won by its ends.

    insertion_interval : int, default=100
        Number :math:`\lambda` of rows between two new nodes.

    error_split : float, default=0.5
        Factor :math:`\alpha` of the errors of the two nodes beside a new one.

    error_decay : float, default=0.995
        Factor d of all errors after each row.

    mode : {'batch', 'sequential'}, default='batch'
        Whether the gas sees up to two rows per node at once, or single rows.

    utility_threshold : float or None, default=None
        If the largest error is so many times the smallest utility, that node is
        removed, so that a drifting stream is followed; 20 is a good value. None
        removes none. See [2]_.

    output : {'responsibilities', 'distances'}, default='responsibilities'
        What :meth:`transform` returns.

    refine : bool, default=True
        Whether :meth:`fit` settles the nodes on all rows after the growth, see
        :func:`skgmje.neural_gas.refine_gas`.

    reg_covar : float or 'auto', default='auto'
        Added to the diagonal of every covariance, in squared units of `X`; 'auto'
        is a millionth of each feature's variance.

    tol : float, default=1e-3
        The polish stops when the mean log-likelihood gains less, in nats.

    max_iter : int, default=100
        Largest number of iterations of the polish.

    checkpoint_dir : str, path-like or None, default=None
        Folder in which the gas and EM keep their state: after a crash the same fit
        goes on from there, to the same bits. One folder per fit, an integer
        `random_state`; needs the extra ``io``. Streams keep none.

    random_state : int, RandomState instance or None, default=None
        Controls the order of the rows, folds and :meth:`sample`. Streams are seen
        in their own order.

    device : str, default='cpu'
        Where :meth:`fit` grows the gas and takes the E-steps (not of 'tied'
        covariances): 'cpu' (NumPy), or torch's name of a device; 'auto' is the
        first CUDA device if there is one.

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
        Connected component of each node.

    labels_ : ndarray of int, shape (n_samples,)
        Connected component of each row that was learned from last.

    quantization_error_ : float
        Mean distance of these rows to their nearest nodes.

    topographic_error_ : float
        Share of these rows whose two nearest nodes are not linked.

    weights_ : ndarray of shape (n_components,)
        Weights of the components. Nodes with less than five rows may have none.

    means_ : ndarray of shape (n_components, n_features)
        Means of the components.

    covariances_ : ndarray
        Covariances, in the shape that the covariance type has.

    covariance_type_ : str
        The covariance type, chosen if it was 'auto'.

    shrinkage_ : float
        The pseudo-count, chosen if it was 'auto'.

    mixture_ : Mixture
        The density as a value with marginals, conditionals and distances.

    precisions_ : ndarray
        Inverse covariances.

    precisions_cholesky_ : ndarray
        Cholesky factors of the precisions.

    n_iter_ : int
        Number of M-steps.

    lower_bound_ : float
        Mean log-likelihood of the rows before the last M-step, in nats.

    cv_results_ : dict
        Held-out log-likelihoods of the candidates, if a setting was 'auto'.

    n_features_in_ : int
        Number of features seen during :term:`fit`.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of features seen during :term:`fit`. Defined only when `X`
        has feature names that are all strings.

    See Also
    --------
    GaussianMixture : EM from k-means.
    skgmje.neural_gas.adapt_gas : The steps of the gas.

    References
    ----------
    .. [1] B. Fritzke, "A Growing Neural Gas Network Learns Topologies", 1995.
    .. [2] B. Fritzke, "A Self-Organizing Network That Can Follow Non-Stationary
       Distributions", 1997.

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

    _parameter_constraints: dict = {
        "max_nodes": [Interval(Integral, 2, None, closed="left"), StrOptions({"auto"})],
        "component": [StrOptions({"node", "connected"})],
        "covariance_type": [TypeOptions(lambda kind: not kind.needs_start)],
        "polish": [StrOptions({"em"}), None],
        "shrinkage": [Interval(Real, 0, None, closed="left"), StrOptions({"auto"})],
        "winner_rate": [Interval(Real, 0, 1, closed="neither")],
        "neighbor_rate": [Interval(Real, 0, 1, closed="neither")],
        "max_age": [Interval(Integral, 1, None, closed="left")],
        "insertion_interval": [Interval(Integral, 1, None, closed="left")],
        "error_split": [Interval(Real, 0, 1, closed="neither")],
        "error_decay": [Interval(Real, 0, 1, closed="neither")],
        "mode": [StrOptions({"batch", "sequential"})],
        "utility_threshold": [Interval(Real, 0, None, closed="neither"), None],
        "output": [StrOptions({"responsibilities", "distances"})],
        "refine": ["boolean"],
        "reg_covar": [Interval(Real, 0, None, closed="left"), StrOptions({"auto"})],
        "tol": [Interval(Real, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "checkpoint_dir": [str, PathLike, None],
        "random_state": ["random_state"],
        "device": [str],
    }

    def __init__(
        self,
        max_nodes=100,
        *,
        component="node",
        covariance_type="full",
        polish="em",
        shrinkage="auto",
        winner_rate=0.2,
        neighbor_rate=0.006,
        max_age=50,
        insertion_interval=100,
        error_split=0.5,
        error_decay=0.995,
        mode="batch",
        utility_threshold=None,
        output="responsibilities",
        refine=True,
        reg_covar="auto",
        tol=1e-3,
        max_iter=100,
        checkpoint_dir=None,
        random_state=None,
        device="cpu",
    ):
        self.max_nodes = max_nodes
        self.component = component
        self.covariance_type = covariance_type
        self.polish = polish
        self.shrinkage = shrinkage
        self.winner_rate = winner_rate
        self.neighbor_rate = neighbor_rate
        self.max_age = max_age
        self.insertion_interval = insertion_interval
        self.error_split = error_split
        self.error_decay = error_decay
        self.mode = mode
        self.utility_threshold = utility_threshold
        self.output = output
        self.refine = refine
        self.reg_covar = reg_covar
        self.tol = tol
        self.max_iter = max_iter
        self.checkpoint_dir = checkpoint_dir
        self.random_state = random_state
        self.device = device

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None, sample_weight=None):
        """Grow the gas on the rows, in random order, and make a mixture of it.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or Dask collection
            The samples. Of a Dask array or dataframe the gas grows on a random
            part, which `labels_` and the errors are of; EM sees all rows.

        y : Ignored
            Not used, present for API consistency by convention.

        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the samples; a weight of 2 counts as two copies.

        Returns
        -------
        self : object
            The fitted estimator.
        """
        with FitTask(self, X, y, sample_weight, n_steps=self._n_steps()) as task:
            read = {"reset": True, "min_samples": 2}
            given, weight = self._check_chunk(X, sample_weight, **read)
            checkpoint = task.checkpoint = self._open_checkpoint(given, weight)
            random_state = check_random_state(self.random_state)
            gas_params = {"refine": self.refine, **self._rules()}
            reg_covar = regularisation(self.reg_covar, given, weight)
            rows = part_of(given, weight, random_state)
            selection = select_nodes(
                *rows,
                random_state,
                max_nodes=self.max_nodes,
                component=self.component,
                gas_params=gas_params,
                covariance_type=self.covariance_type,
                shrinkage=self.shrinkage,
                reg_covar=reg_covar,
                tol=self.tol,
                max_iter=self._n_steps(),
            )
            asked = self.max_nodes
            asked = selection.n_components if asked == "auto" else asked
            size = self._chosen_nodes = check_nodes(asked, rows[0])
            part = on_device(self.device, *rows)
            gas_params["checkpoint"] = checkpoint and checkpoint.part("gas")
            gas = task.learn(GasState, grow, *part, size, random_state, **gas_params)
            if not COVARIANCE_TYPES[selection.covariance_type].loops.on_device:
                gas, part = gas.to_numpy(), rows
            more = selection, reg_covar, task
            result, size = task.end(self._store, gas, part, given, rows, *more)
        if self.polish is not None:
            advice = "Increase max_iter or tol, or lower max_nodes."
            warn_about(result, size, self.tol, size="max_nodes", advice=advice)
        self._warn_of_ties(given)
        return self

    def _store(self, gas, part, given, rows, selection, reg_covar, task):
        """Make a mixture of the gas; store both."""
        X, weight = rows
        result, size = self._polished(gas, part, given, selection, reg_covar, task)
        self._set_gas(gas.to_numpy())
        self._judge(X, weight)
        self._set_mixture(result.mixture)
        self.shrinkage_ = float(selection.shrinkage)
        self.n_iter_, self.lower_bound_ = result.n_iter, result.lower_bounds[-1]
        vars(self).pop("cv_results_", None)
        if selection.cv_results is not None:
            self.cv_results_ = selection.cv_results
        self._begin_stream(self._gas, X, weight, self._assignment(result.mixture))
        return result, size

    def _assignment(self, mixture):
        """Return the function that assigns rows to nodes."""
        if self.polish == "em" and self.component == "node":
            return node_responsibilities(mixture, self.nodes_)
        return gas_nearest(self._gas)

    def _polished(self, gas, part, given, selection, reg_covar, task):
        prior = {"shrinkage": selection.shrinkage, "reg_covar": reg_covar}
        X, weight = part
        kind = selection.covariance_type
        granularity = "one" if selection.n_components == 1 else self.component
        start = gas_mixture(
            gas, X, kind, granularity=granularity, sample_weight=weight, **prior
        )
        if isinstance(given, RowBlocks):
            X, weight = given, None
        steps = {
            "tol": self.tol,
            "max_iter": 1 if task.when else self._n_steps(),
            "sample_weight": weight,
            "checkpoint": task.checkpoint and task.checkpoint.part("em"),
            "callback": task.has_listeners and (lambda *_: task.step("iteration")),
        }
        result = task.learn(
            EMResult, expectation_maximization, X, start, **prior, **steps
        )
        if self.polish is None:
            result = result._replace(mixture=start)
        return result, start.n_components

    def _n_steps(self):
        return self.max_iter if self.polish == "em" else 1

    def _rules(self):
        names = (
            "mode",
            "winner_rate",
            "neighbor_rate",
            "max_age",
            "insertion_interval",
            "error_split",
            "error_decay",
            "utility_threshold",
        )
        return {name: getattr(self, name) for name in names}

    def _check_chunk(self, X, sample_weight, *, reset, min_samples):
        blocks = as_blocks(X, sample_weight)
        if blocks is not None:
            return check_blocks(self, blocks), None
        X = check_rows(self, X, reset=reset, min_samples=min_samples, fitting=True)
        weight = check_weights(sample_weight, X)
        if weight is not None and not weight.all():
            X, weight = X[weight > 0], weight[weight > 0]
        return X, weight

    def _set_gas(self, gas):
        self._gas = gas
        self.nodes_, self.edges_, self.ages_ = gas.nodes, gas.edges, gas.ages
        self.n_nodes_ = len(gas.nodes)
        self.node_labels_ = gas_components(gas)

    def _judge(self, X, weight):
        """Store how the gas fits the rows."""
        self.labels_ = self._clusters(X)
        self.quantization_error_, self.topographic_error_ = gas_errors(
            self._gas, X, sample_weight=weight
        )

    @property
    def graph_(self):
        """Adjacency of the nodes: 1 where two are linked, a SciPy sparse array."""
        check_is_fitted(self, "edges_")
        # The width of an index that all of SciPy's graph functions take.
        i, j = self.edges_.T.astype(np.int32)
        ends = np.concatenate([i, j]), np.concatenate([j, i])
        shape = (self.n_nodes_, self.n_nodes_)
        return csr_array((np.ones(len(ends[0])), ends), shape=shape)

    def to_networkx(self):
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
        pairs = zip(self.nodes_, self.node_labels_.tolist(), strict=True)
        for i, (position, label) in enumerate(pairs):
            graph.add_node(i, position=position, label=label)
        i, j = self.edges_.T
        lengths = np.linalg.norm(self.nodes_[i] - self.nodes_[j], axis=1)
        for edge, age, length in zip(self.edges_, self.ages_, lengths, strict=True):
            graph.add_edge(*edge.tolist(), age=int(age), length=float(length))
        return graph

    def _clusters(self, X):
        return self.node_labels_[nearest_nodes(self.nodes_, X)[0]]

    def predict(self, X):
        """Find the cluster of each sample: the connected component of its node.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The samples.

        Returns
        -------
        labels : ndarray of shape (n_samples,)
            Clusters, from 0.
        """
        return self._each_chunk(X, self._clusters, dtype=np.intp)

    def predict_node(self, X):
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
        return self._each_chunk(
            X, lambda rows: nearest_nodes(self.nodes_, rows)[0], dtype=np.intp
        )

    def transform(self, X):
        """Describe each sample by its components or by its nodes.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The samples.

        Returns
        -------
        features : ndarray of shape (n_samples, n_features_out)
            Responsibilities of the components, or distances to the nodes, see
            `output`.
        """
        check_is_fitted(self)
        return OUTPUTS[self.output](self, X)

    @property
    def _n_features_out(self):
        return (
            len(self.weights_) if self.output == "responsibilities" else self.n_nodes_
        )

    def _distances(self, X):
        width = (self.n_nodes_,)
        return self._each_chunk(X, lambda rows: cdist(rows, self.nodes_), width)

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y=None, sample_weight=None):
        """Let gas and mixture follow a chunk of a stream, in its order.

        The mixture is valid after every chunk, of whatever size. Its components
        are those of the nodes (or connected components): rows are mixed into their
        statistics by stepwise EM, and a new node takes its share from the nodes
        around it. With a `utility_threshold` older rows fade over the time in
        which half of the nodes could be new. The order of chunks and rows decides
        everything: nothing is drawn at random. Another `covariance_type`, or fewer
        `max_nodes` than there are nodes, raises ValueError. A chunk that Ctrl-C
        interrupts is as if not given.

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
            self._check_goes_on()
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

    def _check_goes_on(self):
        """Raise if parameters ask for another gas than that of the stream."""
        n_nodes = len(self._gas.nodes)
        known = {"covariance_type": self.covariance_type_, "max_nodes": n_nodes}
        asked = {name: getattr(self, name) for name in known}
        if asked["max_nodes"] != "auto":
            # Nodes are added, never removed for being too many.
            asked["max_nodes"] = min(asked["max_nodes"], n_nodes)
        check_goes_on("partial_fit", known, asked, "call fit, which begins anew")
        if self.shrinkage != "auto":
            self.shrinkage_ = float(self.shrinkage)

    def _begin_stream(self, gas, X, weight, assign):
        """Take the statistics of the nodes, with which a stream goes on."""
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
