"""Networks of the user's: built, tried out, and checked."""

import copy

import torch
from torch import nn


def own_network(view, own, embedding_dim, *, may_be_wide):
    """Return a network of the user's, on the CPU, float32, and the width it ends in."""
    body = _build(view, own, embedding_dim)
    output = _try_out(body, view)
    _check_output(view, own, output, None if may_be_wide else embedding_dim)
    return body, output.shape[1]


def _build(view, own, embedding_dim):
    """Return a copy of a module, or what a callable builds."""
    if isinstance(own, nn.Module):
        body = copy.deepcopy(own)
    else:
        body = own(view.n_features, embedding_dim)
    if not isinstance(body, nn.Module):
        raise ValueError(
            f"encoder={own!r} built {type(body).__name__} for {view.name}; it must "
            "return a torch.nn.Module when called with (n_features, embedding_dim)."
        )
    return body.to("cpu", torch.float32)


def _try_out(body, view):
    """Return what a user's module makes of two samples, or its error."""
    training = body.training
    try:
        with torch.no_grad():
            return body.eval()(view.zeros())
    except (RuntimeError, ValueError, TypeError) as error:
        return error
    finally:
        body.train(training)


def _check_output(view, own, output, embedding_dim):
    """Raise if a user's module does not put out embeddings."""
    width = "any width" if embedding_dim is None else embedding_dim
    shape = tuple(getattr(output, "shape", ()))
    if len(shape) == 2 and shape[0] == 2 and embedding_dim in (None, shape[1]):
        return
    found = f"shape {shape}" if torch.is_tensor(output) else repr(output)
    rows = "rows" if view.image_shape is None else "images"
    raise ValueError(
        f"encoder={own!r} for {view.name} maps {rows} of shape "
        f"{tuple(view.zeros().shape)} to {found}, but embeddings have shape (2, "
        f"{width}). Change its layers, set embedding_dim, use output='hidden', which "
        "takes any width, or give X and y an encoder each."
    )
