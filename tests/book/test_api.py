"""The API pages: every room has one, its example runs as printed, and every attribute is a name with a type."""

import doctest
import importlib
import inspect
import re
from pathlib import Path

import pytest
import torch
import yaml

ROOT = Path(__file__).parents[2]
ROOMS = sorted(path.parent.name for path in (ROOT / "companion").glob("[a-z]*/__init__.pyi"))
INNER_ROOMS = ["execution.nautilus"]


def split_attributes(docstring: str) -> list[str]:
    """The entries of an Attributes section that name several attributes at once, which Sphinx garbles."""
    section = re.search(r"^Attributes\n-+\n(.*?)(?=^\S[^\n]*\n-{3,}|\Z)", docstring, re.M | re.S)
    return re.findall(r"^\w+,.*$", section[1], re.M) if section else []


def test_every_room_has_a_page_in_the_contents() -> None:
    contents = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    sections = [
        section["file"]
        for part in contents["parts"]
        for entry in part["chapters"]
        if entry["file"] == "book/api"
        for section in entry["sections"]
    ]
    assert sorted(sections) == sorted([*(f"book/api/{room}" for room in ROOMS), "book/api/pipeline"])


@pytest.mark.parametrize("room", ROOMS)
def test_the_example_of_a_room_runs_as_printed(room: str) -> None:
    torch.manual_seed(0)
    page = (ROOT / "book" / "api" / f"{room}.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"^```\{code-block\} pycon\n(.*?)^```$", page, re.M | re.S)
    test = doctest.DocTestParser().get_doctest(example, {}, room, f"{room}.md", 0)
    complaints: list[str] = []
    result = doctest.DocTestRunner().run(test, out=complaints.append)
    assert result.attempted >= 3
    assert result.failed == 0, "".join(complaints)


@pytest.mark.parametrize("room", ROOMS + INNER_ROOMS)
def test_attributes_stand_one_by_one(room: str) -> None:
    module = importlib.import_module(f"companion.{room}")
    values = [getattr(module, name) for name in module.__all__]
    found = {value.__name__: split_attributes(inspect.getdoc(value) or "") for value in values if callable(value)}
    assert not {name: entries for name, entries in found.items() if entries}


def test_an_entry_that_names_two_is_found() -> None:
    assert split_attributes("A thing.\n\nAttributes\n----------\nlow, high : float\n    Ends.\n") == [
        "low, high : float"
    ]
