#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs a command in the environment that setup.sh made: scripts/run.sh python -m vla_ros...
set -euo pipefail
# shellcheck disable=SC1091
. "$(dirname "$0")/../.ros/env.sh"
exec "$@"
