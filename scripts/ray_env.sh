#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Makes .peers/ray, a virtual environment with Ray Serve (requirements/ray.txt), which the tests marked
# "ray" run in, and runs the command that is given, in it; this repository is importable there:
# scripts/ray_env.sh serve run config/ray/so101_scripted.yaml. Installs nothing where nothing changed.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/peer_venv.sh
. scripts/peer_venv.sh

peer_venv ray ray.txt "Ray Serve" "0.5 GB"
export PYTHONPATH=$PWD RAY_USAGE_STATS_ENABLED=0
run_in_venv "$@"
