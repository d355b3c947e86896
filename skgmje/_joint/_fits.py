"""Which source is fitted how; imports torch, so it is itself imported late."""

from skgmje._joint._auto import fit_auto
from skgmje._joint._memory_bank import fit_memory_bank
from skgmje._joint._module import fit_module
from skgmje._joint._network import fit_network
from skgmje._joint._neural_gas import fit_neural_gas
from skgmje._joint._prototypes import fit_prototypes


def fit_joint(source, X, Y, settings, sample_weight=None, random_state=None):
    """Fit a conditional density.

    Parameters
    ----------
    source : str or MixtureModule
        Key of `JOINT_FITS`, or a module to be trained.

    X : ndarray of shape (n_samples, n_context)
        Contexts, standardised; NaN means missing.

    Y : ndarray of shape (n_samples, n_targets)
        Targets, standardised.

    settings : Settings
        What the fit may be told.

    sample_weight : ndarray of shape (n_samples,), default=None
        Weights of the rows.

    random_state : RandomState instance, default=None
        Source of randomness.

    Returns
    -------
    fit : Fit
        The density and how it was reached.
    """
    if isinstance(source, str):
        fit = JOINT_FITS[source]
        return fit(X, Y, settings, sample_weight, random_state)
    return fit_module(source, X, Y, settings, sample_weight, random_state)


JOINT_FITS = {
    "auto": fit_auto,
    "memory-bank": fit_memory_bank,
    "network": fit_network,
    "neural-gas": fit_neural_gas,
    "prototypes": fit_prototypes,
}
