# `make run` and `make test` are all a newcomer needs; `make help` lists the rest.
PYTHON := .venv/bin/python
PIP := $(PYTHON) -m pip --disable-pip-version-check install --quiet --no-deps --require-hashes

.PHONY: help run demo test test-slow check lock bench screenshots example example-agent example-langchain

help: ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 20

$(PYTHON):
	@python3 -m venv .venv || { echo "python3 cannot make a virtual environment: apt-get install python3-venv"; rm -rf .venv; exit 1; }

.venv/installed: requirements.lock | $(PYTHON)
	@$(PIP) -r requirements.lock
	@touch $@

.venv/installed-dev: requirements-dev.lock | $(PYTHON)
	@$(PIP) -r requirements-dev.lock
	@touch $@ .venv/installed

.venv/installed-demo: requirements-demo.lock | $(PYTHON)
	@$(PIP) -r requirements-demo.lock
	@touch $@

.venv/installed-connectors: requirements-connectors.lock | $(PYTHON)
	@$(PIP) -r requirements-connectors.lock
	@touch $@

run: .venv/installed ## Start Lucid on this machine (HOST, PORT and DATABASE_URL are honoured)
	@exec $(PYTHON) manage.py quickstart

demo: .venv/installed .venv/installed-demo ## The same, with a real model behind the gateway and agents at work
	@exec $(PYTHON) manage.py demo

test: .venv/installed-dev ## Run the test suite (on PostgreSQL where there is one)
	@PYTHONDEVMODE=1 $(PYTHON) -m pytest -m "not slow" --numprocesses auto --dist loadfile

test-slow: .venv/installed-dev ## Run what takes minutes: servers killed under load, a real model, Go, a browser
	@command -v chromium >/dev/null || echo "The pages are not looked at, for want of a browser: apt-get install chromium"
	@PYTHONDEVMODE=1 $(PYTHON) -m pytest -m slow

check: .venv/installed-dev ## Lint, types, layers, migrations, lock files
	@.ci/check

lock: .venv/installed-dev ## Write the lock files from pyproject.toml
	@.ci/lock

bench: .venv/installed-dev ## Measure the figures of the README (needs PostgreSQL and wrk)
	@command -v wrk >/dev/null || { apt-get update -qq && apt-get install -y -qq wrk; }
	@$(PYTHON) -m bench

screenshots: .venv/installed-dev .venv/installed-demo ## Take the pictures of docs/dashboard.md (needs Chromium)
	@$(PYTHON) docs/take_screenshots.py

example: .venv/installed-demo ## Run a real model once and have its run notarised (needs make run)
	@$(PYTHON) examples/record_a_run.py

example-agent: .venv/installed-demo ## Run an agent and have each of its calls notarised (needs make run)
	@$(PYTHON) examples/agent_with_httpx.py

example-langchain: .venv/installed-demo .venv/installed-connectors ## The same of a LangChain program, by the published connector
	@$(PYTHON) examples/agent_with_langchain.py
