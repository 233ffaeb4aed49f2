# `make help` lists the targets. Each sets up what it needs, in .venv; ARGS="…" is passed on.

VENV := .venv
BIN := $(VENV)/bin
RUNTIME := $(VENV)/.installed-runtime
DEV := $(VENV)/.installed-dev
BENCHMARKS := $(patsubst benchmarks/%.py,-m %,$(wildcard benchmarks/*.py))
PIP := $(BIN)/python -m pip install -qq --disable-pip-version-check --no-input

.DEFAULT_GOAL := help
.PHONY: demo test check bench soak lab clean help

demo: $(RUNTIME) ## run the main job live, then replay it: 20 seconds, nothing to configure
	@$(BIN)/beacons demo $(ARGS)

test: check ## check, then run every test with real servers, and show the coverage
	@sh tests/support/install_servers.sh
	@$(BIN)/python -m pytest --quiet --cov --cov-report=term $(ARGS)

check: $(DEV) ## lint, formatting, types and the import contracts, without the tests
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check .
	@mkdir -p $(VENV)/typing
	@# A checkout's folder may have any name: mypy sees it under the package's own.
	@ln -sfn ../.. $(VENV)/typing/beaconfold
	@cd $(VENV)/typing && MYPYPATH=beaconfold/benchmarks ../bin/mypy \
		--config-file beaconfold/pyproject.toml -m beaconfold -p beaconfold.monoids \
		-p beaconfold.stores -p beaconfold.pipelines $(BENCHMARKS)
	@report=$$($(BIN)/lint-imports 2>&1) || { echo "$$report"; exit 1; }

bench: $(DEV) ## time jobs, stores and receivers beside their peers, each in one run
	@sh tests/support/install_servers.sh
	@$(BIN)/python benchmarks/peers.py $(ARGS)
	@for each in stores redis_and_files collector; do $(BIN)/python benchmarks/$$each.py; done

soak: $(DEV) ## kill everything on the way from a broker to a store, and count
	@sh tests/support/install_servers.sh
	@$(BIN)/python -m pytest --quiet tests/faults/soak_everything_dies.py $(ARGS)

lab: $(DEV) ## open the notebooks in JupyterLab
	@$(BIN)/jupyter lab --notebook-dir=notebooks $(ARGS)

clean: ## remove caches, builds and benchmark data; .venv stays
	@rm -rf build dist .coverage .coverage.* .hypothesis .*_cache dask-worker-space
	@find . -name $(VENV) -prune -o -name __pycache__ -type d -exec rm -rf {} +

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-6s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# The stamps are older than a changed pyproject.toml, and so the install is done again.
$(RUNTIME): pyproject.toml | $(BIN)/pip
	@echo "Installing Beaconfold into $(VENV) (a minute or so, once) …"
	@$(PIP) -e '.[dashboard]'
	@touch $@

$(DEV): pyproject.toml | $(BIN)/pip
	@echo "Installing Beaconfold and its development tools into $(VENV) (a minute or two, once) …"
	@$(PIP) -e '.[dev]'
	@touch $(RUNTIME) $@

# PYTHON=… chooses the interpreter; else the first on the PATH that can make an environment.
$(BIN)/pip:
	@for python in $(PYTHON) python3 python3.13 python3.12 python3.11 python3.14 python; do \
		if "$$python" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' \
			2>/dev/null; then exec "$$python" -m venv --clear $(VENV); fi; \
	done; \
	echo "Beaconfold needs Python 3.11 or newer with its venv and ensurepip modules" >&2; \
	echo "(Debian, Ubuntu: install python3-venv). Another one: make PYTHON=/path/to/python" >&2; \
	exit 1
