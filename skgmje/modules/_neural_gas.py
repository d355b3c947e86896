"""A growing neural gas as a module."""

import torch

from skgmje._backend import as_array_of, detach, eye_like
from skgmje.gaussian import Mixture
from skgmje.modules._generators import MixtureModule
from skgmje.neural_gas import GasState, adapt_gas, nearest_nodes, start_gas
from skgmje.neural_gas._steps import totals

# What a gas holds of each node.
_OF_NODES = ("nodes", "errors", "utilities", "hits", "ids")


class NeuralGasModule(MixtureModule):
    r"""A component at each node of a growing neural gas.

    .. math:: w_k \propto N_k + 1, \quad
        \Sigma_k = (S_k + s P) / (N_k + s) + \epsilon I

    with the number of samples :math:`N_k` that are nearest to node k and their
    scatter :math:`S_k` about their mean :math:`\mu_k`, all fading from batch to
    batch, and the pooled covariance P. Nothing is learned by the gradient; it
    passes through to the samples that are scored.

    Parameters
    ----------
    n_components : int
        Largest number of nodes.

    n_features : int
        Number of features.

    random_state : torch.Generator
        Source of the first two nodes, which are standard normal until a batch
        comes; on the CPU.

    rate : float, default=0.05
        Share of the counts and moments that each batch forgets.

    shrinkage : float or None, default=None
        Pseudo-count s of the pooled covariance; None: the number of features.

    min_scale : float, default=0.001
        Root of :math:`\epsilon`, which is added to all variances.

    gas_params : dict or None, default=None
        Further parameters of :func:`skgmje.neural_gas.adapt_gas`.

    dtype : torch.dtype, default=torch.float32
        The data type of the nodes.

    See Also
    --------
    skgmje.neural_gas.adapt_gas : The steps of the nodes.

    Examples
    --------
    >>> import torch
    >>> from skgmje.modules import NeuralGasModule
    >>> random_state = torch.Generator().manual_seed(0)
    >>> gas = NeuralGasModule(8, 2, random_state)
    >>> gas.update(torch.randn((700, 2), generator=random_state), random_state)
    >>> gas()
    Mixture(n_components=8, n_features=2, covariance_type='full')
    """

    def __init__(
        self,
        n_components,
        n_features,
        random_state,
        *,
        rate=0.05,
        shrinkage=None,
        min_scale=1e-3,
        gas_params=None,
        dtype=torch.float32,
    ):
        super().__init__()
        self.rate = rate
        self.shrinkage = n_features if shrinkage is None else shrinkage
        self.min_scale = min_scale
        self.gas_params = gas_params or {}
        zeros = torch.zeros(n_components, dtype=dtype)
        self.register_buffer("nodes", torch.zeros((n_components, n_features)).to(dtype))
        for name in ("errors", "utilities", "counts"):
            self.register_buffer(name, zeros.clone())
        for name in ("hits", "ids"):
            self.register_buffer(name, zeros.long())
        self.register_buffer("ages", torch.full((n_components, n_components), -1))
        for name in ("n_seen", "n_born"):
            self.register_buffer(name, torch.tensor(0))
        rows = torch.randn((2, n_features), generator=random_state, dtype=dtype)
        self._store(start_gas(rows))
        self.counts[:2] = 1
        self.register_buffer("sums", torch.zeros_like(self.nodes))
        identity = torch.eye(n_features, dtype=dtype)
        self.register_buffer("scatter", self.counts[:, None, None] * identity)

    @property
    def n_nodes(self):
        """Number of nodes, at most that of the components."""
        return int((self.ids >= 0).sum())

    def _state(self):
        """Return the gas that the buffers hold."""
        k = slice(self.n_nodes)
        edges = torch.argwhere(self.ages.triu() >= 0)
        parts = {name: getattr(self, name)[k] for name in _OF_NODES}
        return GasState(
            **parts,
            edges=edges,
            ages=self.ages[edges[:, 0], edges[:, 1]],
            n_seen=int(self.n_seen),
            n_born=int(self.n_born),
        )

    def _store(self, state):
        """Keep a gas in buffers whose shapes do not depend on it."""
        k, (i, j) = len(state.nodes), state.edges.T
        self.ids.fill_(-1)
        for name in _OF_NODES:
            getattr(self, name)[:k] = getattr(state, name)
        self.ages.fill_(-1)
        self.ages[i, j] = self.ages[j, i] = state.ages
        self.n_seen.fill_(state.n_seen)
        self.n_born.fill_(state.n_born)

    def forward(self, context=None):
        k = slice(self.n_nodes)
        counts = self.counts[k]
        shift = self.sums[k] / counts.clamp_min(1)[:, None]
        scatter = self.scatter[k] - counts[:, None, None] * _outer(shift)
        pool = scatter.sum(dim=0) / counts.sum()
        total = (counts + self.shrinkage)[:, None, None]
        covariances = (scatter + self.shrinkage * pool) / total
        covariances = covariances + self.min_scale**2 * eye_like(pool)
        weights = (counts + 1) / (counts + 1).sum()
        return Mixture(weights, self.nodes[k] + shift, covariances)

    @torch.no_grad()
    def update(self, batch, random_state):
        batch = detach(as_array_of(batch, self.nodes))
        state = self._state()
        if not self.n_seen and len(batch) > 1:
            rows = torch.randperm(len(batch), generator=random_state)
            state = start_gas(batch[rows.to(batch.device)])
        state = adapt_gas(state, batch, max_nodes=len(self.nodes), **self.gas_params)
        self._follow(state.ids)
        self._store(state)
        self._count(batch)

    def _follow(self, ids):
        """Move counts and moments to where their nodes are now."""
        stays = torch.isin(self.ids, ids)
        n_stay = int(stays.sum())
        for total in (self.counts, self.sums, self.scatter):
            total[:n_stay] = total[stays]
            total[n_stay:] = 0

    def _count(self, batch):
        """Add the samples to the fading counts and moments about their nodes."""
        nodes = self.nodes[: self.n_nodes]
        labels = nearest_nodes(nodes, batch)[0]
        diff = batch - nodes[labels]
        parts = torch.ones_like(diff[:, 0]), diff, _outer(diff)
        olds = self.counts, self.sums, self.scatter
        for old, new in zip(olds, totals(labels, len(nodes), *parts)[1:], strict=True):
            old *= 1 - self.rate
            old[: len(nodes)] += new


def _outer(rows):
    """Return the outer products of samples with themselves, shape (n, d, d)."""
    return rows[:, :, None] * rows[:, None, :]
