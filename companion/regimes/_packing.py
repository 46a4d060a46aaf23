"""Arrays as JSON and back, to the last bit; and a fingerprint of what an object is made of."""

import base64
import hashlib
import inspect
from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Any

import numpy as np


def pack(value: Any) -> Any:
    """None, an array, or a tuple of them as JSON types."""
    if value is None:
        return None
    if isinstance(value, tuple):
        return [pack(part) for part in value]
    data = base64.b64encode(np.ascontiguousarray(value).tobytes()).decode("ascii")
    return {"dtype": value.dtype.str, "shape": list(value.shape), "data": data}


def unpack(value: Any) -> Any:
    """What `pack` was given; ValueError, TypeError or KeyError where it never was."""
    if value is None:
        return None
    if isinstance(value, list):
        return tuple(unpack(part) for part in value)
    memory = base64.b64decode(value["data"], validate=True)
    array = np.frombuffer(memory, np.dtype(value["dtype"])).reshape(value["shape"]).copy()
    if np.isnan(array).any():
        raise ValueError("a number is missing")
    return array


def fingerprint(*parts: Any) -> str:
    """SHA-256 of what the parts are made of, in hexadecimal: types, settings, arrays, to the last bit.

    An object is made of its public attributes, or of what its `fingerprint_parts` returns: what it remembers of the
    bars it has seen, and what it derives anew, is in attributes that begin with an underscore.
    """
    digest = hashlib.sha256()
    for piece in _pieces(parts):
        digest.update(piece)
    return digest.hexdigest()


def _pieces(value: Any) -> Iterator[bytes]:
    if isinstance(value, np.ndarray):
        yield f"{value.dtype.str}{value.shape}".encode() + np.ascontiguousarray(value).tobytes()
    elif isinstance(value, Mapping):
        for key in sorted(value, key=repr):
            yield f"{key!r}:".encode()
            yield from _pieces(value[key])
    elif isinstance(value, tuple | list):
        yield f"[{len(value)}]".encode()
        for part in value:
            yield from _pieces(part)
    elif hasattr(value, "fingerprint_parts"):
        yield f"{type(value).__qualname__};".encode()
        yield from _pieces(value.fingerprint_parts())
    elif inspect.isroutine(value):
        yield f"{value.__module__}.{value.__qualname__};".encode()
    elif hasattr(value, "__dict__") and not isinstance(value, Enum):
        yield f"{type(value).__qualname__};".encode()
        yield from _pieces({name: part for name, part in vars(value).items() if not name.startswith("_")})
    else:
        yield f"{type(value).__name__} {value!r};".encode()
