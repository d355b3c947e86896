"""Mixtures whose components are the nodes of a growing neural gas."""

import torch

from skgmje._backend import eye_like
from skgmje.adaptation import GasState, adapt_gas, start_gas
from skgmje.gaussian import Mixture
from skgmje.modules._base import MixtureModule


class NeuralGas(MixtureModule):
    r"""A component at each node of a growing neural gas.

    .. math:: w_k \propto N_k + 1, \quad
        \Sigma_k = (S_k + s P) / (N_k + s) + \epsilon I

    with the number of rows :math:`N_k` that are nearest to node k and their
    scatter :math:`S_k` about their mean :math:`\mu_k`, all fading from batch to
    batch, and the pooled covariance P. Nothing is learned by the gradient; it
    passes through to the rows that are scored.

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
        Further parameters of :func:`skgmje.adaptation.adapt_gas`.

    dtype : torch.dtype, default=torch.float32
        The data type of the nodes.

    See Also
    --------
    skgmje.adaptation.adapt_gas : The steps of the nodes.

    Examples
    --------
    >>> import torch
    >>> from skgmje.modules import NeuralGas
    >>> random_state = torch.Generator().manual_seed(0)
    >>> gas = NeuralGas(8, 2, random_state)
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
        rows = torch.randn((2, n_features), generator=random_state, dtype=dtype)
        state = start_gas(rows, n_components)
        for name, value in state._asdict().items():
            self.register_buffer(name, torch.as_tensor(value))
        counts = self.active.to(dtype)
        self.register_buffer("counts", counts)
        self.register_buffer("sums", torch.zeros_like(self.nodes))
        identity = torch.eye(n_features, dtype=dtype)
        self.register_buffer("scatter", counts[:, None, None] * identity)

    def forward(self, context=None):
        """Return the mixture.

        Parameters
        ----------
        context : object, default=None
            Ignored.

        Returns
        -------
        mixture : Mixture
            One for all contexts, with as many components as there are nodes.
        """
        counts = self.counts[self.active]
        shift = self.sums[self.active] / counts.clamp_min(1)[:, None]
        scatter = self.scatter[self.active]
        scatter = scatter - counts[:, None, None] * _outer(shift)
        pool = scatter.sum(dim=0) / counts.sum()
        total = (counts + self.shrinkage)[:, None, None]
        covariances = (scatter + self.shrinkage * pool) / total
        covariances = covariances + self.min_scale**2 * eye_like(pool)
        weights = (counts + 1) / (counts + 1).sum()
        return Mixture(weights, self.nodes[self.active] + shift, covariances)

    @torch.no_grad()
    def update(self, batch, random_state):
        """Let the gas see the rows of a batch, and count those of each node.

        Parameters
        ----------
        batch : tensor of shape (n_samples, n_features)
            The rows of the step.

        random_state : torch.Generator
            Draws the first two nodes from the first batch; on the CPU.
        """
        batch = batch.detach().to(self.nodes)
        state = GasState(*(getattr(self, name) for name in GasState._fields))
        if not self.n_seen and len(batch) > 1:
            rows = torch.randperm(len(batch), generator=random_state)
            state = start_gas(batch[rows.to(batch.device)], len(self.nodes))
        state = adapt_gas(state, batch, **self.gas_params)
        for name, value in state._asdict().items():
            getattr(self, name).copy_(torch.as_tensor(value))
        self._count(batch)

    def _count(self, batch):
        """Add the rows to the fading counts and moments about their nodes."""
        distances = torch.cdist(batch, self.nodes)
        distances[:, ~self.active] = torch.inf
        labels = distances.argmin(dim=1)
        diff = batch - self.nodes[labels]
        keep = (1 - self.rate) * self.active.to(self.counts)
        for total, part in (
            (self.counts, torch.ones_like(diff[:, 0])),
            (self.sums, diff),
            (self.scatter, _outer(diff)),
        ):
            total *= keep.reshape(-1, *[1] * (total.ndim - 1))
            total.index_add_(0, labels, part)


def _outer(rows):
    return rows[:, :, None] * rows[:, None, :]
