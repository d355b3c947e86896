"""Settings of the sources of components."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

# One mixture of contexts and targets: they can integrate out what is missing.
CLOSED_FORM = ("memory-bank", "neural-gas", "prototypes")


SOURCES = ("auto", "network", *CLOSED_FORM)


def go_on(losses):
    """Hear of an epoch, and do not stop."""
    return False


@dataclass(frozen=True)
class Settings:
    """Settings of all sources of components; each reads its own.

    Parameters
    ----------
    n_components : int or 'auto', default='auto'
        Number of components, of each member where there are several.

    covariance_type : str, default='full'
        Key of :data:`skgmje.gaussian.COVARIANCE_TYPES`, or 'auto'.

    shrinkage : float or 'auto', default='auto'
        Pseudo-count of the pooled covariance in the M-step.

    reg_covar : float, default=1e-6
        Added to the diagonal of every covariance, in squared units.

    max_iter : int or 'auto', default='auto'
        Number of gradient steps, or largest number of EM iterations.

    tol : float, default=1e-3
        EM stops when the mean log-likelihood gains less, in nats.

    n_members : int, default=5
        Number of networks of an ensemble.

    hidden_layer_sizes : tuple of int, default=(64, 64, 64)
        Widths of the hidden layers of each network.

    learning_rate : float, default=6e-3
        Largest step size of a network's training.

    batch_size : int or 'auto', default='auto'
        Rows per gradient step.

    min_scale : float, default=5e-3
        Smallest standard deviation of a component of a network.

    warmup : bool, default=True
        Whether the means of networks are placed before the scales are learned.

    dropout : float, default=0.0
        Share of hidden units that are left out of each row in training.

    weight_decay : float or 'auto', default='auto'
        Decay of a network's matrices.

    patience : float, default=1.0
        Training of networks ends when no member has improved for this share of the
        steps.

    checkpoint : Checkpoint or None, default=None
        Where the state of the last, long run is kept.

    judged : bool, default=False
        Whether held-out densities of the training rows are wanted, even where
        nothing is left to choose.

    device : torch.device or None, default=None
        Where networks are trained.

    callbacks : list or None, default=None
        Callbacks of skorch.

    net_params : dict or None, default=None
        Further parameters of :class:`skorch.NeuralNet`.

    on_epoch : callable, default=go_on
        Gets the losses of each epoch of a network; may return True to stop.
    """

    n_components: Any = "auto"
    covariance_type: str = "full"
    shrinkage: Any = "auto"
    reg_covar: float = 1e-6
    max_iter: Any = "auto"
    tol: float = 1e-3
    n_members: int = 5
    hidden_layer_sizes: tuple = (64, 64, 64)
    learning_rate: float = 6e-3
    batch_size: Any = "auto"
    min_scale: float = 5e-3
    warmup: bool = True
    dropout: float = 0.0
    weight_decay: Any = "auto"
    patience: float = 1.0
    checkpoint: Any = None
    judged: bool = False
    device: Any = None
    callbacks: Any = None
    net_params: Any = None
    on_epoch: Callable = go_on
