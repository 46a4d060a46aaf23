"""A chapter's tables and numbers: three forms that say the same, true signs, and a refusal of what can not be shown."""

import re
from html import unescape

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from companion.evaluation import Interval
from companion.notebook import Numbers, plus_minus, show_table, signed_interval, told, typeset, with_interval

FRAME = pd.DataFrame(
    {
        "Sharpe ratio": [0.421, -0.1],
        "gap": [Interval(-0.1, -0.2, 0.05, 0.06), None],
        "paths": [3, 4000],
        "calibrated": [True, False],
    },
    index=pd.Index(["buy & hold", "a | b"], name="rule"),
)


def forms(**options: object) -> dict[str, str]:
    return show_table(FRAME, caption="Two rules.", name="tab-99-rules", **options)._repr_mimebundle_()


def cells_of_myst(text: str) -> list[list[str]]:
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    return [[cell.replace("\\|", "|").strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]] for row in rows]


def cells_of_html(text: str) -> list[list[str]]:
    rows = re.findall(r"<tr>(.*?)</tr>", text, re.S)
    return [[unescape(cell) for cell in re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", row)] for row in rows]


def test_the_forms_of_a_table_say_the_same() -> None:
    shown = forms(formats={"gap": "+.2f"})
    in_book, in_lab = cells_of_myst(shown["text/markdown"]), cells_of_html(shown["text/html"])
    assert [in_book[0], *in_book[2:]] == in_lab
    assert in_lab == [
        ["rule", "Sharpe ratio", "gap", "paths", "calibrated"],
        ["buy & hold", "0.42", "−0.10 (−0.20\N{NO-BREAK SPACE}to\N{NO-BREAK SPACE}+0.05)", "3", "yes"],
        ["a | b", "−0.10", "–", "4,000", "no"],
    ]
    for cell in (cell for row in in_lab for cell in row):
        assert cell in shown["text/plain"]
    assert ":::{table} Two rules.\n:name: tab-99-rules\n" in shown["text/markdown"]


def test_words_stand_on_the_left_and_numbers_on_the_right() -> None:
    frame = pd.DataFrame({"why": ["flat: no price", "–"], "size": ["−3", "–"], "mixed": ["none", "4 bars"]})
    rules = show_table(frame, caption="Why.", name="tab-99-why")._repr_mimebundle_()["text/markdown"].splitlines()[4]
    assert rules == "| :-- | --: | --: |"


def test_an_index_without_a_name_is_no_column() -> None:
    table = show_table(FRAME.reset_index(), caption="Two rules.", name="tab-99-rules")
    assert list(table.text.columns) == ["rule", *FRAME.columns]
    assert table.n_names == 0


@pytest.mark.parametrize(
    ("value", "spec", "text"),
    [
        (-0.001, ".2f", "0.00"),
        (-0.001, "+.2f", "0.00"),
        (-0.0004, ".1%", "0.0%"),
        (-1234.5, ",.1f", "−1,234.5"),
        (1e-7, ".1e", "1.0e−07"),
        (0.25, "+.0%", "+25%"),
        ("2008-09", "", "2008-09"),
        (float("nan"), ".2f", "nan"),
    ],
)
def test_a_number_is_typeset(value: object, spec: str, text: str) -> None:
    assert typeset(value, spec) == text


def test_an_estimate_and_its_uncertainty_stay_together() -> None:
    assert plus_minus(-0.4, 0.06, "+.2f") == "−0.40\N{NO-BREAK SPACE}±\N{NO-BREAK SPACE}0.06"
    assert signed_interval(-0.17, 0.29) == "−0.17\N{NO-BREAK SPACE}to\N{NO-BREAK SPACE}+0.29"
    assert with_interval(Interval(0.05, 0.02, 0.08, 0.01)).startswith("0.05 (0.02")


@settings(derandomize=True, deadline=None, max_examples=200)
@given(st.floats(-1e9, 1e9), st.sampled_from([".0f", ".2f", "+.3f", ".1%", ",.1f", ".2e"]))
def test_a_typeset_number_reads_back(value: float, spec: str) -> None:
    text = typeset(value, spec)
    assert "-" not in text
    plain = format(value, spec).replace(",", "").removesuffix("%")
    assert float(text.replace("−", "-").replace(",", "").removesuffix("%")) == float(plain)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"caption": "  "}, "caption must say"),
        ({"name": "rules"}, "name must start with 'tab-'"),
        ({"formats": {"growth": ".1%"}}, r"formats names \['growth'\]"),
    ],
)
def test_a_table_without_what_it_needs_is_refused(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        show_table(FRAME, **{"caption": "Two rules.", "name": "tab-99-rules", **options})


def test_numbers_are_told_under_their_chapter(capsys: pytest.CaptureFixture[str]) -> None:
    tell = Numbers("98")
    tell(mean_error=np.float32(-0.5), first_day="2008-09-15")
    assert told("98-mean-error", ".2f") == "−0.50"
    assert told("98-first-day") == "2008-09-15"
    tell(mean_error=0.25)
    assert told("98-mean-error", ".2f") == "0.25"
    assert told("98-never", ".2f") == "–"


@pytest.mark.parametrize("chapter", ["7", "007", "", "ab"])
def test_a_chapter_is_two_digits(chapter: str) -> None:
    with pytest.raises(ValueError, match="chapter must be two digits"):
        Numbers(chapter)


@pytest.mark.parametrize("name", ["Mean", "_mean", "mean-error"])
def test_a_number_has_a_plain_name(name: str) -> None:
    with pytest.raises(ValueError, match="a number's name is lower-case"):
        Numbers("98")(**{name: 1.0})
