# SPDX-License-Identifier: Apache-2.0
# Keeps virtual environments below .peers, of other people's programs that ours are tried with. To be
# sourced by a bash script that runs in the repository's root and then calls peer_venv.
# PYTHON names the Python to use; default: the first of python3, python3.11, python3.10 that fits.

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
  fail "$1 needs Python 3.10 or 3.11; ${PYTHON:-python3} is: $("${PYTHON:-python3}" --version 2>&1 || true)" \
    "install one (sudo apt install python3.11-venv), or name one: make ... PYTHON=/path/to/python3.11"
}

# Runs a step quietly; shows what it said only if it fails.
quietly() {
  if ! "$@" > "$venv.log" 2>&1; then
    tail -n 40 "$venv.log" >&2
    fail "failed: $*" "all of it is in $venv.log"
  fi
}

# Makes .peers/NAME from requirements/FILE, which are complete, unless it is there already; then it
# calls finish, if there is such a function. Sets venv, to the folder.
# peer_venv NAME FILE WHAT SIZE [FURTHER FILES THAT FINISH READS...]
peer_venv() {
  local name=$1 requirements=requirements/$2 what=$3 size=$4 python key lock
  shift 4
  # A sourced ROS installation or virtual environment must not take part.
  unset LD_LIBRARY_PATH PIP_USER PYTHONHOME PYTHONPATH
  venv=$PWD/.peers/$name
  python=$(find_python "$what")
  mkdir -p .peers
  touch .peers/COLCON_IGNORE
  # One at a time.
  exec {lock}< .peers
  flock "$lock"
  key=$({
    echo "$venv $python $("$python" --version)"
    cat "$requirements" "$@"
  } | sha256sum)
  if ! [[ -f $venv/.key && $(< "$venv/.key") == "$key" ]]; then
    echo "[peers] .peers/$name: $what with $("$python" --version) ($size, about a minute)"
    rm -rf "$venv"
    quietly "$python" -m venv "$venv"
    quietly "$venv/bin/pip" install --disable-pip-version-check --no-compile --no-deps \
      --requirement "$requirements"
    if declare -F finish > /dev/null; then finish; fi
    echo "$key" > "$venv/.key"
  fi
  exec {lock}<&-
}

# Runs a command in the environment, if one is given.
run_in_venv() {
  if (($#)); then
    export PATH="$venv/bin:$PATH" VIRTUAL_ENV="$venv"
    exec "$@"
  fi
}
