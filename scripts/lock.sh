#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Writes requirements/lock.txt anew: one version of every package, for each supported Python.
set -euo pipefail
cd "$(dirname "$0")/.."

tools=$(mktemp -d)
trap 'rm -rf "$tools"' EXIT
python3 -m venv "$tools"
"$tools/bin/pip" install --quiet uv
"$tools/bin/uv" pip compile --quiet --universal --python-version 3.10 --upgrade \
  --no-annotate --custom-compile-command "make lock" requirements/*.in |
  # Only Linux and CPython are supported.
  grep --invert-match --extended-regexp "win32|implementation_name == 'pypy'" > "$tools/lock.txt"
mv "$tools/lock.txt" requirements/lock.txt
