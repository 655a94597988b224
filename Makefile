# SPDX-License-Identifier: Apache-2.0
# What developers type. Every target sets up what it needs; PYTHON=... chooses the Python.

RUN := scripts/run.sh
COVERED := --cov=vla_ros.core --cov=vla_ros.wire --cov-branch --cov-report=term-missing:skip-covered \
	--cov-fail-under=100
# They run in an environment of their own, where LeRobot and torch warn of much.
PEER_TESTS := test/peers test/backends/test_lerobot_model.py test/backends/test_onnx_file.py \
	test/backends/test_torch_file.py

RAY_TESTS := test/peers/test_ray.py test/serving/ray/test_app.py test/serving/ray/test_policy.py

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-slow test-peers test-ray soak lint format bench bench-execution \
	bench-lerobot shell lock clean

help:  ## show this help
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup:  ## make .venv and build the packages (all other targets do this first)
	@scripts/setup.sh

# The shell quotes what the user gave, so that an instruction may hold any character.
demo: setup  ## run episodes over real ROS 2; ROBOT=g1 EPISODES= SEED= LATENCY_MS= ...
	@$(RUN) python -m vla_ros.bringup.demo --output out/demo \
		$${ROBOT:+--robot "$$ROBOT"} $${POLICY:+--policy "$$POLICY"} \
		$${EPISODES:+--episodes "$$EPISODES"} $${SEED:+--seed "$$SEED"} \
		$${LATENCY_MS:+--latency-ms "$$LATENCY_MS"} \
		$${BACKEND:+--backend "$$BACKEND"} $${SERVER:+--server "$$SERVER"} \
		$${INSTRUCTION:+--instruction "$$INSTRUCTION"} $${RECORDING:+--recording "$$RECORDING"}

test: setup  ## run the tests; core and wire must be covered wholly
	@$(RUN) python -m pytest -n 2 --dist worksteal $(COVERED)

test-slow: setup  ## run the tests that take long
	@$(RUN) python -m pytest -m slow

test-peers:  ## run the tests against the real LeRobot; installs it first (1.9 GB)
	@scripts/peers.sh python -m pytest -m peer -W ignore $(PEER_TESTS)

test-ray: setup  ## run the tests against Ray Serve, and the demo; installs Ray first (0.5 GB)
	@scripts/ray_env.sh python -m pytest -m peer -W ignore $(RAY_TESTS)

soak: setup  ## break everything at random while a robot works; DURATION_S=600 SEED=
	@$(RUN) python -m test.system.fault_run --duration-s "$${DURATION_S:-600}" \
		$${SEED:+--seed "$$SEED"}

lint: setup  ## check style, types and the floors
	@$(RUN) ruff check .
	@$(RUN) ruff format --check .
	@$(RUN) mypy
	@$(RUN) lint-imports --no-logo

format: setup  ## format the code, mend what can be mended
	@$(RUN) ruff check --fix --quiet . || true
	@$(RUN) ruff format .

bench: setup  ## run the benchmarks
	@set -e; for program in benchmarks/bench_*.py; do \
		$(RUN) python -m "benchmarks.$$(basename "$$program" .py)"; done

bench-execution: setup  ## run every way to execute chunks, ours and others' (half an hour); EPISODES=
	@$(RUN) python -m benchmarks.execution $${EPISODES:+--episodes "$$EPISODES"}

bench-lerobot: setup  ## run our ring and LeRobot's RobotClient side by side; installs LeRobot first
	@scripts/peers.sh true
	@$(RUN) python -m benchmarks.lerobot

shell: setup  ## open a shell in which python, pytest and ROS 2 work
	@$(RUN) "$${SHELL:-/bin/bash}"

lock:  ## choose new versions of everything: writes requirements/lock.txt
	@scripts/lock.sh

clean:  ## remove everything that was built
	rm -rf .venv .ros .peers out build install log .coverage .hypothesis .import_linter_cache \
		.mypy_cache .pytest_cache .ruff_cache vla_ros.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
