"""Arrays of a mixture: who may write into them, and steps over their axes."""

import numpy as np

from skgmje._backend import is_torch, namespace


def own(array):
    """Return a NumPy array as one that nobody can write into; a tensor as it is."""
    if is_torch(array) or _is_locked(array):
        return array
    # Axes along which nothing changes stay views; the others keep their order.
    once = array[tuple(slice(0, 1) if s == 0 else slice(None) for s in array.strides)]
    copied = lock(np.array(once, order="K"))
    if copied.shape == array.shape:
        return copied
    return np.broadcast_to(copied, array.shape)


def lock(array):
    """Return a NumPy array read-only, and so what it is a view of; any tensor."""
    part = array
    while isinstance(part, np.ndarray):
        part.flags.writeable = False
        part = part.base
    return array


def _is_locked(array):
    """Tell whether an array and its memory, which is NumPy's, are read-only."""
    while isinstance(array, np.ndarray):
        if array.flags.writeable:
            return False
        array = array.base
    return array is None


def map_arrays(function, covariances):
    """Apply `function` to the array, or to each array of the tuple."""
    if isinstance(covariances, tuple):
        return tuple(function(array) for array in covariances)
    return function(covariances)


def collapse(array, n_core):
    """Shrink leading axes that are broadcast views to length one."""
    strides = array.stride() if is_torch(array) else array.strides
    leading = strides[: array.ndim - n_core]
    return array[tuple(slice(0, 1) if s == 0 else slice(None) for s in leading)]


def is_shared(array, n_core):
    """Tell whether all leading axes of `array` have length one."""
    return all(length == 1 for length in array.shape[: array.ndim - n_core])


def take_components(array, component):
    """Return the entries of `array` at (leading axes, component)."""
    xp = namespace(array)
    leading = component.shape[1:]
    options = {"device": array.device} if is_torch(array) else {}
    grid = [
        xp.reshape(xp.arange(n, **options), (-1,) + (1,) * (len(leading) - 1 - axis))
        for axis, n in enumerate(leading)
    ]
    return array[(*grid, component)]


def flatten_pairs(array, n_core):
    """Merge the last two axes before the `n_core` last ones."""
    shape, cut = array.shape, array.ndim - n_core
    n_pairs = shape[cut - 2] * shape[cut - 1]
    return namespace(array).reshape(array, (*shape[: cut - 2], n_pairs, *shape[cut:]))
