"""One Chromium for the tests of a file, and the tool that writes the chapters for JupyterLab."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest
from playwright.sync_api import Browser, sync_playwright

from companion.doctor import find_browser

ROOT = Path(__file__).parents[2]
# Nothing resolves but the local server: a page that needs the network fails here as it would on a train.
OFFLINE = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"
QUIET = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update")
PATIENCE_MS = 600_000  # ends what hangs on a slow machine, and measures nothing


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Start Chromium once; without one, skip, but fail where CI promises that it is there."""
    with sync_playwright() as playwright:
        path = find_browser()
        if path is None:
            missing = "no Chromium found: `apt install chromium`, or install Chrome"
            pytest.fail(missing) if os.environ.get("CI") else pytest.skip(missing)
        chromium = playwright.chromium.launch(executable_path=path, args=[*QUIET, OFFLINE], timeout=PATIENCE_MS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def lab_tool(load_script: Callable[[str], ModuleType]) -> ModuleType:
    """`book/lab.py`."""
    return load_script("lab")
