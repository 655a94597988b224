#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Makes .peers/lerobot, a virtual environment with the real LeRobot (requirements/peers-lerobot.txt),
# which the tests marked "peer" run in, and runs the command that is given, in it:
# scripts/peers.sh python -m pytest -m peer. Installs nothing where nothing changed.
# PYTHON names the Python to use; default: the first of python3, python3.11, python3.10 that fits.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=$PWD/.peers/lerobot

fail() {
  echo "[peers] $1" >&2
  shift
  for line in "$@"; do echo "        $line" >&2; done
  exit 1
}

find_python() {
  local name
  for name in ${PYTHON:-python3 python3.11 python3.10}; do
    if "$name" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 12))' 2> /dev/null; then
      # Inside a virtual environment this is the Python that it was made from.
      "$name" -c 'import os, sys; print(os.path.realpath(sys._base_executable))'
      return
    fi
  done
  fail "LeRobot 0.4.4 needs Python 3.10 or 3.11; ${PYTHON:-python3} is: $("${PYTHON:-python3}" --version 2>&1 || true)" \
    "install one (sudo apt install python3.11-venv), or name one: make test-peers PYTHON=/path/to/python3.11"
}

# Runs a step quietly; shows what it said only if it fails.
quietly() {
  if ! "$@" > "$venv.log" 2>&1; then
    tail -n 40 "$venv.log" >&2
    fail "failed: $*" "all of it is in $venv.log"
  fi
}

make_venv() {
  local site
  echo "[peers] .peers/lerobot: the real LeRobot with $("$python" --version) (1.9 GB, about a minute)"
  rm -rf "$venv"
  quietly "$python" -m venv "$venv"
  quietly "$venv/bin/pip" install --disable-pip-version-check --no-compile --no-deps \
    --requirement requirements/peers-lerobot.txt
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
  echo "$key" > "$venv/.key"
}

# A sourced ROS installation or virtual environment must not take part.
unset LD_LIBRARY_PATH PIP_USER PYTHONHOME PYTHONPATH

python=$(find_python)
mkdir -p .peers
touch .peers/COLCON_IGNORE
# One at a time.
exec 9< .peers
flock 9

key=$({
  echo "$venv $python $("$python" --version)"
  cat requirements/peers-lerobot.txt test/peers/torchvision_cpu.py
} | sha256sum)
if ! [[ -f $venv/.key && $(< "$venv/.key") == "$key" ]]; then make_venv; fi
flock -u 9

if (($#)); then
  export PATH="$venv/bin:$PATH" VIRTUAL_ENV="$venv" HF_HUB_OFFLINE=1
  exec "$@"
fi
