"""From objects to a document of plain values, and arrays beside it."""

import dataclasses
import math
import sys

import numpy as np

from skgmje._backend import is_torch
from skgmje._persistence._container import DTYPES
from skgmje._persistence._registry import name_of

# Results of searches and trainings, which nothing is computed from.
REPORTS = ("cv_results_", "loss_curve_", "lower_bounds_", "pool_weights_")
# What others hang on an estimator for the time of a fit.
PASSING = ("_skl_callbacks", "_parent_callback_ctx", "_callback_fit_ctx")


class NotStorable(TypeError):
    """A value is code, or of a class that files do not know."""


class Encoder:
    """Turns values into nodes: JSON values, or ``{tag: ...}``.

    `arrays` collects the arrays, `custom` the paths of parameters that are code.
    Objects that are met twice are stored once.
    """

    def __init__(self):
        self.arrays = {}
        self.custom = []
        self._known = {}
        # Keeps alive what is known by its address.
        self._alive = []

    def encode(self, value, path=""):
        """Return the node of a value; raise NotStorable if it has none."""
        for kinds, method in _BY_TYPE:
            if type(value) in kinds:
                return method(self, value, path)
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
        if value.dtype.kind in "OU" and all(type(v) is str for v in value.flat):
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
        state = {name: part for name, part in value.state_dict().items()}
        return {"module": self._dict(state, path)}

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
            [name, self._attribute(item, name, path)] for name, item in state.items()
        ]
        return node

    def param(self, value, path):
        """Return the node of a parameter; code gets a name instead.

        Codes that are one object have one name.
        """
        if id(value) in self._known:
            return self._known[id(value)]
        try:
            if not _is_module(value):
                return self.encode(value, path)
        except NotStorable:
            pass
        self.custom.append(path)
        return self._once(value, path, lambda *_: {"custom": path})

    def _attribute(self, value, name, path):
        node = self.encode(value, _below(path, name))
        if name not in REPORTS and not _has_numbers(node, self.arrays):
            raise ValueError(
                f"The attribute {_below(path, name)} has NaN or infinite entries, so "
                "the model cannot be used. Fit it again."
            )
        return node


def _fields(value):
    """Return what an object without parameters is made of."""
    if hasattr(value, "_asdict"):
        return value._asdict()
    if dataclasses.is_dataclass(value):
        made = [f.name for f in dataclasses.fields(value) if f.init]
        return {name: getattr(value, name) for name in made}
    return vars(value)


def _is_module(value):
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.nn.Module)


def _below(path, name):
    return f"{path}.{name}" if path else str(name)


def _has_numbers(node, arrays):
    """Tell whether an attribute that is one array is finite."""
    if not (isinstance(node, dict) and "array" in node):
        return True
    return bool(np.isfinite(arrays[node["array"][0]]).all())


_BY_TYPE = (
    ((type(None), bool, int, str), Encoder._plain),
    ((float,), Encoder._float),
    ((list,), Encoder._list),
    ((tuple,), Encoder._tuple),
    ((dict,), Encoder._dict),
    ((slice,), Encoder._slice),
    ((np.random.RandomState,), Encoder._random_state),
)
