"""How a figure is stored in a notebook: one mime type, plain lists, five significant digits."""

import base64
import json
import math
from typing import Any

import numpy as np
import plotly.io as pio
from plotly.io.base_renderers import MimetypeRenderer

MIME = "application/vnd.plotly.v1+json"
DIGITS = 5
MAX_BYTES = 100_000


def stored(figure: dict[str, Any]) -> dict[str, Any]:
    """Return a figure as it is stored: JSON values only, floats rounded to five significant digits.

    Plotly packs numpy arrays as base64, where one unit in the last place changes the whole text and nobody can read
    the difference; here they become lists again. Whole numbers stay exact; a value that is not finite becomes a gap.

    Parameters
    ----------
    figure
        A figure as ``fig.to_dict()`` gives it.

    Raises
    ------
    ValueError
        If the figure takes more than 100 kB.
    """
    plain = _plain(figure)
    size = len(json.dumps(plain, separators=(",", ":")))
    if size > MAX_BYTES:
        raise ValueError(f"the figure takes {size:,} bytes, more than {MAX_BYTES:,}: thin its data before plotting")
    return plain


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return _plain(_unpack(value)) if "bdata" in value else {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return _rounded(value) if isinstance(value, float) else value


def _unpack(packed: dict[str, Any]) -> np.ndarray:
    flat = np.frombuffer(base64.b64decode(packed["bdata"]), dtype=np.dtype(packed["dtype"]).newbyteorder("<"))
    shape = [int(n) for n in str(packed.get("shape", flat.size)).split(",")]
    return flat.reshape(shape)


def _rounded(value: float) -> float | int | None:
    if not math.isfinite(value):
        return None
    short = float(f"{value:.{DIGITS}g}")
    return int(short) if short.is_integer() and abs(short) < 2**53 else short


class StoredRenderer(MimetypeRenderer):
    """Offer Plotly's own mime type and nothing else; JupyterLab and the book draw it without a network."""

    def to_mimebundle(self, fig_dict: dict[str, Any]) -> dict[str, Any]:
        """Return the mime bundle of a figure."""
        return {MIME: stored(fig_dict)}


def use() -> None:
    """Show figures in this notebook as the book stores them: plain, rounded numbers, at most 100 kB, offline.

    It registers the renderer ``companion`` and makes it Plotly's default, for figures of your own, too.
    """
    pio.renderers["companion"] = StoredRenderer()
    pio.renderers.default = "companion"
