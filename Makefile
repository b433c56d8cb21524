SHELL := /bin/bash
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
BENCH_VENV := .venv-bench
BENCH_STAMP := $(BENCH_VENV)/.installed
# The first interpreter found that is new enough; `make setup PYTHON=...` chooses another.
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo "$$python"; break; }; \
	done)

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: setup
setup: $(STAMP) ## Create .venv with the countersign command in it

# The lock file holds a hash for everything that is installed; the project itself is installed in place.
$(STAMP): requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "countersign needs Python 3.11 or newer on the PATH" >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

# What the benchmark compares with is kept away from what the engine runs on.
$(BENCH_STAMP): requirements.bench.lock
	@test -n "$(PYTHON)" || { echo "countersign needs Python 3.11 or newer on the PATH" >&2; exit 1; }
	test -x $(BENCH_VENV)/bin/python || $(PYTHON) -m venv $(BENCH_VENV)
	$(BENCH_VENV)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes \
		--requirement requirements.bench.lock
	@touch $@

.PHONY: peers
peers: $(BENCH_STAMP) ## Create .venv-bench with what the benchmark compares with

.PHONY: run
run: setup ## Start the whole system on this machine, with examples
	$(BIN)/countersign up $(ARGS)

.PHONY: test
test: setup ## Run the tests
	$(BIN)/python -m pytest $(ARGS)

.PHONY: browser
browser: setup ## Run the tests in a real browser, installing Chromium where Debian's packages can be had
	@command -v chromium >/dev/null || { apt-get update --quiet && apt-get install --yes --quiet chromium; } \
		|| echo "SKIPPED: there is no Chromium, and it cannot be installed from here"
	$(BIN)/python -m pytest tests/browser $(ARGS)

.PHONY: nightly
nightly: setup ## Run many more random sequences, tamperings and exported entries than the tests do
	COUNTERSIGN_SEQUENCES=2000 $(BIN)/python -m pytest tests/workflows/test_sequences.py $(ARGS)
	COUNTERSIGN_TAMPERINGS=5000 $(BIN)/python -m pytest tests/audit/test_tampering.py $(ARGS)
	COUNTERSIGN_EXPORTED=1000000 $(BIN)/python -m pytest tests/api/test_entry_files.py $(ARGS)

.PHONY: check
check: setup ## Check format, lint, types and who imports whom
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec docker-compose.yml
	@$(MAKE) --no-print-directory audit

# Strict, or what its service does not know would pass as sound. AUDIT=... chooses another service.
.PHONY: audit
audit: setup ## Hold what a deployment installs against known vulnerabilities, where their data can be had
	@found=$$($(BIN)/pip-audit --strict --disable-pip --require-hashes --progress-spinner off \
		--requirement requirements.runtime.lock $(AUDIT) 2>&1); status=$$?; \
	printf '%s\n' "$$found" | tail -20; \
	if [ $$status -ne 0 ] && printf '%s' "$$found" | grep -q '^Found [0-9]* known vulnerabilit'; then exit 1; fi; \
	if [ $$status -ne 0 ]; then echo "SKIPPED: the data on known vulnerabilities cannot be had from here"; fi

.PHONY: format
format: setup ## Format the code and fix what can be fixed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

.PHONY: bench
bench: setup $(BENCH_STAMP) ## Measure, and compare with the targets (QUICK=1: three minutes)
	$(BIN)/python -m benchmarks $(ARGS)

COMPILE = .venv-lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --no-annotate --no-header

# An extra alone, without what the engine itself needs.
EXTRA = .venv-lock/bin/python -c 'import sys, tomllib; \
	print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"][sys.argv[1]], sep="\n")'

.PHONY: lock
lock: ## Resolve the dependencies anew (UPGRADE=--upgrade for newer ones)
	test -x .venv-lock/bin/uv || { $(PYTHON) -m venv .venv-lock && .venv-lock/bin/python -m pip install --quiet uv; }
	$(COMPILE) $(UPGRADE) pyproject.toml --extra dev --output-file requirements.lock
	$(COMPILE) pyproject.toml --constraint requirements.lock --output-file requirements.runtime.lock
	$(EXTRA) bench | $(COMPILE) $(UPGRADE) - --constraint requirements.lock --output-file requirements.bench.lock

.PHONY: clean
clean: ## Remove what make and the tools made (never the state under .countersign)
	rm -rf $(VENV) $(BENCH_VENV) .venv-lock build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
