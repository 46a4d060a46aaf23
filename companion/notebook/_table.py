"""A table as one output in three forms: numbered in the book, drawn in JupyterLab, readable as plain text."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
import pandas as pd

from companion.notebook._words import typeset, with_interval

Format = str | Callable[[Any], str]


@dataclass(frozen=True)
class ShownTable:
    """A table of texts with its caption and name; the last value of a cell shows it.

    Attributes
    ----------
    text : DataFrame
        What the cells say, the row names as the first columns.
    caption : str
    name : str
    n_names : int
        How many of the first columns are row names.
    """

    text: pd.DataFrame
    caption: str
    name: str
    n_names: int

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {"text/html": self._html(), "text/markdown": self._myst(), "text/plain": self._plain()}

    def _html(self) -> str:
        head = self._row("th", self.text.columns)
        body = "\n".join(self._row("td", row) for row in self.text.to_numpy())
        caption = f'<caption style="text-align: left">{escape(self.caption)}</caption>'
        return f"<table>\n{caption}\n<thead>{head}</thead>\n<tbody>\n{body}\n</tbody>\n</table>"

    def _row(self, tag: str, texts: Iterable[str]) -> str:
        cells = (
            f'<{tag} style="text-align: {side}">{escape(text)}</{tag}>'
            for text, side in zip(texts, self._sides(), strict=True)
        )
        return f"<tr>{''.join(cells)}</tr>"

    def _myst(self) -> str:
        rules = [":--" if side == "left" else "--:" for side in self._sides()]
        rows = [self.text.columns, rules, *self.text.to_numpy()]
        lines = ["| " + " | ".join(str(cell).replace("|", "\\|") for cell in row) + " |" for row in rows]
        return "\n".join([f":::{{table}} {self.caption}", f":name: {self.name}", "", *lines, "", ":::"])

    def _plain(self) -> str:
        return f"{self.caption}\n{self.text.to_string(index=False)}"

    def _sides(self) -> list[str]:
        """Names and words stand on the left, numbers on the right."""
        columns = (self.text.iloc[:, i] for i in range(self.text.shape[1]))
        return ["left" if i < self.n_names or _is_words(column) else "right" for i, column in enumerate(columns)]


def _is_words(column: pd.Series) -> bool:
    """Whether a column has a cell that begins with a letter and none that begins with a number."""
    starts = [text.lstrip("+−(")[:1] for text in column]
    return any(start.isalpha() for start in starts) and not any(start.isdigit() for start in starts)


def show_table(
    frame: pd.DataFrame,
    *,
    caption: str,
    name: str,
    formats: Format | Mapping[str, Format] = ".2f",
    missing: str = "\N{EN DASH}",
) -> ShownTable:
    """Make the table of a measuring cell, as its last line: right in the book, in JupyterLab and in plain text.

    Parameters
    ----------
    frame
        One row a case. A named index becomes the first columns; an index without a name is left out. Its values may
        be numbers, texts, or estimates with an interval, which become ``0.05 (0.02 to 0.08)``.
    caption
        What the table shows, with units and what the uncertainty is; plain words and ``$math$``.
    name
        The label that ``{numref}`` takes, such as ``"tab-10-sizing"``.
    formats
        A format specification or a function for every column, or one a column (others ``".2f"``). Whole numbers keep
        their digits where the specification is the default.
    missing
        What stands for a value that is not there (None, NaN).

    Raises
    ------
    ValueError
        If the caption is empty, the name does not start with ``tab-``, or `formats` names a column that is not there.
    """
    if not caption.strip():
        raise ValueError("caption must say what the table shows, got an empty one")
    if not name.startswith("tab-"):
        raise ValueError(f"name must start with 'tab-', got {name!r}")
    by_column = formats if isinstance(formats, Mapping) else dict.fromkeys(map(str, frame.columns), formats)
    if unknown := sorted(set(by_column) - set(map(str, frame.columns))):
        raise ValueError(f"formats names {unknown}, which are no columns of {list(map(str, frame.columns))}")
    columns = [
        pd.Series(
            [_cell(value, by_column.get(str(column), ".2f"), missing) for value in frame[column]],
            index=frame.index,
            name=str(column),
            dtype=object,
        )
        for column in frame.columns
    ]
    text = pd.concat(columns, axis=1)
    names = [str(level) for level in frame.index.names if level is not None]
    text = text.reset_index().astype(str) if names else text.reset_index(drop=True)
    return ShownTable(text=text, caption=caption, name=name, n_names=len(names))


def _cell(value: Any, form: Format, missing: str) -> str:
    if isinstance(value, str):
        return value
    if value is None or (isinstance(value, float | np.floating) and np.isnan(value)):
        return missing
    if callable(form):
        return form(value)
    if hasattr(value, "estimate"):
        return with_interval(value, form)
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    whole = isinstance(value, int | np.integer) and form == ".2f"
    return typeset(value, "," if whole else form)
