# Two commands on a fresh machine with Python ≥ 3.11: `make demo` and `make test`.
PYTHON ?= python3
PIP_ARGS ?=
BIN := .venv/bin
STAMP := .venv/.installed
PYTEST := $(BIN)/python -m pytest -n auto --maxprocesses=4 --dist worksteal

.PHONY: help install demo test test-peers lint bench docs clean
.DEFAULT_GOAL := help

help: ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/ —/'

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Surefoot needs Python 3.11 or newer; name one with make PYTHON=…")'
	$(PYTHON) -m venv .venv

$(STAMP): pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_ARGS) -c constraints.txt -e '.[demo]'
	touch $@

$(STAMP).test: $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_ARGS) -c constraints.txt -e '.[test,lint]'
	touch $@

# timm comes without its dependencies: it asks for torchvision, of which only timm.scheduler, all that
# the tests load, has no need, and whose build must fit that of torch.
$(STAMP).peers: $(STAMP).test
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_ARGS) -c constraints.txt -e '.[test,peers]'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_ARGS) -c constraints.txt --no-deps timm
	touch $@

install: $(STAMP).test ## make .venv with everything that development needs

demo: $(STAMP) ## the whole story on real data; ends with surefoot-demo/report.html
	$(BIN)/surefoot demo

test: $(STAMP).test ## all tests, with coverage of floors 0–3
	$(PYTEST) --cov --cov-report=
	$(BIN)/python -m coverage report --fail-under=95 --skip-covered --include='src/surefoot/errors.py,src/surefoot/_base/*,src/surefoot/schedules/*,src/surefoot/_curves/*,src/surefoot/records/*,src/surefoot/_engine/*,src/surefoot/rules/*,src/surefoot/quantities/*'

test-peers: $(STAMP).peers ## the tests against other libraries, the installed ones
	$(PYTEST) -m peers tests/peers

lint: $(STAMP).test ## ruff and pyright
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/pyright

bench: $(STAMP).peers ## the benchmarks; prints tables
	for name in schedules control sweep sweep_speed halving processes curve_statistics diagnose find/run; do echo "== $$name"; $(BIN)/python benchmarks/$$name.py || exit 1; done

docs: $(STAMP) ## make the pictures of the README and the docs again
	$(BIN)/python docs/make_pictures.py
	$(BIN)/python docs/make_schedules.py

clean: ## remove what the other targets made
	rm -rf .venv build dist surefoot-demo .pytest_cache .ruff_cache .hypothesis
