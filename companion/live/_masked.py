"""Text for a file that people read: on one line, and without passwords."""

import re

_LONGEST = 1000
# A password may hold "@" and "/", as those who read addresses allow; a port and what follows it is none.
_IN_ADDRESS = re.compile(r"(://[^\s:/@]*):(?!\d{1,5}(?:[/?#\s]|$))\S*@")
_IN_QUERY = re.compile(r"(?i)\b(password|passwd|pwd|secret|token|api_?key|signature)=[^&\s]+")


def masked(text: str) -> str:
    """`text` with three stars for each password in an address, and for each secret that is given as ``name=value``."""
    if "://" not in text and "=" not in text:
        return text
    return _IN_QUERY.sub(r"\1=***", _IN_ADDRESS.sub(r"\1:***@", text))


def one_line(text: object) -> str:
    """Anything as one line of at most 1,000 printable characters, `masked`; it never fails."""
    try:
        whole = masked(str(text)).strip()
    except Exception as error:  # who says why trading stops must not be stopped by how it is said
        whole = f"a text that can not be read ({type(error).__name__})"
    short = whole if len(whole) <= _LONGEST else f"{whole[:_LONGEST]}…"
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in short)
