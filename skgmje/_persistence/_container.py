"""Containers of arrays and words."""

import contextlib
import hashlib
import importlib
import json
import os
import secrets

import numpy as np

# A file of a higher major version may hold what this one would misread.
FORMAT = "skgmje"
MAJOR, MINOR = 1, 0

DTYPES = frozenset(
    "bool float16 float32 float64 int8 int16 int32 int64 "
    "uint8 uint16 uint32 uint64".split()
)


def _library():
    """Import safetensors, or say how to install it."""
    try:
        return importlib.import_module("safetensors.numpy")
    except ImportError as error:
        raise ImportError(
            'Files of models need safetensors. Run pip install "skgmje[io]".'
        ) from error


def pack(document, arrays, **labels):
    """Return the bytes of a file."""
    known = {"format_version": f"{MAJOR}.{MINOR}", **labels, "document": document}
    known["sha256"] = _digest(known, arrays)
    # One entry: safetensors writes several in an order of its own.
    return _library().save(arrays, {FORMAT: json.dumps(known, allow_nan=False)})


def unpack(data):
    """Return document and arrays of a file, if every bit is as it was written."""
    known = _metadata(data)
    major = str(known.get("format_version")).partition(".")[0]
    if not major.isdecimal() or int(major) != MAJOR:
        raise ValueError(
            f"its format version is {known.get('format_version')!r}, and this skgmje "
            f"reads {MAJOR}.x; use the version that wrote it, or a later one"
        )
    arrays = _library().load(data)
    if known.pop("sha256", None) != _digest(known, arrays):
        raise ValueError("its checksum does not fit: it was damaged or edited")
    if not {array.dtype.name for array in arrays.values()} <= DTYPES:
        raise ValueError("it has an array of a data type that models do not have")
    return known["document"], arrays


def _metadata(data):
    """Return what a file says of itself; safetensors takes the last of equal keys."""
    size = int.from_bytes(data[:8], "little")
    if len(data) < 8 or size > len(data) - 8:
        raise ValueError("it ends too early")
    header = json.loads(data[8 : 8 + size].decode(), object_pairs_hook=distinct)
    metadata = header.get("__metadata__") if isinstance(header, dict) else None
    if not isinstance(metadata, dict) or FORMAT not in metadata:
        raise ValueError("it is not a skgmje file")
    return json.loads(metadata[FORMAT], object_pairs_hook=distinct)


def distinct(pairs):
    """Return a dict of pairs; no key may come twice."""
    pairs = list(pairs)
    items = dict(pairs)
    if len(items) != len(pairs):
        raise ValueError("it has the same key twice")
    return items


def _digest(known, arrays):
    """Return the checksum of all that a file says."""
    total = hashlib.sha256(json.dumps(known, sort_keys=True).encode())
    for name in sorted(arrays):
        array = arrays[name]
        total.update(f"{name} {array.dtype.name} {array.shape}".encode())
        total.update(np.ascontiguousarray(array).data.cast("B") if array.size else b"")
    return total.hexdigest()


def write_file(path, data):
    """Write a file as a whole or not at all."""
    path = os.fspath(path)
    folder, name = os.path.split(os.path.abspath(path))
    part = os.path.join(folder, f".{name}.{secrets.token_hex(8)}.part")
    try:
        with open(part, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(part)
        raise
    _sync_folder(folder)


def _sync_folder(folder):
    """Let the new name reach the disk, where folders can be opened."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
