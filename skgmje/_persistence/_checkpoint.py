"""States of unfinished fits."""

import hashlib
import json
import os

import numpy as np

from skgmje._persistence._codec import Decoder, Encoder
from skgmje._persistence._container import pack, unpack, write_file

# What a fit says or where it keeps its state does not change its result.
_SILENT = ("checkpoint_dir", "verbose", "verbose_interval")
_CHUNK_ROWS = 2**16


class Checkpoint:
    """A file that a fit writes, and that the same fit finds when it starts again.

    The fingerprint distinguishes this fit from all others.
    """

    def __init__(self, folder, name, fingerprint, *, writes=True):
        self.folder = os.fspath(folder)
        self.name = name
        self.fingerprint = fingerprint
        self.writes = writes
        self.path = os.path.join(self.folder, f"{name}.checkpoint")
        os.makedirs(self.folder, exist_ok=True)

    def read(self):
        """Return what was written last, or None; raise if it is of another fit."""
        try:
            with open(self.path, "rb") as file:
                data = file.read()
        except FileNotFoundError:
            return None
        try:
            document, arrays = unpack(data)
            known = document["fingerprint"]
            if known == self.fingerprint:
                return Decoder(arrays).decode(document["state"])
        except Exception as error:
            raise ValueError(
                f"The checkpoint {self.path} cannot be read: {error}. Delete it to "
                "start from the beginning."
            ) from error
        raise ValueError(
            f"checkpoint_dir={self.folder!r} holds the checkpoint of another fit: its "
            "samples, parameters or version are others. Use a folder for each fit, or "
            f"delete {self.path}."
        )

    def write(self, state):
        """Remember a state in place of the last one."""
        if not self.writes:
            return
        encoder = Encoder()
        document = {"fingerprint": self.fingerprint, "state": encoder.encode(state)}
        write_file(self.path, pack(document, encoder.arrays))

    def finish(self):
        """Remove what this fit has written; it is complete."""
        if not self.writes:
            return
        for file in os.listdir(self.folder):
            ours = file.lstrip(".").startswith(f"{self.name}.")
            if ours and file.endswith((".checkpoint", ".part")):
                os.unlink(os.path.join(self.folder, file))


class _Content(Encoder):
    """Encodes what decides the numbers: not where the state of a fit is kept."""

    def encode(self, value, path=""):
        if type(value) is dict:
            value = {name: v for name, v in value.items() if name not in _SILENT}
        return super().encode(value, path)


def fingerprint(estimator, arrays):
    """Return a checksum of parameters and data; code counts by its place only."""
    from skgmje import __version__

    encoder = _Content()
    params = sorted(estimator.get_params(deep=False).items())
    nodes = [[k, encoder.param(v, k)] for k, v in params if k not in _SILENT]
    known = [type(estimator).__qualname__, __version__, nodes]
    total = hashlib.sha256(json.dumps(known).encode())
    arrays = [part for array in arrays for part in _parts(array)]
    for array in (*encoder.arrays.values(), *arrays):
        total.update(f"{getattr(array, 'dtype', None)} {np.shape(array)}".encode())
        rows = () if array is None else np.atleast_1d(array)
        for start in range(0, len(rows), _CHUNK_ROWS):
            total.update(np.ascontiguousarray(rows[start : start + _CHUNK_ROWS]))
    return total.hexdigest()


def _parts(rows):
    """Return the arrays that distinguish samples from others."""
    overview = getattr(rows, "overview", None)
    if overview is None:
        return [rows]
    counts = np.array(sorted(overview.n_rows.items()))
    return [counts, *(part for part in overview if isinstance(part, np.ndarray))]
