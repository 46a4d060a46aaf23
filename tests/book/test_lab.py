"""The chapters as `make lab` opens them: nothing raw, nothing missing, no network, and prose that follows a new run.

One JupyterLab, in one page of one Chromium, opens one notebook after another, as a reader does. A notebook with every
fault is looked at, too: the search finds them.
"""

import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from playwright.sync_api import Browser, Page, Request, ViewportSize

ROOT = Path(__file__).parents[2]
CHAPTERS = sorted(path.name for path in (ROOT / "notebooks").glob("*.ipynb"))
PATIENCE_S = 600
VIEW: ViewportSize = {"width": 1280, "height": 900}
KERNEL = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
RECORD = "application/papermill.record/"

FAULTS_OF_TEXT = r"""() => {
  const found = [];
  document.querySelectorAll('.jp-Notebook .jp-MarkdownCell').forEach((cell) => {
    const body = (cell.querySelector('.myst') || cell).cloneNode(true);
    body.querySelectorAll('.katex, mjx-container, svg').forEach(e => e.remove());
    const say = (what, text) => found.push(what + ': ' + text.replace(/\s+/g, ' ').trim().slice(0, 80));
    const text = body.textContent;
    for (const m of text.matchAll(/\{[a-z][\w:-]*\}[\w.("-]+/g)) say('raw role', m[0]);
    for (const m of text.matchAll(/:::+|```/g)) say('raw fence', m[0]);
    for (const m of text.matchAll(/^\([\w-]+\)=/gm)) say('raw target', m[0]);
    for (const m of text.matchAll(/told\("/g)) say('number without a value', text.slice(m.index, m.index + 60));
    for (const s of body.querySelectorAll('[title$="Not Found"]')) say(s.title, s.textContent);
    for (const s of body.querySelectorAll('[class*="error"]')) say('MyST error', s.textContent);
  });
  for (const cut of document.querySelectorAll('.jp-TrimmedOutputs')) found.push('output cut: ' + cut.textContent);
  return found;
}"""
SHOWN = """() => [...document.querySelectorAll('.jp-Notebook .jp-Cell')].map(c => [
  c.offsetHeight > 0, [...c.querySelectorAll('.jp-OutputArea-output')].filter(o => o.offsetHeight > 5).length])"""
OPEN = """async (path) => {
  await window.jupyterapp.commands.execute("docmanager:open", {path, factory: "Notebook"}); }"""
CLOSE = "() => window.jupyterapp.shell.currentWidget.dispose()"  # whatever a test has changed is not asked about
DRAWN = """() => [...document.querySelectorAll('.jp-Notebook .jp-RenderedPlotly')].every(
  figure => !figure.offsetHeight || figure.querySelector('.main-svg'))"""
SIZE = """() => { const n = document.querySelector('.jp-WindowedPanel-inner');
  return [n.scrollHeight, n.textContent.length, document.querySelectorAll('.js-plotly-plot').length].join() }"""


def glued(key: str, value: str) -> Any:
    record = {"scrapbook": {"name": key, "mime_prefix": RECORD}}
    return new_output("display_data", data={f"{RECORD}text/plain": value}, metadata=record)


def small_chapter() -> Any:
    """A chapter in the form of the book's source, whose prose quotes a number that its parameter decides."""
    cells = [
        new_markdown_cell("# A small chapter", id="title"),
        new_code_cell("from companion.notebook import Numbers", id="import"),
        new_code_cell("LEVEL = 0.25", id="parameters"),
        new_code_cell('tell = Numbers("99")\ntell(level=-2 * LEVEL)', id="told", outputs=[glued("99-level", "-0.5")]),
        new_markdown_cell("Twice the level is {glue:text}`99-level:.2f`.", id="prose"),
    ]
    return new_notebook(cells=cells, metadata=KERNEL)


def faulty() -> Any:
    """What the source of a chapter looks like in JupyterLab, and worse."""
    figure = new_output("display_data", data={"application/x-unknown": "{}"})
    cells = [
        new_markdown_cell("See {glue:text}`99-level:.2f` and {cite:t}`nobody2000`.", id="roles"),
        new_markdown_cell('It is {eval}`told("99-level", ".2f")`.', id="no-value"),
        new_markdown_cell("text\n:::\nafter ::: a fence", id="fence"),
        new_code_cell("1", id="missing", outputs=[figure]),
        new_code_cell("2", id="cut", outputs=[new_output("display_data", data={"text/plain": "x"})] * 60),
    ]
    return new_notebook(cells=cells, metadata=KERNEL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, lab_tool: ModuleType) -> Path:
    """The edition that `make lab` writes, and two notebooks of our own."""
    folder = tmp_path_factory.mktemp("lab")
    assert lab_tool.main([str(folder)]) == 0
    works = lab_tool.Works(ROOT / "book" / "references.bib")
    nbformat.write(lab_tool.Edition(small_chapter(), {}, {}, {}, works).write(), folder / "small.ipynb")
    nbformat.write(faulty(), folder / "faulty.ipynb")
    return folder


@pytest.fixture(scope="module")
def lab(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """JupyterLab over the folder, with settings of its own; yields its address."""
    home = tmp_path_factory.mktemp("home")
    names = {
        "HOME": "h", "JUPYTER_CONFIG_DIR": "c", "JUPYTER_DATA_DIR": "d", "JUPYTER_RUNTIME_DIR": "r",
        "JUPYTERLAB_SETTINGS_DIR": "s", "JUPYTERLAB_WORKSPACES_DIR": "w", "IPYTHONDIR": "i",
    }  # fmt: skip
    settings = {
        "notebook-extension/tracker": {"windowingMode": "none"},  # draw the whole chapter, not what is in view
        "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    }
    for name, value in settings.items():
        file = home / "s" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(value), encoding="utf-8")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    options = [
        "--no-browser", "--allow-root", "--ip=127.0.0.1", f"--port={port}", "--IdentityProvider.token=",
        f"--ServerApp.root_dir={folder}", "--LabApp.news_url=None", "--LabApp.expose_app_in_browser=True",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate", "--LabApp.extension_manager=readonly",
    ]  # fmt: skip
    environment = {**os.environ, **{name: str(home / part) for name, part in names.items()}}
    with (home / "log").open("w") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", *options], env=environment, cwd=home, stdout=log, stderr=log
        )
        try:
            _wait_for(f"{address}/api", server, home / "log")
            yield address
        finally:
            server.terminate()
            server.wait()


def _wait_for(address: str, server: subprocess.Popen, log: Path) -> None:
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        assert server.poll() is None, log.read_text(encoding="utf-8")[-3000:]
        try:
            urllib.request.urlopen(address, timeout=5).close()
        except OSError:
            time.sleep(0.2)
        else:
            return
    pytest.fail(f"JupyterLab did not start: {log.read_text(encoding='utf-8')[-3000:]}")


@pytest.fixture(scope="module")
def page(browser: Browser, lab: str) -> Iterator[Page]:
    """JupyterLab in the browser, with no notebook open."""
    page = browser.new_page(viewport=VIEW)
    page.set_default_timeout(1000 * PATIENCE_S)
    page.goto(f"{lab}/doc")
    page.wait_for_function("window.jupyterapp?.shell")
    page.evaluate("async () => { await window.jupyterapp.restored; }")
    yield page
    page.close()


@contextmanager
def opened(page: Page, notebook: Path) -> Iterator[set[str]]:
    """The notebook in JupyterLab, drawn to its end; yields what was asked of the outside."""
    outside: set[str] = set()
    local = re.compile(rf"(http|ws)://{re.escape(urlsplit(page.url).netloc)}/|data:|blob:")

    def on_request(request: Request) -> None:
        if not local.match(request.url):
            outside.add(request.url)

    page.on("request", on_request)
    page.set_viewport_size(VIEW)
    page.evaluate(OPEN, notebook.name)
    try:
        _draw(page, n_cells=len(nbformat.read(notebook, as_version=4).cells))
        yield outside
    finally:  # or the next notebook would stand beside this one
        page.remove_listener("request", on_request)
        page.evaluate(CLOSE)


def _draw(page: Page, *, n_cells: int) -> None:
    """Wait until every cell and every figure is there."""
    page.wait_for_function(f"document.querySelectorAll('.jp-Notebook .jp-Cell').length >= {n_cells}")
    page.wait_for_function(
        "document.querySelectorAll('.jp-MarkdownCell :is(.myst, .jp-RenderedMarkdown)').length"
        " >= document.querySelectorAll('.jp-MarkdownCell').length"
    )
    # Figures are drawn when in view, so the view is made as high as the chapter.
    height = page.evaluate("document.querySelector('.jp-WindowedPanel-inner').scrollHeight")
    page.set_viewport_size({"width": VIEW["width"], "height": min(height + 300, 60_000)})
    page.wait_for_function(DRAWN)
    before, same = "", 0
    while same < 2:
        now = page.evaluate(SIZE)
        same, before = (same + 1 if now == before else 0), now
        page.wait_for_timeout(200)


def faults(page: Page, notebook: Path, outside: set[str]) -> list[str]:
    """What a reader would stumble over."""
    found = list(page.evaluate(FAULTS_OF_TEXT)) + [f"outside request: {url}" for url in sorted(outside)]
    cells = nbformat.read(notebook, as_version=4).cells
    for cell, (in_view, shown) in zip(cells, page.evaluate(SHOWN), strict=True):
        if in_view and cell.get("outputs") and not shown:  # a folded solution is not in view
            found.append(f"missing output of cell {cell.id}")
    return found


@pytest.mark.parametrize("name", CHAPTERS)
def test_a_chapter_is_read_without_anything_raw(page: Page, folder: Path, name: str) -> None:
    with opened(page, folder / name) as outside:
        found = faults(page, folder / name, outside)
        figures = page.evaluate("document.querySelectorAll('.js-plotly-plot').length")
    assert found == []
    assert figures >= 3


def test_the_search_for_faults_finds_them(page: Page, folder: Path) -> None:
    with opened(page, folder / "faulty.ipynb") as outside:
        with page.expect_request("https://example.org/"):
            page.evaluate("() => { new Image().src = 'https://example.org/'; }")
        found = "\n".join(faults(page, folder / "faulty.ipynb", outside))
    for fault in ("Citation Not Found", "raw fence", "missing output of cell missing", "output cut", "outside request"):
        assert fault in found, found
    assert "raw role" in found or "number without a value" in found, found


def test_the_prose_follows_a_new_run(page: Page, folder: Path) -> None:
    prose = "[...document.querySelectorAll('.jp-MarkdownCell')].at(-1).textContent"
    cells = "window.jupyterapp.shell.currentWidget.content.model.cells"
    with opened(page, folder / "small.ipynb"):
        assert "Twice the level is −0.50." in page.evaluate(prose)  # before anything has run
        page.evaluate(f"{cells}.get(2).sharedModel.setSource('LEVEL = 3')")
        page.evaluate("window.jupyterapp.commands.execute('notebook:run-all-cells')")
        page.wait_for_function(f"{prose}.includes('Twice the level is −6.00.')")


def test_a_chapter_that_the_reader_changed_is_kept(lab_tool: ModuleType, tmp_path: Path, capsys: Any) -> None:
    assert lab_tool.main([str(tmp_path)]) == 0
    mine, other = (tmp_path / name for name in CHAPTERS[:2])
    mine.write_text(mine.read_text(encoding="utf-8").replace("# ", "# My ", 1), encoding="utf-8")
    kept, stored = mine.read_bytes(), other.read_bytes()
    other.unlink()
    assert lab_tool.main([str(tmp_path)]) == 0
    assert mine.read_bytes() == kept
    assert other.read_bytes() == stored
    assert f"{mine}: kept" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("See {numref}`fig-99-none`.", "no chapter defines the label 'fig-99-none'"),
        ("It is {glue:text}`99-none:.2f`.", "quotes '99-none', which no cell tells"),
        ("A {strange}`thing`.", "does not know the role 'strange'"),
        (":::{strange} thing\nbody\n:::", "does not know the directive 'strange'"),
    ],
)
def test_what_the_edition_does_not_know_is_an_error(lab_tool: ModuleType, source: str, problem: str) -> None:
    chapter = new_notebook(cells=[new_markdown_cell(source)])
    with pytest.raises(SystemExit, match=re.escape(problem)):
        lab_tool.Edition(chapter, {}, {}, {}, lab_tool.Works(Path("none.bib"))).write()
