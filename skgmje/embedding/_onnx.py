"""Encoders as ONNX models."""

import warnings

import numpy as np
from sklearn.utils.validation import check_is_fitted

from skgmje.embedding._base import EmbedderMixin

_VIEWS = {
    "context": lambda embedder: (embedder._layer, embedder._units[0]),
    "target": lambda embedder: (embedder.target_encoder_, embedder._units[1]),
}


def export_onnx(embedder, path=None, *, view="context"):
    r"""Return a trained encoder as an ONNX model.

    .. math:: Z = f((X - \mu) / \sigma)

    The model takes rows in their own units: the location :math:`\mu` and the scale
    :math:`\sigma` of the training rows are part of it.

    Parameters
    ----------
    embedder : GJEEmbedder or GMJEEmbedder
        A fitted embedder.

    path : str or path-like, default=None
        File to write; None writes none.

    view : {'context', 'target'}, default='context'
        Whether the model does what ``transform`` does, or ``transform_target``.

    Returns
    -------
    model : onnx.ModelProto
        Its input ``X`` has the shape (n_samples, n_features) and the precision of
        the training rows, its output ``Z`` is their embedding; n_samples is free.

    Raises
    ------
    ImportError
        If onnx or onnxscript is missing.

    TypeError
        If `embedder` is none.

    ValueError
        If `view` is not one of these words.

    sklearn.exceptions.NotFittedError
        If the embedder has not been fitted.

    See Also
    --------
    GJEEmbedder : An embedder.
    GMJEEmbedder : An embedder with a mixture.

    Notes
    -----
    It needs the extra ``onnx``, and torch 2.6 or newer. An `encoder` of your own is
    exported if torch can trace it.

    References
    ----------
    .. [1] ONNX: Open Neural Network Exchange, https://onnx.ai

    Examples
    --------
    >>> import numpy as np
    >>> from skgmje.embedding._gje import GJEEmbedder
    >>> X = np.random.default_rng(0).normal(size=(100, 3))
    >>> embedder = GJEEmbedder(2, max_iter=5, random_state=0).fit(X)
    >>> model = export_onnx(embedder)
    >>> [value.name for value in model.graph.output]
    ['Z']
    """
    if not isinstance(embedder, EmbedderMixin):
        raise TypeError(
            f"{embedder!r} is no embedder. Pass a fitted GJEEmbedder or GMJEEmbedder."
        )
    if view not in _VIEWS:
        raise ValueError(f"view={view!r} must be one of {list(_VIEWS)}.")
    check_is_fitted(embedder)
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ImportError(
            'export_onnx needs onnx and onnxscript: pip install "skgmje[onnx]".'
        ) from error
    program = _export(*_VIEWS[view](embedder))
    if path is not None:
        program.save(path)
    return program.model_proto


def _export(network, units):
    """Return torch's ONNX program of standardisation and network."""
    import torch

    from skgmje.embedding._encoder import InUnits

    module = InUnits(network, units).eval()
    rows = torch.zeros(2, len(np.atleast_1d(units.loc)), dtype=module.dtype)
    with warnings.catch_warnings():
        # What torch says of its own code to itself.
        warnings.simplefilter("ignore")
        return torch.onnx.export(
            module,
            (rows,),
            dynamo=True,
            input_names=["X"],
            output_names=["Z"],
            dynamic_shapes={"X": {0: torch.export.Dim("n_samples")}},
            verbose=False,
        )
