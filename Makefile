# Two commands do all the set-up: `make demo` runs the main job, `make test` the tests. Both make their own environment.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DATA ?= $(ISOTONE_DATA)

.PHONY: demo test test-slow check lint format bench clean

demo: $(VENV)/.installed
	$(BIN)/isotone demo --out isotone-demo

# On networks as small as those of the tests a second thread costs more than it brings, and on busy cores very much more.
test test-slow: export OMP_NUM_THREADS ?= 1

# Tests, doctests and the README's examples; what takes minutes is left to test-slow. A file stays in one process.
WORKERS ?= 2
test: $(VENV)/.installed
	$(BIN)/pytest -q -m "not slow" -n $(WORKERS) --dist loadfile

test-slow: $(VENV)/.installed
	$(BIN)/pytest -q -m slow -n $(WORKERS) --dist load

lint: $(VENV)/.installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

check: lint test

format: $(VENV)/.installed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# Benchmarks measure; those on data sets take their folder from ISOTONE_DATA (or make bench DATA=folder).
# Those that take hours run in their quick form here; programs.py needs the programs themselves (--bytes).
bench: $(VENV)/.installed
	for file in benchmarks/[a-z]*.py; do echo "== $$file"; \
	  case $$file in */recipes.py|*/tabular.py|*/detection.py|*/floors.py) form=--quick;; \
	    */programs.py) continue;; *) form=;; esac; \
	  ISOTONE_DATA="$(DATA)" $(BIN)/python $$file $$form || exit 1; done

$(VENV)/.installed: pyproject.toml requirements/constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c requirements/constraints.txt -e '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) isotone-demo dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis
