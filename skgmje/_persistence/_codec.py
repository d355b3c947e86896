"""Values to and from arrays and words."""

import dataclasses
import importlib
import math
import sys

import numpy as np

from skgmje._backend import is_torch
from skgmje._persistence._container import DTYPES, distinct
from skgmje._persistence._registry import class_of, name_of

# Results of searches and trainings, which nothing is computed from.
REPORTS = ("cv_results_", "loss_curve_", "lower_bounds_", "pool_weights_")

# What others hang on an estimator for the time of a fit.
PASSING = ("_skl_callbacks", "_parent_callback_ctx", "_callback_fit_ctx")


class NotStorable(TypeError):
    """A value is code, or of a class that files do not know."""


class Encoder:
    """Turns values into nodes: JSON values, or ``{tag: ...}``."""

    def __init__(self):
        self.arrays = {}
        self.custom = []
        self._known = {}
        # Keeps alive what is known by its address.
        self._alive = []

    def encode(self, value, path=""):
        """Return the node of a value; raise NotStorable if it has none."""
        if type(value) in _BY_TYPE:
            return _BY_TYPE[type(value)](self, value, path)
        if isinstance(value, np.generic):
            return self._scalar(value)
        if isinstance(value, np.ndarray):
            return self._once(value, path, Encoder._array)
        if is_torch(value):
            return self._once(value, path, Encoder._tensor)
        if name_of(type(value)):
            return self._object(value, path)
        if _is_module(value):
            return self._once(value, path, Encoder._module)
        raise NotStorable(
            f"{path or 'it'} is a {type(value).__module__}.{type(value).__qualname__}"
        )

    def _once(self, value, path, method):
        if id(value) not in self._known:
            self._known[id(value)] = method(self, value, path)
            self._alive.append(value)
        return self._known[id(value)]

    def _plain(self, value, path):
        return value

    def _float(self, value, path):
        return value if math.isfinite(value) else {"float": str(value)}

    def _list(self, value, path):
        return [self.encode(v, _below(path, i)) for i, v in enumerate(value)]

    def _tuple(self, value, path):
        return {"tuple": self._list(value, path)}

    def _dict(self, value, path):
        pairs = []
        for key, item in value.items():
            if type(key) not in (bool, float, int, str, type(None)):
                raise NotStorable(f"{path} has the key {key!r}")
            pairs.append([self.encode(key), self.encode(item, _below(path, key))])
        return {"dict": pairs}

    def _slice(self, value, path):
        parts = (value.start, value.stop, value.step)
        return {"slice": [self.encode(part, path) for part in parts]}

    def _scalar(self, value):
        if value.dtype.name not in DTYPES:
            raise NotStorable(f"a number of type {value.dtype}")
        return {"scalar": [value.dtype.name, self.encode(value.item())]}

    def _array(self, value, path):
        words = value.dtype.kind in "OU"
        if words and all(type(v) in (str, np.str_) for v in value.flat):
            kind = "object" if value.dtype.kind == "O" else "str"
            return {"strings": [kind, list(value.shape), list(map(str, value.flat))]}
        if value.dtype.name not in DTYPES or type(value) is not np.ndarray:
            raise NotStorable(f"{path} is an array of type {value.dtype}")
        # The order decides in which order sums are taken, and so the last bit.
        by_columns = value.flags.f_contiguous and not value.flags.c_contiguous
        stored = value.astype(value.dtype.newbyteorder("="), order="C")
        return {"array": [self._add(stored), "F" if by_columns else "C"]}

    def _tensor(self, value, path):
        return {"tensor": self._add(value.detach().cpu().contiguous().numpy().copy())}

    def _add(self, array):
        name = str(len(self.arrays))
        self.arrays[name] = array
        return name

    def _module(self, value, path):
        return {"module": self._dict(value.state_dict(), path)}

    def _random_state(self, value, path):
        name, keys, *rest = value.get_state(legacy=True)
        return {"random_state": [name, self.encode(keys), *rest]}

    def _object(self, value, path):
        node = {"object": name_of(type(value))}
        if hasattr(value, "get_params"):
            params = value.get_params(deep=False)
            left_out = {*params, *PASSING, *getattr(value, "_derived", ())}
            state = {k: v for k, v in value.__getstate__().items() if k not in left_out}
            node["params"] = [
                [name, self.param(param, _below(path, name))]
                for name, param in params.items()
            ]
        else:
            state = _fields(value)
        node["state"] = [
            [name, self._attribute(name, item, _below(path, name))]
            for name, item in state.items()
        ]
        return node

    def param(self, value, path):
        """Return the node of a parameter; code gets a name instead."""
        if id(value) in self._known:
            return self._known[id(value)]
        if type(value) is tuple:
            parts = enumerate(value)
            return {"tuple": [self.param(v, _below(path, i)) for i, v in parts]}
        try:
            if not _is_module(value):
                return self.encode(value, path)
        except NotStorable:
            pass
        self.custom.append(path)
        return self._once(value, path, lambda *_: {"custom": path})

    def _attribute(self, name, value, path):
        if not _is_finite(name, value):
            raise ValueError(
                f"The attribute {path} has NaN or infinite entries, so the model "
                "cannot be used. Fit it again."
            )
        return self.encode(value, path)


def _fields(value):
    """Return what an object without parameters is made of."""
    if hasattr(value, "_asdict"):
        return value._asdict()
    if dataclasses.is_dataclass(value):
        made = [f.name for f in dataclasses.fields(value) if f.init]
        return {name: getattr(value, name) for name in made}
    return vars(value)


def _is_module(value):
    """Return whether a value is a torch module."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.nn.Module)


def _below(path, name):
    """Return the path of a part of what is at a path."""
    return f"{path}.{name}" if path else str(name)


def _is_finite(name, value):
    """Return whether an attribute's arrays are finite and no number NaN; or reports."""
    parts = value if isinstance(value, tuple | list) else (value,)
    return name in REPORTS or not any(map(_is_broken, parts))


def _is_broken(part):
    """Return whether a value is NaN, or an array of floats that are not all finite."""
    if isinstance(part, np.ndarray) and part.dtype.kind == "f":
        return not np.isfinite(part).all()
    return isinstance(part, float) and np.isnan(part)


_BY_TYPE = {
    **dict.fromkeys((type(None), bool, int, str), Encoder._plain),
    float: Encoder._float,
    list: Encoder._list,
    tuple: Encoder._tuple,
    dict: Encoder._dict,
    slice: Encoder._slice,
    np.random.RandomState: Encoder._random_state,
}

# No model is nested so deeply.
_DEEPEST = 60


class ModuleState(dict):
    """The tensors of a network by name; whoever knows its layers loads them."""


class Decoder:
    """Makes values of nodes."""

    def __init__(self, arrays, custom=None):
        self.arrays = arrays
        self.custom = custom or {}
        self._made = {}
        self._depth = 0

    def decode(self, node):
        """Return the value of a node."""
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
        return {"inf": np.inf, "-inf": -np.inf, "nan": np.nan}[text]

    def _tuple(self, nodes):
        return tuple(map(self.decode, nodes))

    def _dict(self, pairs):
        return distinct((self.decode(k), self.decode(v)) for k, v in pairs)

    def _slice(self, nodes):
        start, stop, step = map(self.decode, nodes)
        return slice(start, stop, step)

    def _scalar(self, node):
        name, value = node
        return np.dtype(name).type(self.decode(value))

    def _strings(self, node):
        kind, shape, words = node
        if kind not in ("object", "str") or not all(type(w) is str for w in words):
            raise ValueError("it has an invalid string table")
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
        state = distinct((k, self.decode(v)) for k, v in node["state"])
        if "params" not in node:
            return _make_value(cls, state)
        params = distinct((k, self.decode(v)) for k, v in node["params"])
        known = set(cls._get_param_names())
        if not set(params) <= known:
            library = sys.modules[cls.__module__.partition(".")[0]]
            name = {"sklearn": "scikit-learn"}.get(library.__name__, library.__name__)
            raise ValueError(
                f"it has the parameters {sorted(set(params) - known)}, which "
                f"{cls.__name__} of {name} {library.__version__} does not have; use a "
                f"later {name}"
            )
        value = cls(**params)
        _check_state(state, cls, known)
        value.__setstate__(state)
        # A part that is a parameter has not been fitted.
        return _complete(value) if state else value


def _make_value(cls, state):
    """Return an object without parameters, by its constructor where it checks."""
    if hasattr(cls, "_fields") or dataclasses.is_dataclass(cls):
        # Nobody else holds a file's arrays, so that a mixture need not copy them.
        value = getattr(cls, "_of", cls)(**state)
        _check_finite(state)
    else:
        value = cls.__new__(cls)
        _check_state(state, cls)
        vars(value).update(state)
    return _complete(value)


def _complete(value):
    """Let an object make what its file does not hold, and check itself."""
    if hasattr(value, "_rebuild"):
        value._rebuild()
    return value


def _check_state(state, cls, params=()):
    """Raise if an attribute would hide what the class itself has, or is no number."""
    for name in state:
        if not name.isidentifier() or name in params or hasattr(cls, name):
            raise ValueError(f"{cls.__name__} has no attribute {name!r} to be set")
    _check_finite(state)


def _check_finite(state):
    """Raise if an attribute has numbers that are not finite, reports aside."""
    for name, value in state.items():
        if not _is_finite(name, value):
            raise ValueError(f"{name} has NaN or infinite entries")


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
