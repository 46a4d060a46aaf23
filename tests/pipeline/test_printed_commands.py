"""Every `companion …` command that the book or the README prints is accepted, up to the work itself."""

import importlib
import json
import re
import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from companion.cli import STEPS
from companion.pipeline._step import main

ROOT = Path(__file__).parents[2]
PRINTED = re.compile(rf"^(?:\$ )?companion ({'|'.join(STEPS)})\b(.*)$", re.MULTILINE)


def _pages() -> dict[str, str]:
    written = [ROOT / "README.md", *(ROOT / "book").glob("*.md")]
    texts = {path.name: path.read_text(encoding="utf-8") for path in written}
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        texts[path.name] = "\n".join("".join(cell["source"]) for cell in cells)
    return texts


COMMANDS = [(name, *found.groups()) for name, text in _pages().items() for found in PRINTED.finditer(text)]


def test_there_are_some() -> None:
    assert "04_heston_laboratory.ipynb" in {name for name, *_ in COMMANDS}


@pytest.mark.parametrize(("page", "step", "flags"), COMMANDS)
def test_it_is_accepted(page: str, step: str, flags: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    known = importlib.import_module(f"companion.pipeline.{step.replace('-', '_')}").STEP
    assert main(replace(known, run=lambda *_: "done"), shlex.split(flags, comments=True)) == 0, page
