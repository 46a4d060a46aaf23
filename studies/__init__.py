"""Long experiments whose results ship with the package as data; see `README.md`."""
