"""Resolve `{numref}` and `{cite}` without beginning anew for each of them: a fifth of the time of a build.

To number a reference, Sphinx loads the whole stored tree of the page that it leads to, figures and all: a hundred and
fifty times, mostly the page that is being written. Here the last few trees are kept. For a citation, Pybtex looks
through all installed packages for who can write plain text; here it is told.
"""

from functools import lru_cache
from typing import Any

from docutils import nodes
from pybtex.plugin import find_plugin, register_plugin
from sphinx.application import Sphinx
from sphinx.domains.std import StandardDomain
from sphinx.environment import BuildEnvironment


class RememberedTrees:
    """An environment that reads the last few pages once; their trees are looked at, never changed."""

    def __init__(self, env: BuildEnvironment) -> None:
        self._env = env
        self.get_doctree = lru_cache(maxsize=4)(env.get_doctree)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._env, name)


class NumberedReferences(StandardDomain):
    """The standard domain, whose numbered references share the trees that they look at."""

    def _resolve_numref_xref(self, env: BuildEnvironment, *args: Any) -> nodes.Element | None:
        if not hasattr(self, "_remembered"):
            self._remembered = RememberedTrees(env)
        return super()._resolve_numref_xref(self._remembered, *args)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the extension with Sphinx."""
    app.add_domain(NumberedReferences, override=True)
    for backend in ("plaintext", "docutils"):
        register_plugin("pybtex.backends", backend, find_plugin("pybtex.backends", backend), force=True)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
