"""Encoders of the user's: built, tried out, and checked."""

import torch

from skgmje.modules._generators import own_network, try_out


def own_encoder(view, own, embedding_dim, *, may_be_wide):
    """Return a network of the user's, on the CPU, float32, and the width it ends in."""
    given = f"encoder={own!r} for {view.name}"
    sizes = {"n_features": view.n_features, "embedding_dim": embedding_dim}
    body = own_network(own, given, torch.float32, **sizes)
    output = try_out(body, view.zeros())
    _check_output(view, given, output, None if may_be_wide else embedding_dim)
    return body, output.shape[1]


def _check_output(view, given, output, embedding_dim):
    """Raise if a user's module does not put out embeddings."""
    width = "any width" if embedding_dim is None else embedding_dim
    shape = tuple(getattr(output, "shape", ()))
    if len(shape) == 2 and shape[0] == 2 and embedding_dim in (None, shape[1]):
        return
    found = f"shape {shape}" if torch.is_tensor(output) else repr(output)
    kind = "samples" if view.image_shape is None else "images"
    raise ValueError(
        f"{given} maps {kind} of shape "
        f"{tuple(view.zeros().shape)} to {found}, but embeddings have shape (2, "
        f"{width}). Change its layers, set embedding_dim, use output='hidden', which "
        "takes any width, or give X and y an encoder each."
    )
