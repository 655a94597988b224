#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Makes .peers/lerobot, a virtual environment with the real LeRobot (requirements/peers-lerobot.txt),
# which the tests marked "peer" run in, and runs the command that is given, in it:
# scripts/peers.sh python -m pytest -m peer. Installs nothing where nothing changed.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/peer_venv.sh
. scripts/peer_venv.sh

finish() {
  local site
  site=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
  cp test/peers/torchvision_cpu.py "$site"
  echo "import torchvision_cpu" > "$site/torchvision_cpu.pth"
  # Where pip finds torch's CUDA build first, that cannot be loaded without gigabytes more.
  if ! "$venv/bin/python" -c 'import torch' 2> /dev/null; then
    quietly "$venv/bin/pip" install --disable-pip-version-check --no-compile --no-deps \
      --force-reinstall --index-url https://download.pytorch.org/whl/cpu \
      "$(grep '^torch==' requirements/peers-lerobot.txt)"
  fi
  # It makes a folder for its logs wherever it is.
  (cd .peers && quietly "$venv/bin/python" -c 'import lerobot.async_inference.policy_server')
}

peer_venv lerobot peers-lerobot.txt "LeRobot 0.4.4" "1.9 GB" test/peers/torchvision_cpu.py
export HF_HUB_OFFLINE=1
run_in_venv "$@"
