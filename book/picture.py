"""Take the README's picture from the built book: `make picture`."""

import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

from companion.doctor import find_browser

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "_build" / "html" / "notebooks" / "10_position_sizing.html"
FIGURE = "fig-10-overview"
PICTURE = ROOT / "book" / "images" / "book.png"


def main() -> int:
    """0: taken; 1: no page or no browser."""
    browser_path = find_browser()
    if not PAGE.is_file() or browser_path is None:
        print("picture: needs the built book (`make book`) and Chromium or Chrome", file=sys.stderr)
        return 1
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 800}, color_scheme="light")
        page.goto(PAGE.as_uri())
        page.wait_for_selector(f"#{FIGURE} .main-svg")
        page.evaluate(f"document.getElementById('{FIGURE}').scrollIntoView()")
        page.evaluate("window.scrollBy(0, -90)")
        page.wait_for_timeout(500)
        page.screenshot(path=PICTURE)
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
