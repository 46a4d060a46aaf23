# The two commands of the README come first: `make book` and `make test`. Both set up what they need.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
PYTEST := $(BIN)/python -m pytest
NBVAL  := --nbval --nbval-current-env notebooks

# Threads that wait must not spin: two test workers with two threads each share the two cores of a small machine.
# Those of OpenBLAS always do, and a product of small matrices then takes twenty times as long.
export OMP_WAIT_POLICY ?= PASSIVE
export OPENBLAS_NUM_THREADS ?= 1

# Where a shell or an image forbids Python to keep what it has compiled, hundreds of processes compile it again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: book test kernels-networks kernels-others test-newer test-portability check lab refresh pipeline shipped picture serve clean

book: $(READY)  ## build the HTML book
	$(BIN)/jupyter-book build . -W -n --keep-going
	@echo; echo "The book is ready. Open  file://$(CURDIR)/_build/html/index.html  in a browser."

# Two workers on two cores, a thread each. What two threads compute is what one does: tests of it set their number, the
# notebooks are stored as a reader runs them, and `make test-portability` runs them with two.
test: export OMP_NUM_THREADS ?= 1
test: export NUMBA_NUM_THREADS ?= 1
test: $(READY)  ## every test: style, types, units, every notebook's numbers and figures, the built book in a browser
	$(MAKE) --no-print-directory -j 3 check kernels-networks kernels-others
	$(PYTEST) -n 2 --dist loadfile --nbval --nbval-current-env

kernels-networks kernels-others: kernels-%: $(READY)
	$(BIN)/python tests/compile_kernels.py $*

# The engine's newest version needs a newer Python than the oldest we support: its tests run there in an environment apart.
NEWER = .venv-$(shell $(PYTHON) -c 'import sys; print("{}.{}".format(*sys.version_info))')

test-newer:  ## execution and live tests on a newer interpreter: make test-newer PYTHON=python3.13
	$(MAKE) VENV=$(NEWER) $(NEWER)/.ready
	$(NEWER)/bin/python -m pytest -n 2 --dist loadfile tests/execution tests/live

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test-portability: $(READY)  ## the notebooks again: two threads, no vector instructions in torch, none in numba
	OMP_NUM_THREADS=2 MKL_NUM_THREADS=2 NUMBA_NUM_THREADS=2 $(PYTEST) -n 2 --dist loadfile $(NBVAL)
	ATEN_CPU_CAPABILITY=default $(PYTEST) -n 2 --dist loadfile $(NBVAL)
	NUMBA_CPU_NAME=generic $(PYTEST) -n 2 --dist loadfile $(NBVAL)

lab: $(READY)  ## read and run the chapters in JupyterLab: in lab/, where what you change is yours
	$(BIN)/python book/lab.py
	$(BIN)/jupyter lab lab

refresh: $(READY)  ## run every notebook and store its outputs
	$(BIN)/python book/refresh.py

pipeline: $(READY)  ## simulate, train, read regimes from the S&P 500, backtest: reports in build/pipeline
	$(BIN)/companion generate-heston
	$(BIN)/companion train-mamba
	$(BIN)/companion extract-regimes
	$(BIN)/companion backtest-walkforward

shipped: $(READY)  ## train the models that ship with the package anew: on the same machine, to the same bytes
	$(BIN)/companion generate-heston
	$(BIN)/companion train-mamba --out companion/mamba/pretrained/market.safetensors
	$(BIN)/python -m companion.pipeline.fit_detector
	$(BIN)/companion train-filter --market equity_index --out companion/regimes/pretrained/equity_index.safetensors
	$(BIN)/companion train-filter --market universal --out companion/regimes/pretrained/universal.safetensors
	$(BIN)/companion train-filter --market scale_free --out companion/regimes/pretrained/scale_free.safetensors
	$(BIN)/python -m companion.pipeline.calibrate_ood
	$(BIN)/python -m companion.pipeline.calibrate_minute_monitor

picture: book  ## the README's picture: the page of a chapter as it is now
	$(BIN)/python book/picture.py

serve: book  ## the built book on a local web server
	$(BIN)/python -m http.server --bind 127.0.0.1 --directory _build/html 8000

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11 …"; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info >= (3, 14))' || echo "Tested with Python 3.11 to 3.13. If a package is not to be had for yours: make PYTHON=/path/to/python3.13 …"
	@$(PYTHON) -m venv $(VENV) || { echo "Python's venv module is missing: on Debian or Ubuntu, apt install python3-venv"; exit 2; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[all]'
	@touch $@

clean:  ## remove what was built (not the environment)
	rm -rf _build build
