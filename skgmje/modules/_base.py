"""The base class of modules that return mixtures."""

from abc import ABC, abstractmethod

from torch import nn


class MixtureModule(nn.Module, ABC):
    r"""A torch module whose forward pass returns a Gaussian mixture.

    .. math:: \text{context} \mapsto \{w_k, \mu_k, \Sigma_k\}_{k=1}^K

    To write one, implement :meth:`forward`; to let it follow the data by a rule
    other than the gradient (a neural gas, a memory bank), override
    :meth:`update` too. Training hands the batch to both.

    See Also
    --------
    skgmje.gaussian.Mixture : The value that `forward` returns.

    Examples
    --------
    >>> import torch
    >>> from skgmje.gaussian._mixture import Mixture

    >>> class TwoPoints(MixtureModule):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.means = torch.nn.Parameter(torch.tensor([[-1.0], [1.0]]))
    ...     def forward(self, context=None):
    ...         half = torch.full((2,), 0.5)
    ...         return Mixture(half, self.means, torch.ones(2), "spherical")
    >>> TwoPoints()().log_prob(torch.zeros(1, 1)).item()
    -1.4189...
    """

    @abstractmethod
    def forward(self, context=None):
        """Return the mixture.

        Parameters
        ----------
        context : tensor of shape (n_samples, n_context) or None, default=None
            What the mixture depends on. Modules of one mixture for all samples
            ignore it.

        Returns
        -------
        mixture : Mixture
            One mixture, or one per row of `context`.
        """

    def update(self, batch, random_state):
        """Adapt to a batch, after each gradient step; by default do nothing.

        Parameters
        ----------
        batch : tensor of shape (n_samples, n_features)
            The rows of the step.

        random_state : torch.Generator
            The source of randomness.
        """
