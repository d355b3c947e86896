"""What every estimator that trains a network asks before any work."""

from numbers import Integral

from skgmje._net import check_callbacks, check_net_params
from skgmje.modules._device import resolve_device


def check_engine(estimator, example, *, may_be_empty=False):
    """Return the device; what depends on the engine should fail before any work.

    Parameters
    ----------
    estimator : estimator
        Its `net_params`, `callbacks`, `hidden_layer_sizes` and `device` are read.

    example : tuple of int
        Layers that an error message proposes.

    may_be_empty : bool, default=False
        Whether a network may have no hidden layer.

    Returns
    -------
    device : torch.device
        Where to train.

    Raises
    ------
    ValueError
        If a parameter cannot be used here.
    """
    check_net_params(estimator.net_params)
    check_callbacks(estimator.callbacks)
    sizes = estimator.hidden_layer_sizes
    if not isinstance(sizes, str):  # which is what suits the rows
        has_layers = may_be_empty or len(sizes)
        if not has_layers or not all(isinstance(n, Integral) and n > 0 for n in sizes):
            least = "" if may_be_empty else " and at least one"
            raise ValueError(
                f"hidden_layer_sizes={sizes!r} must hold positive integers, one per "
                f"layer{least}, for example {example}."
            )
    return resolve_device(estimator.device)
