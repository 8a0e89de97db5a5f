PYTHON ?= python3
PORT ?= 8000
# Not from the environment, where it is often another database's.
DATABASE_PORT = 8100
STAGE ?= dev
VENV := .venv
BIN := $(VENV)/bin
# Python compiles what it imports; compiling all there is takes as long as installing it.
INSTALL = $(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check --require-hashes
UV ?= uv
LOCK = $(UV) pip compile --universal --generate-hashes --python-version 3.11 --no-header --quiet

.DEFAULT_GOAL := help
.PHONY: help run chat deploy-local test search coverage check fmt bench doctor lock clean

help: ## Say what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 10

# In two steps, for nobody who only wants to see it run should wait for what tests need.
$(VENV)/serves: requirements-run.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; this is " + sys.version.split()[0] + ". Name another one: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) -r $<
	@touch $@

$(VENV)/installed: requirements-dev.txt $(VENV)/serves
	$(INSTALL) -r $<
	@touch $@

run: $(VENV)/serves ## Serve the app on this machine (PORT=8000, DATABASE_PORT=8100)
	@exec $(BIN)/python -m localgateway --stage local --port $(PORT) --database-port $(DATABASE_PORT)

deploy-local: $(VENV)/serves ## Deploy to an emulator of AWS on this machine, and connect (KEEP=1)
	@$(BIN)/python -m deployment.local --stage prod --refuse-origin https://elsewhere.example.com $(if $(KEEP),--keep)

chat: $(VENV)/serves ## Talk to what `make run` serves, from another terminal
	@exec $(BIN)/python -m wsclient chat ws://127.0.0.1:$(PORT)/api --token hello

test: $(VENV)/installed ## Run every test, on all cores
	$(BIN)/python -m pytest --numprocesses auto --dist loadfile

search: $(VENV)/installed ## Run what is tested with generated inputs, with others each time
	$(BIN)/python -m pytest --numprocesses auto --hypothesis-profile search -m hypothesis

coverage: $(VENV)/installed ## Run every test in one process, and show branches that nothing ran
	@$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest
	@$(BIN)/coverage combine --quiet
	@$(BIN)/coverage report

check: $(VENV)/installed ## Check format, lint, types and import rules
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

fmt: $(VENV)/installed ## Format the code and mend what the linter can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/installed ## Measure the app over the network; prints JSON (a minute)
	@$(BIN)/python -m benchmarks --repeat 1

doctor: $(VENV)/serves ## Say what is wrong with a deployed stage (STAGE=dev); reads only
	@$(BIN)/python -m deployment doctor --stage $(STAGE)

lock: ## Lock the development requirements again, with hashes (needs uv)
	$(LOCK) --output-file requirements-dev.txt requirements-dev.in
	$(LOCK) --constraint requirements-dev.txt --output-file requirements-run.txt requirements-run.in

clean: ## Remove what the other targets made
	rm -rf $(VENV) out .coverage .coverage.* .pytest_cache .mypy_cache .ruff_cache .hypothesis .chalice/deployments
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
