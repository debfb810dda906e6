# Everything a person runs. `make` alone lists the targets.
# Needs: make, Python 3.11 or newer with venv, and PyPI. No root, no Docker.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
ARGS ?=
SIDE_BY_SIDE := -n 2 --dist loadfile
# Its cases share one name, and would be taken for one.
EVERY_OPERATION := tests/whole/test_every_operation.py

.DEFAULT_GOAL := help
.PHONY: help setup setup-dev demo run test check format lock contracts documents \
	test-deploy test-kafka test-senders test-replay truth crash chaos bench profile clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/' | expand -t 16

setup: .venv/ready ## Make the virtual environment with what running needs
setup-dev: .venv/ready-dev ## The same, with what testing needs

.venv/ready: requirements.txt pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

.venv/ready-dev: .venv/ready requirements-dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	@touch $@

demo: setup ## The main job, end to end, on recorded alerts (ARGS=--once ends instead of staying up)
	$(BIN)/groundswell demo $(ARGS)

run: setup ## Start an empty system
	$(BIN)/groundswell run $(ARGS)

test: setup-dev ## Pass the tests on two cores: PyPI alone is enough
	$(BIN)/pytest $(SIDE_BY_SIDE) --ignore=tests/deploy --ignore=tests/senders --ignore=tests/kafka --ignore=tests/replay/test_servicenow.py --ignore=$(EVERY_OPERATION) $(ARGS)
	$(BIN)/pytest $(EVERY_OPERATION) $(ARGS)
	$(BIN)/pytest $(SIDE_BY_SIDE) --store=postgresql tests/shared tests/incidents tests/feedback tests/roadmap tests/gateway $(ARGS)

check: setup-dev ## Lint, format, types, import rules, spelling of what is generated
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/basedpyright
	$(BIN)/lint-imports

format: setup-dev ## Format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

contracts: setup-dev ## Write the golden schemas of the events; refuses what an older reader can't read
	$(BIN)/python tests/contracts/golden.py

documents: setup-dev ## Write what is generated under docs/: OpenAPI, AsyncAPI, the event catalogue
	$(BIN)/groundswell openapi > docs/openapi.json
	$(BIN)/groundswell events --json > docs/asyncapi.json
	$(BIN)/groundswell events --markdown > docs/events.md

lock: setup-dev ## Resolve the dependencies anew, with hashes and without download addresses
	$(BIN)/uv pip compile pyproject.toml --extra build --generate-hashes --no-emit-index-url \
		--no-emit-find-links --python-version 3.11 --custom-compile-command "make lock" -q --upgrade \
		-o requirements.txt
	$(BIN)/uv pip compile pyproject.toml --extra build --extra dev --generate-hashes --no-emit-index-url \
		--no-emit-find-links --python-version 3.11 --custom-compile-command "make lock" -q --upgrade \
		-c requirements.txt -o requirements-dev.txt

test-deploy: setup-dev ## Render and validate the manifests (needs kubectl, promtool, Java and Maven)
	$(BIN)/pytest tests/deploy $(ARGS)

test-kafka: setup-dev ## A real Kafka broker, killed and paused (needs Java, Maven and its repository; or KAFKA_BOOTSTRAP)
	$(BIN)/pytest tests/kafka $(ARGS)

test-senders: setup-dev ## Real Prometheus, Alertmanager, paging and CloudEvents clients, a browser (needs Debian's packages and npm's registry)
	$(BIN)/pytest tests/senders $(ARGS)

test-replay: setup-dev ## Replay a real ServiceNow log: GROUNDSWELL_SERVICENOW_LOG names the file
	$(BIN)/pytest tests/replay/test_servicenow.py $(ARGS)

crash: setup-dev ## Kill it at every failpoint, on both engines, and check (ARGS=--points 60 takes a sample)
	$(BIN)/python -m tests.faults.crash $(ARGS)

chaos: setup-dev ## Kill real processes, database and broker under load, on both engines (needs Java and Maven)
	$(BIN)/python -m tests.faults.chaos $(ARGS)

truth: setup-dev ## Rank themes of a real log as of then, and see what people fixed (same file)
	$(BIN)/python tests/truth/truth.py $(ARGS)

bench: setup-dev ## Measure it beside its peers (needs two cores, Debian's wrk and Alertmanager; ARGS="--quick --only ingest")
	$(BIN)/python -m bench $(ARGS)

profile: setup-dev ## Show where the time of the hot road goes
	$(BIN)/python -m bench.profile $(ARGS)

clean: ## Remove the virtual environment and caches; never the data
	rm -rf .venv build .pytest_cache .ruff_cache .hypothesis .import_linter_cache
