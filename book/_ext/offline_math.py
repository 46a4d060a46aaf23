"""Typeset mathematics without a network: MathJax from the installed package `sphinx-mathjax-offline`.

Used as an extension that package copies all 24 MB of MathJax; the book needs one bundle, its fonts and the TeX
extensions that the bundle loads on demand.
"""

import shutil
from importlib.metadata import distribution
from pathlib import Path

from sphinx.application import Sphinx

BUNDLE = "tex-chtml.js"
PARTS = (BUNDLE, "output/chtml/fonts/woff-v2", "input/tex/extensions")


def installed_mathjax() -> Path:
    """Return the folder of MathJax in the installed package, whose name no import statement can spell."""
    return Path(str(distribution("sphinx-mathjax-offline").locate_file("sphinx-mathjax-offline/static/mathjax")))


def copy_mathjax(app: Sphinx, exception: Exception | None) -> None:
    """Copy the parts of MathJax that the book uses."""
    if exception is not None or app.builder.format != "html":
        return
    source, target = installed_mathjax(), Path(app.outdir) / "_static" / "mathjax"
    for part in PARTS:
        (target / part).parent.mkdir(parents=True, exist_ok=True)
        if (source / part).is_dir():
            shutil.copytree(source / part, target / part, dirs_exist_ok=True)
        else:
            shutil.copyfile(source / part, target / part)


def setup(app: Sphinx) -> dict[str, bool]:
    """Point Sphinx at the copy."""
    app.config.mathjax_path = f"mathjax/{BUNDLE}"
    app.connect("build-finished", copy_mathjax)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
