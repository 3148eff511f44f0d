# `make quickstart` and `make test` are all a newcomer needs; both create .venv first when it is missing.
PYTHON ?= python3
VENV ?= .venv
PY := $(VENV)/bin/python

.PHONY: quickstart test lint docs install doctor
.DELETE_ON_ERROR:

# One thread: the network is so small that a second one slows it down (0.22 instead of 0.14 seconds a step on 2 cores).
quickstart: install
	$(PY) -m fx_d2 phantoms
	OMP_NUM_THREADS=1 $(PY) -m fx_d2 train --config-file configs/phantom.yaml OUTPUT_DIR output/quickstart

test: install
	$(PY) -m pytest -q

# Style, types, and who may import whom.
lint: install
	$(PY) -m ruff check .
	$(PY) -m mypy
	$(PY) -m pytest -q tests/test_import_floors.py

# The documentation as a site: site/index.html. A broken link ends it.
docs: install
	$(PY) -m pip install -qq -e '.[docs]'
	NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --strict --quiet
	@echo "open site/index.html"

doctor: install
	$(PY) -m fx_d2 doctor

install: $(VENV)/.installed

# The stamp is written last, so an interrupted installation is taken up again by the next call.
$(VENV)/.installed: setup.py fx_d2/commands/install_detectron2.py
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 10) else "fx_d2 needs Python 3.10 or newer, this is " + sys.version.split()[0] + ". Try: make PYTHON=python3.12")'
	@echo "[1/4] creating $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV)
	@echo "[2/4] installing torch and the other packages into $(VENV): about 2 minutes and 3 GB of download, once"
	@$(PY) -m pip install -qq -e '.[dev]'
	@echo "[3/4] installing Detectron2"
	@$(PY) -m fx_d2 install-detectron2
	@echo "[4/4] checking the installation"
	@$(PY) -m fx_d2 doctor
	@touch $@
