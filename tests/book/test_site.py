"""The built book, read as a reader reads it: from a folder and from a server, in a browser that has no network.

Every page is opened from the folder, and one of each folder from the server; everything it asks for, says and shows is
recorded. Each test then looks at one kind of fault. `test_inspection_sees` plants every fault in a copy of a page: none
of these tests can pass blindly.
"""

import functools
import html
import json
import re
import subprocess
import sys
import threading
import time
from ast import literal_eval
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import unquote, urldefrag

import pytest
from nbformat import NotebookNode
from playwright.sync_api import Browser, Page

from companion import plotting
from companion.plotting._store import stored

ROOT = Path(__file__).parents[2]
KINDS = (
    "request",
    "console",
    "figure",
    "math",
    "dark mode",
    "width",
    "equation",
    "axis title",
    "alternative text",
    "heading",
)
PATIENCE_MS = 600_000
BOX = r"(?:Definition|Theorem|Proposition|Lemma|Algorithm|Exercise) \d+\.\d+"


# --- the book and the browser ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the book with warnings as errors; return the folder of its pages."""
    out = tmp_path_factory.mktemp("book")
    command = [Path(sys.executable).with_name("jupyter-book"), "build", ROOT, "-W", "-n", "--keep-going"]
    start = time.perf_counter()
    build = subprocess.run([*command, "--path-output", out], capture_output=True, text=True, check=False)
    print(f"the book was built in {time.perf_counter() - start:.1f} s")
    assert build.returncode == 0, f"the book does not build:\n{build.stderr[-6000:]}"
    return out / "_build" / "html"


@pytest.fixture(scope="module")
def pages(site: Path) -> list[str]:
    """Return every page, relative to the site."""
    found = sorted(page.relative_to(site).as_posix() for page in site.rglob("*.html") if "_static" not in page.parts)
    assert "book/intro.html" in found
    return [page for page in found if page != "index.html"]  # index.html only sends the reader on to the first page


@pytest.fixture(scope="module")
def server(site: Path) -> Iterator[str]:
    """Serve the site on a free local port; return its address."""

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            """Keep the test's output readable."""

    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(site))) as http:
        thread = threading.Thread(target=http.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{http.server_port}/"
        http.shutdown()
        thread.join()


# --- one visit to one page -------------------------------------------------------------------------------------------


@dataclass
class Visit:
    """What a page did, as (kind of fault, description) pairs."""

    url: str
    faults: list[tuple[str, str]] = field(default_factory=list)

    def add(self, kind: str, *descriptions: str) -> None:
        """Record faults of one kind."""
        self.faults += [(kind, text) for text in descriptions]


READY = """async () => {
  const math = document.querySelector(".math, .MathJax");
  const wait = () => new Promise(resolve => setTimeout(resolve, 25));
  const until = async (what) => { for (let i = 0; i < 12000 && !what(); i++) await wait(); };
  if (math) { await until(() => window.MathJax?.startup?.promise); await window.MathJax?.startup?.promise; }
  await until(() => [...document.querySelectorAll(".book-plotly")].every(b => b.querySelector(".main-svg")));
}"""

CONTENT = """() => {
  const say = (nodes, text) => [...nodes].map(text);
  const drawn = b => b.querySelector(".main-svg") && b.querySelector(".trace, .hm")?.getBoundingClientRect().height > 0;
  const blocks = [...document.querySelectorAll(".book-plotly")];
  const levels = say(document.querySelectorAll(".bd-article :is(h1, h2, h3, h4, h5, h6)"), h => Number(h.tagName[1]));
  return {
    figure: say(blocks.filter(b => !drawn(b)), b => "not drawn: " + b.getAttribute("aria-label")),
    math: say([...document.querySelectorAll(".math")].filter(m => !m.querySelector("mjx-container > mjx-math")
      || m.querySelector("mjx-merror")), m => "not typeset: " + m.textContent.slice(0, 80)),
    "alternative text": [
      ...say(document.querySelectorAll("img:not([alt]), img[alt='']"), i => "image without alt: " + i.src),
      ...say(blocks.filter(b => !b.getAttribute("aria-label")?.trim()), () => "figure without a label"),
    ],
    heading: [
      ...(levels.filter(l => l === 1).length === 1 || document.querySelector("#search-results")
        ? [] : ["the page has not one h1: " + levels]),
      ...levels.filter((l, i) => i && l > levels[i - 1] + 1).map(l => `h${l} skips a level: ` + levels),
    ],
  };
}"""

DARK = """async () => {
  const wait = ms => new Promise(resolve => setTimeout(resolve, ms));
  for (let i = 0; i < 2400 && document.documentElement.dataset.theme !== "dark"; i++) await wait(25);
  await wait(50);
  const light = color => { const [r, g, b] = color.match(/[\\d.]+/g).map(Number); return (r + g + b) / 765; };
  const style = getComputedStyle(document.body);
  const faults = [];
  if (document.documentElement.dataset.theme !== "dark") faults.push("the page stays light");
  if (light(style.backgroundColor) > 0.3) faults.push("background " + style.backgroundColor);
  if (light(style.color) < 0.6) faults.push("text " + style.color);
  document.querySelectorAll(".book-plotly text.xtick, .book-plotly .xtick text").forEach(t => {
    if (light(getComputedStyle(t).fill) < 0.6) faults.push("figure text " + getComputedStyle(t).fill);
  });
  return [...new Set(faults)];
}"""

WIDTH = """async () => {
  const root = document.documentElement;
  for (let i = 0; i < 400 && root.scrollWidth > 390; i++) await new Promise(r => setTimeout(r, 25));
  return root.scrollWidth > 390 ? [`the page is ${root.scrollWidth} px wide on a screen of 390`] : [];
}"""

# A reader who does not know that an equation scrolls does not see that its end is missing.
EQUATIONS = """() => [...document.querySelectorAll("div.math")].filter(m => m.offsetHeight).flatMap(m => {
  const over = Math.max(...[m, ...m.querySelectorAll("mjx-container")].map(e => e.scrollWidth - e.clientWidth));
  return over > 1 ? [`${over} px of an equation are cut at 390: ${m.id || m.textContent.slice(0, 40)}`] : [];
})"""

# Figures are drawn anew some time after the screen has changed.
TITLES = """async () => {
  const cut = () => [...document.querySelectorAll(".js-plotly-plot")].flatMap(plot => {
    const box = plot.getBoundingClientRect();
    const out = t => Math.max(t.right - box.right, box.left - t.left, t.bottom - box.bottom, box.top - t.top) > 1;
    return [...plot.querySelectorAll(".infolayer text")]
      .filter(t => /^[xy]\\d*title$/.test(t.getAttribute("class")) && out(t.getBoundingClientRect()))
      .map(t => "an axis title is cut at 390: " + t.textContent);
  });
  const wait = () => new Promise(resolve => setTimeout(resolve, 25));
  const old = () => [...document.querySelectorAll(".js-plotly-plot .main-svg")].some(svg => svg.clientWidth > 390);
  for (let i = 0; i < 12000 && old(); i++) await wait();
  for (let i = 0; i < 400 && cut().length; i++) await wait();
  return cut();
}"""


def patient_page(browser: Browser, **options: Any) -> Page:
    """Open a page that waits as long as a slow machine needs: a limit ends what hangs, it measures nothing."""
    page = browser.new_page(**options)
    page.set_default_timeout(PATIENCE_MS)
    return page


def record(page: Page, visit: Visit, base: str) -> None:
    """Note every request that leaves `base` or fails, and every complaint on the console."""

    def on_request(request) -> None:
        if not request.url.startswith((base, "data:", "blob:")):
            visit.add("request", f"asks for {request.url}")

    def on_console(message) -> None:
        if message.type in ("error", "warning"):
            visit.add("console", f"{message.type}: {message.text}")

    page.on("request", on_request)
    page.on("requestfailed", lambda request: visit.add("request", f"does not get {request.url}"))
    page.on("response", lambda response: response.status >= 400 and visit.add("request", f"misses {response.url}"))
    page.on("console", on_console)
    page.on("pageerror", lambda error: visit.add("console", f"uncaught: {error}"))


def inspect(browser: Browser, base: str, path: str, *, closely: bool = True) -> Visit:
    """Open a page and record its faults; `closely` also looks at it in dark mode and on a narrow screen."""
    visit = Visit(base + path)
    page = patient_page(browser, viewport={"width": 1280, "height": 900}, color_scheme="light")
    record(page, visit, base)
    page.goto(visit.url, wait_until="load")
    page.evaluate(READY)
    for kind, descriptions in page.evaluate(CONTENT).items():
        visit.add(kind, *descriptions)
    if closely:
        page.emulate_media(color_scheme="dark")
        visit.add("dark mode", *page.evaluate(DARK))
        page.set_viewport_size({"width": 390, "height": 844})
        visit.add("width", *page.evaluate(WIDTH))
        if path.startswith("notebooks/"):  # in the reference a docstring's equation may scroll
            visit.add("equation", *page.evaluate(EQUATIONS))
        visit.add("axis title", *page.evaluate(TITLES))
    page.close()
    return visit


@pytest.fixture(scope="module")
def visits(browser: Browser, site: Path, server: str, pages: list[str]) -> list[Visit]:
    """Open every page from the folder, closely; and from the server one of each template, by the folder it lies in."""
    from_folder = [inspect(browser, f"{site.as_uri()}/", path) for path in pages]
    of_each_kind = {path.rpartition("/")[0]: path for path in pages}
    return from_folder + [inspect(browser, server, path, closely=False) for path in of_each_kind.values()]


@pytest.mark.parametrize("kind", KINDS)
def test_every_page(visits: list[Visit], kind: str) -> None:
    faults = [f"{visit.url}: {text}" for visit in visits for of_kind, text in visit.faults if of_kind == kind]
    assert not faults, "\n".join(faults)


EMPTY = '{"data":[],"layout":{"height":300,"meta":{"alt":"empty"}}}'
LONG = f'{{"data":[{{"y":[1]}}],"layout":{{"height":300,"xaxis":{{"title":{{"text":"{"long" * 40}"}}}}}}}}'
FAULTS = {
    "request": ('<img alt="tracker" src="https://example.org/pixel.png">', "https://example.org/pixel.png"),
    "console": ("<script>console.error('planted')</script>", "planted"),
    "figure": (
        f'<div class="book-plotly" aria-label="empty"><script type="application/json">{EMPTY}</script></div>',
        "not drawn: empty",
    ),
    "math": ('<span class="math">never typeset</span>', "never typeset"),
    "dark mode": ("<style>body { background: #fefefe !important }</style>", "background rgb(254, 254, 254)"),
    "width": ('<div style="width: 900px">wide</div>', "px wide on a screen of 390"),
    "equation": (
        '<div class="math" style="overflow: auto"><mjx-container><mjx-math style="display: block; width: 900px">x'
        "</mjx-math></mjx-container></div>",
        "of an equation are cut at 390",
    ),
    "axis title": (
        f'<div class="book-plotly" aria-label="long"><script type="application/json">{LONG}</script></div>',
        "an axis title is cut at 390: longlong",
    ),
    "alternative text": ('<img src="../_static/logo.svg">', "image without alt"),
    "heading": ("<h2>fine</h2><h4>too deep</h4>", "h4 skips a level"),
}


@pytest.fixture(scope="module")
def planted(browser: Browser, site: Path) -> Visit:
    """Visit a copy of a chapter with every fault in it."""
    chapter = next((site / "notebooks").glob("*.html"))
    text = chapter.read_text(encoding="utf-8")
    assert text.count("</article>") == 1
    copy = chapter.with_name("planted.html")
    snippets = "".join(snippet for snippet, _ in FAULTS.values())
    copy.write_text(text.replace("</article>", f"{snippets}</article>"), encoding="utf-8")
    visit = inspect(browser, f"{site.as_uri()}/", f"notebooks/{copy.name}")
    copy.unlink()
    return visit


@pytest.mark.parametrize("kind", KINDS)
def test_inspection_sees(planted: Visit, kind: str) -> None:
    descriptions = [text for of_kind, text in planted.faults if of_kind == kind]
    assert any(FAULTS[kind][1] in text for text in descriptions), descriptions


# --- what a reader does ----------------------------------------------------------------------------------------------


@contextmanager
def moving(browser: Browser, site: Path, *, play_ms: int | None = None, **options: Any) -> Iterator[Page]:
    """A figure made by `plotting.animate`, in a copy of a page that draws figures."""
    frames = {name: {"path": ([0, 1], [0, end])} for name, end in {"slow": 1, "fast": 5, "faster": 9}.items()}
    animated = plotting.animate(frames, slider_title="speed", alt="Three speeds.", play_ms=play_ms)
    figure = json.dumps(stored(animated.to_dict()))
    block = f'<div class="book-plotly moving"><script type="application/json">{figure}</script></div>'
    chapter = next((site / "notebooks").glob("*.html"))
    copy = chapter.with_name("moving.html")
    copy.write_text(chapter.read_text(encoding="utf-8").replace("</article>", f"{block}</article>"), encoding="utf-8")
    page = patient_page(browser, **options)
    page.goto(copy.as_uri())
    page.evaluate(READY)
    yield page
    page.close()
    copy.unlink()


SHOWN = "document.querySelector('.moving .js-plotly-plot').data[0].y[1] === {}"


def test_keyboard_moves_a_slider(browser: Browser, site: Path) -> None:
    with moving(browser, site) as page:
        page.focus(".moving input[type=range]")
        page.keyboard.press("ArrowRight")
        page.wait_for_function(SHOWN.format(5))
        assert page.text_content(".moving output") == "speed: fast"
        assert page.locator(".moving .book-slider button").count() == 0


def test_keyboard_plays_a_figure_to_its_end_and_from_its_start_again(browser: Browser, site: Path) -> None:
    with moving(browser, site, play_ms=20) as page:
        page.focus(".moving input[type=range]")
        page.keyboard.press("Shift+Tab")
        for key in ("Enter", "Space"):
            page.keyboard.press(key)
            page.wait_for_function(SHOWN.format(9))
            page.wait_for_function("document.activeElement.textContent === 'Play'")
        assert page.text_content(".moving output") == "speed: faster"


@pytest.mark.parametrize("stop", ["Enter", "slider"])
def test_keyboard_stops_what_plays(browser: Browser, site: Path, stop: str) -> None:
    with moving(browser, site, play_ms=PATIENCE_MS) as page:
        page.focus(".moving .book-slider button")
        page.keyboard.press("Enter")
        assert page.text_content(".moving .book-slider button") == "Pause"
        assert page.get_attribute(".moving output", "aria-live") == "off"
        if stop == "slider":
            page.keyboard.press("Tab")
            page.keyboard.press("End")
        else:
            page.keyboard.press(stop)
        assert page.text_content(".moving .book-slider button") == "Play"
        assert page.get_attribute(".moving output", "aria-live") is None
        assert page.text_content(".moving output") == f"speed: {'faster' if stop == 'slider' else 'slow'}"


def test_who_asked_for_less_motion_gets_the_slider_alone(browser: Browser, site: Path) -> None:
    with moving(browser, site, play_ms=20, reduced_motion="reduce") as page:
        assert page.locator(".moving input[type=range]").count() == 1
        assert page.locator(".moving .book-slider button").count() == 0


@pytest.mark.parametrize(("term", "found"), [("volatility", True), ("xyzzyplugh", False)])
def test_search_works_from_a_folder(browser: Browser, site: Path, term: str, found: bool) -> None:
    page = patient_page(browser)
    page.goto(f"{site.as_uri()}/search.html?q={term}")
    page.wait_for_function("document.querySelector('.search-summary')?.textContent.match(/found|did not match/)")
    hits = page.eval_on_selector_all("ul.search li a", "links => links.map(link => link.href)")
    page.close()
    assert bool(hits) is found
    assert all(Path(unquote(hit.removeprefix("file://").split("?")[0].split("#")[0])).is_file() for hit in hits)


# --- what needs no browser -------------------------------------------------------------------------------------------


class Outline(HTMLParser):
    """The anchors, the links and the icon of a page."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.anchors, self.links, self.icons = set(), [], []
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Collect from one tag."""
        values = dict(attrs)
        self.anchors.update(filter(None, (values.get("id"), values.get("name"))))
        if tag == "link" and "icon" in (values.get("rel") or ""):
            self.icons.append(values["href"])
        target = values.get("src") or (values.get("href") if tag in ("a", "link") else None)
        if target:
            self.links.append(target)


@pytest.fixture(scope="module")
def outlines(site: Path, pages: list[str]) -> dict[Path, Outline]:
    """Return the outline of every page."""
    return {(site / page).resolve(): Outline(site / page) for page in pages}


def test_links_lead_somewhere(outlines: dict[Path, Outline]) -> None:
    broken = []
    for page, outline in outlines.items():
        for link in outline.links:
            if link.startswith(("http:", "https:", "mailto:", "data:")) or link == "#":
                continue
            path, anchor = urldefrag(link.split("?")[0])
            target = (page.parent / unquote(path)).resolve() if path else page
            known = outlines.get(target)
            if not target.is_file() or (anchor and known and unquote(anchor) not in known.anchors):
                broken.append(f"{page.name}: {link}")
    assert not broken, "\n".join(broken)


@pytest.fixture(scope="module")
def editions(lab_tool: ModuleType) -> dict[str, NotebookNode]:
    """The chapters as JupyterLab reads them."""
    return lab_tool.editions(ROOT / "notebooks")


def numbers_of_page(page: str) -> dict[str, list[str]]:
    """What a page quotes, and how it numbers its figures, tables, equations and boxes."""
    found = {kind: re.findall(rf'caption-number">{kind} ([\d.]+) ', page) for kind in ("Figure", "Table")}
    found["quoted"] = sorted(html.unescape(text) for text in re.findall(r'class="pasted-text">([^<]*)</span>', page))
    found["equation"] = re.findall(r'class="eqno">\(([\d.]+)\)', page)
    found["section"] = sorted(re.findall(r'class="std std-numref">(Section [\d.]+)<', page))
    found["box"] = re.findall(rf'<p class="admonition-title">\s*(?:<span class="caption-number">)?({BOX})', page)
    return found


def numbers_of_edition(notebook: NotebookNode) -> dict[str, list[str]]:
    """The same of a chapter in JupyterLab."""
    texts, quoted = [], []
    for cell in notebook.cells:
        stored = {e["expression"]: e["result"]["data"]["text/plain"] for e in cell.metadata.get("user_expressions", [])}
        if cell.cell_type == "markdown":
            quoted += [literal_eval(stored[text]) for text in re.findall(r"\{eval\}`([^`]+)`", cell.source)]
            texts.append(cell.source)
        else:
            texts += [output.get("data", {}).get("text/html", "") for output in cell.outputs]
    text = "\n".join(texts)
    found = {kind: re.findall(rf"(?:\*\*|<b>){kind} ([\d.]+)\.(?:\*\*|</b>)", text) for kind in ("Figure", "Table")}
    found["quoted"] = sorted(quoted)
    found["equation"] = re.findall(r"\\tag\{([\d.]+)\}", text)
    found["section"] = sorted(re.findall(r"Section \d+\.[\d.]*\d", text))
    found["box"] = re.findall(rf"\{{admonition\}} ({BOX})", text)
    return found


@pytest.mark.parametrize("stem", [path.stem for path in sorted((ROOT / "notebooks").glob("*.ipynb"))])
def test_page_and_lab_edition_say_the_same_numbers(site: Path, stem: str, editions: dict[str, NotebookNode]) -> None:
    page = (site / "notebooks" / f"{stem}.html").read_text(encoding="utf-8")
    there, here = numbers_of_page(page), numbers_of_edition(editions[f"{stem}.ipynb"])
    assert here == there
    assert all(numbers for kind, numbers in here.items() if kind != "section"), here


def test_every_page_has_an_icon(outlines: dict[Path, Outline]) -> None:
    for page, outline in outlines.items():
        assert outline.icons, page.name
        assert all((page.parent / icon).is_file() for icon in outline.icons), page.name


def test_first_page_is_the_title_page(site: Path) -> None:
    assert "book/intro.html" in (site / "index.html").read_text(encoding="utf-8")


def test_chapters_are_numbered_as_their_files(site: Path) -> None:
    for page in (site / "notebooks").glob("*.html"):
        text, number = page.read_text(encoding="utf-8"), int(page.name[:2])
        assert f'<span class="section-number">{number}. </span>' in text
        assert f"Figure {number}.1" in text
