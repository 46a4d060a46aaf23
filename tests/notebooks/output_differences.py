"""Where the outputs of a notebook cell differ from the stored ones, number by number.

Nothing here knows pytest or nbval: outputs in, lines of text out.
"""

import hashlib
import itertools
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

FIGURE = "application/vnd.plotly.v1+json"
FIGURE_DIGITS = 5  # companion.plotting stores so many
GLUE_PREFIX = "application/papermill.record/"
MAX_TOLERANCE = 0.25
# A true minus is a sign like the others.
NUMBER = re.compile(r"[-+−]?(?:\d+\.\d*|\.\d+|\d+)(?:[eE][-+]?\d+)?|[-+−]?\b(?:nan|NaN|inf|Infinity)\b")
MISSING: Any = object()
TERMINAL_CODES = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


@dataclass(frozen=True)
class Tolerance:
    """Two numbers agree where |a − b| ≤ max(rtol · max(|a|, |b|), atol); two integers only where they are equal.

    A `widened` tolerance, which a cell asks for with a reason, holds for integers too. Numbers that were stored with
    so many significant `digits` may also differ by one in the last of them: a last bit can turn a rounding over.
    """

    rtol: float = 1e-6
    atol: float = 1e-9
    widened: bool = False
    digits: int | None = None

    @classmethod
    def of_cell(cls, metadata: Mapping[str, Any]) -> "Tolerance":
        """The tolerance in a cell's metadata, `{"nbval": {"rtol": 1e-3, "atol": 1e-6, "reason": "…"}}`, or the default.

        Raises
        ------
        ValueError
            A key is unknown, the reason is missing, or a tolerance is not a number in [0, .25].
        """
        if "nbval" not in metadata:
            return cls()
        asked = dict(metadata["nbval"]) if isinstance(metadata["nbval"], Mapping) else {}
        reason = asked.pop("reason", None)
        if unknown := sorted(set(asked) - {"rtol", "atol"}):
            raise ValueError(f"metadata nbval: unknown key {unknown[0]!r}; known are rtol, atol, reason")
        if not (isinstance(reason, str) and reason.strip()):
            raise ValueError("metadata nbval: widens the tolerance without a reason")
        if not asked:
            raise ValueError("metadata nbval: gives a reason but neither rtol nor atol")
        for name, value in asked.items():
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MAX_TOLERANCE:
                raise ValueError(f"metadata nbval: {name} is {value!r}, must be a number from 0 to {MAX_TOLERANCE}")
        return cls(**asked, widened=True)

    def agree(self, stored: float, now: float) -> bool:
        """Whether two numbers count as the same; nan agrees with nan."""
        if stored == now:
            return True
        if math.isnan(stored) or math.isnan(now):
            return math.isnan(stored) and math.isnan(now)
        if math.isinf(stored) or math.isinf(now):
            return False
        if self.digits is not None and abs(stored - now) < 1.001 * self._last_digit(stored, now):
            return True
        if isinstance(stored, int) and isinstance(now, int) and not self.widened:
            return False
        return math.isclose(stored, now, rel_tol=self.rtol, abs_tol=self.atol)

    def _last_digit(self, stored: float, now: float) -> float:
        assert self.digits is not None
        return 10.0 ** (math.floor(math.log10(max(abs(stored), abs(now)))) + 1 - self.digits)


def value_differences(stored: Any, now: Any, tolerance: Tolerance, label: str, path: str = "") -> Iterator[str]:
    """Each leaf in which two JSON values differ, as `figure data[0].y[17]: stored 1.01, now 1`."""
    where = f"{label} {path.lstrip('.')}".rstrip()
    if isinstance(stored, Mapping) and isinstance(now, Mapping):
        for key in sorted({*stored, *now}):
            a, b = stored.get(key, MISSING), now.get(key, MISSING)
            yield from value_differences(a, b, tolerance, label, f"{path}.{key}")
    elif isinstance(stored, list) and isinstance(now, list):
        if len(stored) != len(now):
            yield f"{where}: stored {len(stored)} items, now {len(now)}"
        for index, (a, b) in enumerate(zip(stored, now, strict=False)):
            yield from value_differences(a, b, tolerance, label, f"{path}[{index}]")
    elif isinstance(stored, str) and isinstance(now, str):
        yield from text_differences(stored, now, tolerance, where)
    elif _is_number(stored) and _is_number(now):
        if not tolerance.agree(stored, now):
            yield f"{where}: stored {stored!r}, now {now!r}"
    elif type(stored) is not type(now) or stored != now:
        yield f"{where}: stored {_short(stored)}, now {_short(now)}"


def text_differences(stored: str, now: str, tolerance: Tolerance, where: str) -> Iterator[str]:
    """The numbers in which two texts differ, or the first line where the words do.

    In a cell that widens its tolerance, two numbers also agree where they differ by one in the last printed decimal.
    Where only the digits differ, so may the spaces that align them.
    """
    if stored == now:
        return
    numbers = [NUMBER.findall(text) for text in (stored, now)]
    words = [" ".join(NUMBER.sub("#", text).split()) for text in (stored, now)]
    if numbers[0] == numbers[1] or words[0] != words[1]:
        yield f"{where}: stored {_first_difference(stored, now)}, now {_first_difference(now, stored)}"
        return
    for position, (a, b) in enumerate(zip(*numbers, strict=True), start=1):
        first, second = _parse(a), _parse(b)
        # Where values may move a little, a printed one may round the other way.
        turned_over = tolerance.widened and abs(first - second) < 1.001 * _last_printed(a, b)
        if a != b and not turned_over and not tolerance.agree(first, second):
            yield f"{where}, number {position}: stored {a}, now {b}"


def output_differences(stored: Sequence[Mapping], now: Sequence[Mapping], tolerance: Tolerance) -> list[str]:
    """Every difference between a cell's stored outputs and its new ones; empty where they agree.

    Outputs (nbformat dictionaries, streams coalesced) are compared in their order. No mime type is left out.
    """
    lines: list[str] = []
    for before, after in itertools.zip_longest(stored, now):
        if before is not None and (after is None or _label(before) != _label(after)):
            lines.append(f"{_label(before)}: stored {_short(_content(before))}, now nothing")
        if after is not None and (before is None or _label(before) != _label(after)):
            lines.append(f"{_label(after)}: stored nothing, now {_short(_content(after))}")
        if before is not None and after is not None and _label(before) == _label(after):
            lines += _one_output(before, after, tolerance)
    return lines


def _one_output(stored: Mapping, now: Mapping, tolerance: Tolerance) -> Iterator[str]:
    label = _label(stored)
    if "data" not in stored:
        yield from text_differences(_content(stored), _content(now), tolerance, label)
        return
    yield from value_differences(stored.get("metadata", {}), now.get("metadata", {}), tolerance, f"{label} metadata")
    for mime in sorted({*stored["data"], *now["data"]}):
        where = label if mime == FIGURE or mime.startswith(GLUE_PREFIX) else f"{label} ({mime})"
        if mime not in stored["data"] or mime not in now["data"]:
            yield f"{label}: {mime} is only in {'the stored' if mime in stored['data'] else 'the new'} output"
        elif mime.startswith("image/") and mime != "image/svg+xml":
            if (a := _digest(stored["data"][mime])) != (b := _digest(now["data"][mime])):
                yield f"{where}: stored image with sha256 {a}…, now {b}…"
        else:
            allowed = replace(tolerance, digits=FIGURE_DIGITS) if mime == FIGURE else tolerance
            yield from value_differences(_joined(stored["data"][mime]), _joined(now["data"][mime]), allowed, where)


def _label(output: Mapping) -> str:
    kind = output["output_type"]
    if kind == "stream":
        return str(output["name"])
    if kind == "error":
        return "error"
    if name := output.get("metadata", {}).get("scrapbook", {}).get("name"):
        return f"glue {name!r}"
    if FIGURE in output["data"]:
        return "figure"
    return "result" if kind == "execute_result" else "display"


def _content(output: Mapping) -> Any:
    if output["output_type"] == "stream":
        return TERMINAL_CODES.sub("", _joined(output["text"]))
    if output["output_type"] == "error":
        return f"{output['ename']}: {output['evalue']}"
    data = output["data"]
    return _joined(next((data[mime] for mime in data if mime.endswith("text/plain")), next(iter(data.values()), "")))


def _joined(value: Any) -> Any:
    """A text that nbformat holds as a list of lines; figures and other JSON as they are."""
    return "".join(value) if isinstance(value, list) and all(isinstance(line, str) for line in value) else value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _parse(number: str) -> float:
    plain = number.replace("−", "-")
    try:
        return int(plain)
    except ValueError:
        return float(plain)


def _last_printed(a: str, b: str) -> float:
    """One unit of the last decimal that both texts print; 0 where either has none or is in powers of ten."""
    decimals = [len(text.partition(".")[2]) for text in (a, b) if re.fullmatch(r"[-+−]?\d*\.\d+", text)]
    return 10.0 ** -min(decimals) if len(decimals) == 2 else 0.0


def _digest(value: Any) -> str:
    return hashlib.sha256("".join(_joined(value).split()).encode()).hexdigest()[:12]


def _short(value: Any, limit: int = 200) -> str:
    if isinstance(value, str):
        return repr(value if len(value) <= limit else value[:limit] + "…")
    return json.dumps(value, ensure_ascii=False, default=str)[:limit] if value is not MISSING else "nothing"


def _first_difference(text: str, other: str) -> str:
    """The first line of `text` that is not the same in `other`."""
    pairs = itertools.zip_longest(text.splitlines(), other.splitlines(), fillvalue="")
    return _short(next((line for line, unlike in pairs if line != unlike), text), 200)
