"""The numbers that a chapter's prose quotes: glued for the book, and kept by name for text that follows a new run."""

import re

from companion.notebook._words import typeset

_NAME = re.compile(r"[a-z][a-z0-9_]*")
_PREFIX = "application/papermill.record/"  # what MyST-NB takes for a glued number, and no viewer shows
_told: dict[str, float | str] = {}


class Numbers:
    """The numbers of one chapter: ``tell(ece=0.021)`` makes ``{glue:text}`10-ece:.3f``` right in chapter 10.

    Parameters
    ----------
    chapter
        Two digits, which every key of the chapter starts with.

    Raises
    ------
    ValueError
        If `chapter` is not two digits.
    """

    def __init__(self, chapter: str) -> None:
        if not re.fullmatch(r"\d\d", chapter):
            raise ValueError(f"chapter must be two digits, got {chapter!r}")
        self.chapter = chapter

    def __call__(self, **numbers: float | str) -> None:
        """Glue numbers and words under their names, ``_`` written as ``-``, without showing them.

        Raises
        ------
        ValueError
            If a name has capitals or starts with ``_``.
        """
        from IPython.display import display  # a report needs no notebook

        for name, value in numbers.items():
            if not _NAME.fullmatch(name):
                raise ValueError(f"a number's name is lower-case words joined by _, got {name!r}")
            plain = value if isinstance(value, str) else float(value)
            key = f"{self.chapter}-{name.replace('_', '-')}"
            _told[key] = plain
            record = {"name": key, "mime_prefix": _PREFIX}
            display({f"{_PREFIX}text/plain": repr(plain)}, raw=True, metadata={"scrapbook": record})


def told(key: str, spec: str = "") -> str:
    """Return a number of the prose as the book writes it: what the chapter told last in this kernel.

    Parameters
    ----------
    key
        Its name with the chapter, such as ``"10-ece"``.
    spec
        A format specification.

    Returns
    -------
    str
        A dash where the cell that measures it has not run in this kernel.
    """
    return typeset(_told[key], spec) if key in _told else "\N{EN DASH}"
