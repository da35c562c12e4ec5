# `make demo` and `make test` need Python 3.10 to 3.12 with venv and pip, and nothing else: the first
# call installs into .venv (about 5 GB, nearly all of it torch for CUDA), later ones start at once.
# For another Python than python3: make PYTHON=python3.12 test

PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
INSTALLED := $(VENV)/.installed

export PIP_DISABLE_PIP_VERSION_CHECK := 1
# pyannote.audio's telemetry stays off in here
export PYANNOTE_METRICS_ENABLED ?= 0

.PHONY: demo test check lint format docs lock clean

demo: $(INSTALLED)
	$(PY) -m pyannote_drz.demo

# A process for each core, of one thread (tests/conftest.py).
test: $(INSTALLED)
	$(PY) -m pytest -n auto --maxprocesses 4 --dist loadfile

# For an edit loop: under a minute.
check: $(INSTALLED)
	OMP_NUM_THREADS=1 $(PY) -m pytest -q -m "not slow"

lint: $(INSTALLED)
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m codespell_lib
	$(PY) -m mypy

format: $(INSTALLED)
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

docs: $(INSTALLED)
	NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --strict

# The exact versions of everything, for all Pythons and platforms; by hand, and it takes uv.
lock:
	uv pip compile --universal --python-version 3.10 --extra test --extra docs --extra recipes --extra archive \
		--no-annotate --no-header --no-emit-index-url pyproject.toml -o constraints.txt

clean:
	rm -rf $(VENV)

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; (3, 10) <= sys.version_info[:2] < (3, 13) or sys.exit( \
		"pyannote_drz needs Python 3.10 to 3.12, and $(PYTHON) is " + sys.version.split()[0] \
		+ ": make PYTHON=python3.12 ...")'
	test -x $(PY) || $(PYTHON) -m venv $(VENV)
	$(PY) -m pip --version >/dev/null 2>&1 || $(PY) -m ensurepip
	$(PY) -m pip install --progress-bar off -c constraints.txt -e '.[test,docs]'
	touch $@
