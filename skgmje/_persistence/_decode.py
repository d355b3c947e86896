"""From a document and its arrays back to objects."""

import dataclasses
import importlib

import numpy as np

from skgmje._persistence._encode import REPORTS
from skgmje._persistence._registry import class_of

# No model is nested so deeply.
_DEEPEST = 60


class ModuleState(dict):
    """The tensors of a network by name; whoever knows its layers loads them."""


class Decoder:
    """Makes values of nodes.

    Parameters
    ----------
    arrays : dict of ndarray
        The arrays that nodes name.

    custom : dict
        The user's code by path.
    """

    def __init__(self, arrays, custom=None):
        self.arrays = arrays
        self.custom = custom or {}
        self._made = {}
        self._depth = 0

    def decode(self, node):
        """Return the value of a node.

        Raises
        ------
        ValueError
            If there is none.
        """
        if node is None or isinstance(node, bool | int | float | str):
            return node
        self._depth += 1
        if self._depth > _DEEPEST:
            raise ValueError("it is nested too deeply")
        try:
            if isinstance(node, list):
                return [self.decode(item) for item in node]
            tag = "object" if "object" in node else next(iter(node))
            if tag != "object" and len(node) != 1:
                raise ValueError(f"it has a node with the keys {sorted(node)}")
            return _BY_TAG[tag](self, node if tag == "object" else node[tag])
        finally:
            self._depth -= 1

    def _float(self, text):
        return {"inf": np.inf, "-inf": -np.inf, "nan": np.nan}[text] * 1.0

    def _tuple(self, nodes):
        return tuple(map(self.decode, nodes))

    def _dict(self, pairs):
        return _distinct((self.decode(k), self.decode(v)) for k, v in pairs)

    def _slice(self, nodes):
        start, stop, step = map(self.decode, nodes)
        return slice(start, stop, step)

    def _scalar(self, node):
        name, value = node
        return np.dtype(name).type(self.decode(value))

    def _strings(self, node):
        kind, shape, words = node
        if kind not in ("object", "str") or not all(type(w) is str for w in words):
            raise ValueError("it has strings that are none")
        return np.array(words, dtype=kind).reshape(shape)

    def _array(self, node):
        name, order = node
        if (name, order) not in self._made:
            # A copy: the bytes of a file are read-only, and of any alignment.
            self._made[name, order] = np.array(self.arrays[name], order=order)
        return self._made[name, order]

    def _tensor(self, name):
        torch = importlib.import_module("torch")
        return torch.from_numpy(np.array(self.arrays[name]))

    def _module(self, node):
        state = self.decode(node)
        for name, tensor in state.items():
            if tensor.is_floating_point() and not tensor.isfinite().all():
                raise ValueError(f"the network's {name} is not finite")
        return ModuleState(state)

    def _random_state(self, node):
        name, keys, *rest = node
        random_state = np.random.RandomState()
        random_state.set_state((name, self.decode(keys), *rest))
        return random_state

    def _custom(self, path):
        return self.custom[path]

    def _object(self, node):
        cls = class_of(node["object"])
        state = _distinct((k, self.decode(v)) for k, v in node["state"])
        if "params" not in node:
            return _make_value(cls, state)
        params = _distinct((k, self.decode(v)) for k, v in node["params"])
        known = set(cls._get_param_names())
        if not set(params) <= known:
            raise ValueError(
                f"it has the parameters {sorted(set(params) - known)}, which "
                f"{cls.__name__} of this version does not have; use a later skgmje"
            )
        value = cls(**params)
        for name, item in state.items():
            _check_attribute(cls, known, name, item)
        value.__setstate__(state)
        # A part that is a parameter has not been fitted.
        return _complete(value) if state else value


def _distinct(pairs):
    pairs = list(pairs)
    items = dict(pairs)
    if len(items) != len(pairs):
        raise ValueError("it has the same key twice")
    return items


def _make_value(cls, state):
    """Return an object without parameters, by its constructor where it checks."""
    if hasattr(cls, "_fields") or dataclasses.is_dataclass(cls):
        value = cls(**state)
    else:
        value = cls.__new__(cls)
        for name, item in state.items():
            _check_attribute(cls, (), name, item)
        vars(value).update(state)
    for name, item in state.items():
        _check_finite(name, item)
    return _complete(value)


def _complete(value):
    """Let an object make what its file does not hold, and check itself."""
    if hasattr(value, "_rebuild"):
        value._rebuild()
    return value


def _check_attribute(cls, params, name, value):
    """Raise if an attribute would hide what the class itself has, or is no number."""
    if not name.isidentifier() or name in params or hasattr(cls, name):
        raise ValueError(f"{cls.__name__} has no attribute {name!r} to be set")
    _check_finite(name, value)


def _check_finite(name, value):
    if name in REPORTS:
        return
    parts = value if isinstance(value, tuple | list) else (value,)
    for part in parts:
        if isinstance(part, np.ndarray) and part.dtype.kind == "f":
            if not np.isfinite(part).all():
                raise ValueError(f"{name} has NaN or infinite entries")
        if isinstance(part, float) and np.isnan(part):
            raise ValueError(f"{name} is NaN")


_BY_TAG = {
    "array": Decoder._array,
    "custom": Decoder._custom,
    "dict": Decoder._dict,
    "float": Decoder._float,
    "module": Decoder._module,
    "object": Decoder._object,
    "random_state": Decoder._random_state,
    "scalar": Decoder._scalar,
    "slice": Decoder._slice,
    "strings": Decoder._strings,
    "tensor": Decoder._tensor,
    "tuple": Decoder._tuple,
}
