"""What a fitted gas can answer, beyond its density."""

import numpy as np
from scipy.sparse import csr_array
from scipy.spatial.distance import cdist
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from skgmje.adaptation import nearest_nodes


class GasAnswersMixin(ClassNamePrefixFeaturesOutMixin, TransformerMixin):
    """Clusters, nodes and graph of an estimator that is a gas.

    ``set_output`` changes only what the class that defines `transform` inherits
    it for.
    """

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


OUTPUTS = {
    "responsibilities": lambda gas, X: gas.predict_proba(X),
    "distances": GasAnswersMixin._distances,
}
