"""A fingerprint of the parts of a desk, so that a state or an audit log is never read by another desk."""

import hashlib
from collections.abc import Iterator, Mapping
from decimal import Decimal
from enum import Enum
from typing import Any

import numpy as np

_PLAIN = (str, int, float, bool, Decimal, Enum, type(None))


def fingerprint(*parts: Any) -> str:
    """SHA-256 of what the parts are made of, in hexadecimal: types, settings, arrays, to the last bit.

    What an object remembers of the bars it has seen, and what it derives anew, is in attributes that begin with an
    underscore, which do not count.
    """
    digest = hashlib.sha256()
    for part in parts:
        for piece in _pieces(part):
            digest.update(piece)
    return digest.hexdigest()


def _pieces(value: Any) -> Iterator[bytes]:
    if isinstance(value, np.ndarray):
        yield f"{value.dtype.str}{value.shape}".encode() + np.ascontiguousarray(value).tobytes()
    elif isinstance(value, _PLAIN):
        yield f"{type(value).__name__} {value!r};".encode()
    elif isinstance(value, Mapping):
        for key in sorted(value, key=repr):
            yield f"{key!r}:".encode()
            yield from _pieces(value[key])
    elif isinstance(value, tuple | list):
        yield f"[{len(value)}]".encode()
        for part in value:
            yield from _pieces(part)
    elif hasattr(value, "fingerprint_parts"):
        yield from _pieces(value.fingerprint_parts())
    else:
        yield f"{type(value).__module__}.{type(value).__qualname__};".encode()
        public = {name: part for name, part in vars(value).items() if not name.startswith("_")}
        yield from _pieces(public)
