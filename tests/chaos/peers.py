"""Independent libraries that the tests compare with."""

import importlib.util
from types import ModuleType


def nolds_measures() -> ModuleType:
    """The measures of nolds. The package itself does not import where `pkg_resources` is gone, for its data sets."""
    package = importlib.util.find_spec("nolds")
    assert package is not None
    (folder,) = package.submodule_search_locations
    spec = importlib.util.spec_from_file_location("nolds_measures", f"{folder}/measures.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
