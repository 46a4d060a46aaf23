"""One symbol for one thing: every symbol of a chapter's mathematics stands in appendix A, once.

Appendix A lists the symbols of the whole book and, a row a chapter, the letters that a chapter uses for itself. A
letter in both would have two meanings.
"""

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
APPENDIX = (ROOT / "book" / "notation.md").read_text(encoding="utf-8")
CHAPTERS = sorted((ROOT / "notebooks").glob("*.ipynb"))

MATH = re.compile(
    r"^```\{math\}\n(.*?)^```|\$\$(.*?)\$\$|\\begin\{(?:align|equation)\*?\}(.*?)\\end\{|(?<![\\$])\$([^$\n]+(?:\n[^$\n]+)?)\$(?!\$)",
    re.M | re.S,
)
WORDS = re.compile(
    r"R\^2|\\mathrm\s*[A-Za-z](?![A-Za-z])|\\(?:text\w*|operatorname\*?|label|begin|end|mathrm|tag)\s*\{[^{}]*\}|^:\w+:.*$",
    re.M,
)
DECORATION = r"\\(?:bar|hat|tilde|mathbf|boldsymbol|mathcal|mathbb|dot|ddot|widehat|mathsf|overline)"
GREEK = (
    "alpha|beta|gamma|delta|epsilon|varepsilon|zeta|eta|theta|vartheta|kappa|lambda|mu|nu|xi|pi|rho|varrho|sigma|tau|phi"
    "|varphi|chi|psi|omega|Gamma|Delta|Theta|Lambda|Xi|Pi|Sigma|Phi|Psi|Omega|ell"
)
SYMBOL = re.compile(rf"((?:{DECORATION}\s*\{{?\s*)*)(\\(?:{GREEK})(?![A-Za-z])|(?<![A-Za-z\\])[A-Za-z](?![A-Za-z]))")
# Indices, counts, and what mathematics itself owns: d of an integral, e, i, the probability, expectation, numbers.
COMMON = {*"tijknmNTdeKLMI", "\\ell", "\\pi", "\\mathbb P", "\\mathbb E", "\\mathbb R", "\\mathcal O", "O"}


def symbols(math: str) -> set[str]:
    """The symbols of a formula, decorations and all, without indices: ``\\bar\\mu``, ``\\mathbf h``, ``v``."""
    plain = WORDS.sub(" ", math)
    plain = re.sub(
        rf"\\(?!(?:{GREEK})(?![A-Za-z])|(?:bar|hat|tilde|mathbf|boldsymbol|mathcal|mathbb|dot|ddot|widehat|mathsf|overline)(?![A-Za-z]))[A-Za-z]+",
        " ",
        plain,
    )
    found = set()
    for decoration, letter in SYMBOL.findall(plain):
        marks = re.findall(r"\\(\w+)", decoration)
        found.add(" ".join([*(f"\\{mark}" for mark in marks if mark not in ("dot", "ddot")), letter]))
    return found


def symbols_of_text(text: str) -> set[str]:
    """The symbols in all the mathematics of a page."""
    return set().union(*(symbols("".join(parts)) for parts in MATH.findall(text)))


def tables() -> tuple[set[str], dict[str, set[str]]]:
    """The symbols of the whole book, and those of single chapters, as appendix A has them."""
    of_book, _, of_chapters = APPENDIX.partition("(sec-a-letters)=")
    first_columns = re.findall(r"^\* - (\$.*?)$", of_book, re.M)
    rows = re.findall(r"^\* - (\d+)\n  - (.*?)(?=^\* - |^```)", of_chapters, re.M | re.S)
    return (
        set().union(*(symbols_of_text(cell) for cell in first_columns)),
        {f"{int(chapter):02d}": symbols_of_text(text) for chapter, text in rows},
    )


@pytest.mark.parametrize("path", CHAPTERS, ids=[path.stem for path in CHAPTERS])
def test_every_symbol_of_a_chapter_is_in_appendix_a(path: Path) -> None:
    of_book, of_chapters = tables()
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    text = "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    unknown = symbols_of_text(text) - of_book - of_chapters.get(path.stem[:2], set()) - COMMON
    assert not unknown, f"{sorted(unknown)}: neither a symbol of the book nor a letter of chapter {path.stem[:2]}"


def test_no_letter_of_a_chapter_is_a_symbol_of_the_book() -> None:
    of_book, of_chapters = tables()
    twice = {chapter: sorted((letters & of_book) - COMMON) for chapter, letters in of_chapters.items()}
    assert not {chapter: letters for chapter, letters in twice.items() if letters}


def test_symbols_are_found_with_their_decorations() -> None:
    formula = r"\bar\mu = \frac{\kappa}{2} \mathbf h_t + f_{\max} \log(v_t) + \text{chaos} \bar{A} x^{(2)}"
    assert symbols(formula) == {r"\bar \mu", r"\kappa", r"\mathbf h", "t", "f", "v", r"\bar A", "x"}
    assert symbols_of_text("Let $x_t$ be\n\n```{math}\n:label: eq-a\ny = C x\n```\n\nand $5 of nothing") >= {
        "x",
        "y",
        "C",
    }
