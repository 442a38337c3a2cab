# Everything a developer types. The environments are made when they are missing and brought up to
# date when pyproject.toml changes.
SHELL := /bin/sh
.DEFAULT_GOAL := help

# torch's wheels decide which Python runs the whole stack; 3.11 is the one that is tested.
PYTHON ?= $(shell python3.11 -c "" 2>/dev/null && echo python3.11 || echo python3)
VENV := .venv
OPTIMUM_VENV := .venv-optimum
OPENVINO_VENV := .venv-openvino
BIN := $(VENV)/bin
# The stamps lie in the environments, so that removing one removes its stamp.
STAMP := $(VENV)/.installed
OPTIMUM_STAMP := $(OPTIMUM_VENV)/.installed
OPENVINO_STAMP := $(OPENVINO_VENV)/.installed
PIP := -m pip --disable-pip-version-check install --quiet

# ONNX Runtime uploads telemetry on Linux unless this is set before it is imported.
export ORT_DISABLE_TELEMETRY := 1

.PHONY: help demo test test-fast lint check format bench install optimum openvino clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(STAMP) ## train, export, quantize, run and profile a text classifier on shipped data
	$(BIN)/toolkit demo --force

test: $(STAMP) ## the whole test suite
	$(BIN)/python -m pytest

test-fast: $(STAMP) ## the tests that take seconds
	$(BIN)/python -m pytest -m "not slow" -n auto

lint: $(STAMP) ## formatting, lint and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy --strict toolkit tests

check: lint test-fast ## the definition of done: lint and the fast tests

format: $(STAMP) ## format and fix what can be fixed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(STAMP) ## measure, and write benchmarks/results.md
	$(BIN)/python -m benchmarks

install: $(STAMP) ## the environment in .venv

optimum: $(OPTIMUM_STAMP) ## the second environment, with optimum-onnx, in .venv-optimum

openvino: $(OPENVINO_STAMP) ## the third one, with onnxruntime-openvino, in .venv-openvino

clean: ## remove the environments and every cache
	rm -rf $(VENV) $(OPTIMUM_VENV) $(OPENVINO_VENV) .cache .mypy_cache .pytest_cache .ruff_cache .hypothesis

# An interpreter that is there is kept: an environment made by hand is completed, not replaced.
$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(STAMP): pyproject.toml | $(BIN)/python
	$(BIN)/python $(PIP) --editable '.[cpu,export,train,recipes,audio,image,qnn,bundle,dev]'
	touch $@

$(OPTIMUM_VENV)/bin/python:
	$(PYTHON) -m venv $(OPTIMUM_VENV)

$(OPTIMUM_STAMP): pyproject.toml | $(OPTIMUM_VENV)/bin/python
	$(OPTIMUM_VENV)/bin/python $(PIP) --editable '.[optimum,cpu,image]' pytest
	touch $@

$(OPENVINO_VENV)/bin/python:
	$(PYTHON) -m venv $(OPENVINO_VENV)

# onnxruntime-openvino holds the import folder of onnxruntime, so the extra `cpu` stays out.
$(OPENVINO_STAMP): pyproject.toml | $(OPENVINO_VENV)/bin/python
	$(OPENVINO_VENV)/bin/python $(PIP) --editable . onnxruntime-openvino pytest
	touch $@
