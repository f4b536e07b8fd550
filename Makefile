# The commands of this project; `make` alone lists them.

PYTHON ?= python3
VENV   := .venv
PY     := $(VENV)/bin/python
READY  := $(VENV)/.ready
# One name for one thing: tests, demo and people use the same rig, see tests/rig/README.md.
RIG    := $(PY) -m tests.rig

.DEFAULT_GOAL := help
.PHONY: help setup apt demo demo-down cluster-up cluster-down servers-up servers-down test test-fast test-versions conformance \
        test-cluster test-keda test-e2e chaos chaos-cluster chaos-peer chaos-operator bench-operator bench \
        fmt lint types verify generate wheel clean

help:  ## Show this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z0-9-]+:.*## / {printf "  %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; set PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "Installing python3-venv"; apt-get update -qq && apt-get install -y -qq --no-install-recommends python3-venv; }
	@test -x $(PY) || $(PYTHON) -m venv $(VENV)
	@echo "Installing the project and its tools into $(VENV)"
	@$(PY) -m pip install -q --disable-pip-version-check 'pip==26.3'
	@$(PY) -m pip install -q --disable-pip-version-check --group dev
	@$(PY) -m pip install -q --disable-pip-version-check --no-build-isolation --no-deps -e .
	@touch $(READY)

setup: $(READY)  ## Make .venv with the project and its tools

apt: $(READY)  ## Install the Debian packages of the rig (as root; nothing when they are there)
	@$(RIG) apt

demo: apt  ## The main job on a real Kubernetes: 200 orders through outbox, broker and inbox
	@$(PY) -m examples.shop.demo

demo-down: $(READY)  ## Take the demo and its cluster down
	@$(PY) -m examples.shop.demo --down

cluster-up: apt  ## Start the single-node Kubernetes
	@$(RIG) up

cluster-down: $(READY)  ## Stop it and leave nothing behind
	@$(RIG) down

servers-up: apt  ## Start RabbitMQ and PostgreSQL on this machine, for work on the library
	@$(RIG) servers up

servers-down: $(READY)  ## Stop them
	@$(RIG) servers down

test: apt  ## All tiers: unit, contract, integration, other versions, chart, cluster, e2e
	@$(PY) -m tests.all

test-fast: $(READY)  ## Unit tests only
	@$(PY) -m pytest tests/unit

test-versions: apt  ## What versions matter to, on the oldest and the newest of Django and stomp.py
	@$(PY) -m tests.versions

conformance: apt  ## What works on which broker and database; writes docs/conformance.md
	@$(PY) -m pytest tests/integration/conformance && $(PY) -m tools.conformance

test-cluster: apt  ## The operator against a real API server
	@$(RIG) build && $(PY) -m pytest tests/chart tests/cluster

test-keda: apt  ## Autoscaling with KEDA's own programs (the first build takes about 8 minutes of both cores)
	@$(RIG) build-keda && $(PY) -m pytest tests/keda

test-e2e: apt  ## The demo's path and its faults on a real node
	@$(PY) -m pytest tests/e2e

chaos: apt  ## The fault ledger, about 10 minutes: SEED=n repeats a run, PEER=1 runs the peer, BROKERS=3 a cluster
	@$(PY) -m tests.chaos $(if $(SEED),--seed $(SEED)) $(if $(PEER),--peer) $(if $(BROKERS),--brokers $(BROKERS)) $(CHAOS)

chaos-cluster: apt  ## The same with a three-node RabbitMQ cluster and quorum queues
	@$(MAKE) --no-print-directory chaos BROKERS=3

chaos-operator: apt  ## The operator while everything breaks, 30 minutes: SEED=n repeats a run, MINUTES=n shortens it
	@$(RIG) build && $(PY) -m tests.chaos.operator $(if $(SEED),--seed $(SEED)) $(if $(MINUTES),--minutes $(MINUTES)) $(CHAOS)

bench-operator: apt  ## The operator with 1,000 resources: time, memory, idleness, edits, restart; about 12 minutes
	@$(RIG) build && $(PY) -m benchmarks.operator $(BENCH)

chaos-peer: apt  ## The same on django-outbox-pattern from the package index, for comparison
	@$(MAKE) --no-print-directory chaos PEER=1

bench: apt  ## Speed beside the peer's: ONLY=publish,idle RUNS=5 SCALE=0.1, or QUICK=1 (see benchmarks/README.md)
	@$(PY) -m benchmarks $(if $(ONLY),--only $(ONLY)) $(if $(RUNS),--runs $(RUNS)) $(if $(SCALE),--scale $(SCALE)) \
		$(if $(QUICK),--quick,$(if $(ONLY)$(SCALE),,--results benchmarks/results --picture docs/performance.svg)) $(BENCH)

fmt: $(READY)  ## Format the code
	@$(VENV)/bin/ruff format . && $(VENV)/bin/ruff check --fix .

lint: $(READY)  ## Style, layers, and that generated files are fresh
	@$(VENV)/bin/ruff format --check . && $(VENV)/bin/ruff check . && $(VENV)/bin/lint-imports
	@$(MAKE) --no-print-directory verify

types: $(READY)  ## mypy --strict on our packages
	@$(VENV)/bin/mypy

generate: $(READY)  ## Make again what is generated: the chart's CRDs and the dashboard
	@$(PY) -m tools.generate

verify: $(READY)  ## Fail when a generated file differs from its source
	@$(PY) -m tools.generate --check

wheel: $(READY)  ## Build the wheel into dist/
	@$(PY) -m pip wheel -q --no-deps --no-build-isolation -w dist .

clean: $(READY)  ## Stop what the rig started and remove its state (caches stay)
	@$(RIG) down; $(RIG) servers down; rm -rf .rig dist
