#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Sets up everything below .venv (Python, ROS 2 from PyPI) and .ros (this repository's two packages,
# built by colcon; env.sh, the environment to run them in). Does nothing where nothing changed.
# PYTHON names the Python to use; default: the first of python3, python3.13 ... that is new enough.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
venv=$root/.venv
ros=$root/.ros

say() { echo "[setup] $*"; }
fail() {
  echo "[setup] $1" >&2
  shift
  for line in "$@"; do echo "        $line" >&2; done
  exit 1
}

# A digest of the given words and files (folders: of all files in them).
digest() {
  local word
  for word in "$@"; do
    if [[ -d $word ]]; then
      find "$word" -type f -not -name '*.pyc' -print0 | LC_ALL=C sort -z | xargs -0 -r sha256sum
    elif [[ -f $word ]]; then
      sha256sum "$word"
    else
      echo "$word"
    fi
  done | sha256sum | cut -d ' ' -f 1
}
fresh() { [[ -f $1 && $(<"$1") == "$2" ]]; }

# Runs a step quietly; shows what it said only if it fails.
quietly() {
  local log=$ros/log/$1.log
  shift
  mkdir -p "$ros/log"
  if ! "$@" > "$log" 2>&1; then
    tail -n 40 "$log" >&2
    fail "failed: $*" "all of it is in $log"
  fi
}

find_python() {
  local name
  for name in ${PYTHON:-python3 python3.13 python3.12 python3.11 python3.10}; do
    if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2> /dev/null; then
      # Inside a virtual environment this is the Python that it was made from.
      "$name" -c 'import os, sys; print(os.path.realpath(sys._base_executable))'
      return
    fi
  done
  fail "needs Python 3.10 or later; ${PYTHON:-python3} is: $("${PYTHON:-python3}" --version 2>&1 || true)" \
    "install it (sudo apt install python3), or name it: make ... PYTHON=/path/to/python3"
}

check_machine() {
  local python=$1 missing=() version
  [[ $(uname -sm) == "Linux x86_64" ]] ||
    fail "ROS 2 comes from PyPI for Linux on x86_64 only, this is $(uname -sm)" \
      "where ROS 2 is installed, use colcon instead: see CONTRIBUTING.md"
  version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
  "$python" -c 'import ensurepip, venv' 2> /dev/null || missing+=("python$version-venv")
  [[ -f $("$python" -c 'import sysconfig; print(sysconfig.get_path("include"))')/Python.h ]] ||
    missing+=("python$version-dev")
  command -v "${CC:-cc}" > /dev/null && command -v "${CXX:-c++}" > /dev/null || missing+=("g++")
  command -v make > /dev/null || missing+=("make")
  if ((${#missing[@]})); then
    fail "missing on this machine: ${missing[*]}" "install with: sudo apt install ${missing[*]}"
  fi
}

make_venv() {
  local python=$1
  say "1/3 virtual environment .venv with $("$python" --version) (about a minute)"
  rm -rf "$venv"
  quietly venv "$python" -m venv "$venv"
  touch "$venv/COLCON_IGNORE"
  # The lock is complete: nothing is left to resolve.
  quietly pip "$venv/bin/pip" install --disable-pip-version-check --no-deps \
    --requirement requirements/lock.txt
  _ROS_WHEELS_BOOTSTRAP_COMPLETE=1 quietly wheels "$venv/bin/python" scripts/fix_wheels.py
}

# The wheels' own way is to start the interpreter anew on every import of rclpy, to set
# LD_LIBRARY_PATH; _ROS_WHEELS_BOOTSTRAP_COMPLETE says that this is done. What a sourced ROS
# installation set is replaced, not extended: two distributions do not mix.
write_env() {
  local site
  site=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
  local libraries=("$ros/install/lib" "$venv/lib" "$site"/ros_*.libs)
  cat << EOF
# Written by scripts/setup.sh. To be sourced by a POSIX shell.
case ":\$PATH:" in
  *":$venv/bin:"*) ;;
  *)
    export PATH="$venv/bin:\$PATH"
    export LD_LIBRARY_PATH="$(IFS=: && echo "${libraries[*]}")\${LD_LIBRARY_PATH:+:\$LD_LIBRARY_PATH}"
    ;;
esac
export _ROS_WHEELS_BOOTSTRAP_COMPLETE=1
export VIRTUAL_ENV="$venv"
export PYTHONPATH="$ros/build/vla_ros:$ros/install/lib/${site#"$venv/lib/"}"
export AMENT_PREFIX_PATH="$ros/install:$venv"
export CMAKE_PREFIX_PATH="$ros/install:$venv"
export ROS_DISTRO=jazzy ROS_VERSION=2 ROS_PYTHON_VERSION=3
export RMW_IMPLEMENTATION=rmw_fastrtps_cpp
export ROS_LOG_DIR="\${ROS_LOG_DIR:-$ros/log/ros}"
# The default transport loses two of three raw camera images.
export FASTRTPS_DEFAULT_PROFILES_FILE="\${FASTRTPS_DEFAULT_PROFILES_FILE:-$root/config/dds/fast_dds.xml}"
EOF
}

colcon_build() {
  # Else links to files that are gone would stay.
  rm -rf "$ros/build/vla_ros" "$ros/install/share/vla_ros" "$ros/install/lib/vla_ros"
  # shellcheck disable=SC1091
  . "$ros/env.sh"
  "$venv/bin/colcon" --log-base "$ros/log/colcon" build \
    --build-base "$ros/build" --install-base "$ros/install" --merge-install \
    --cmake-args -DCMAKE_BUILD_TYPE=Release -DBUILD_TESTING=OFF "-DPython3_EXECUTABLE=$venv/bin/python"
}

# A sourced ROS installation or virtual environment must not take part.
unset AMENT_PREFIX_PATH CMAKE_PREFIX_PATH COLCON_PREFIX_PATH LD_LIBRARY_PATH PIP_USER PYTHONHOME \
  PYTHONPATH

# One at a time.
exec 9< "$root"
flock 9

python=$(find_python)
venv_key=$(digest "root $root" "python $python" "$("$python" --version)" requirements/lock.txt \
  scripts/fix_wheels.py)
# Modules, configuration and launch files are linked, not copied: only their list is built in.
build_key=$(digest "$venv_key" scripts/setup.sh msg package.xml setup.py setup.cfg resource colcon_defaults.yaml \
  "$(find config launch -type f -not -path '*/__pycache__/*' 2> /dev/null | LC_ALL=C sort)")

if ! fresh "$venv/.key" "$venv_key"; then
  check_machine "$python"
  make_venv "$python"
  rm -rf "$ros"
  mkdir -p "$ros"
  echo "$venv_key" > "$venv/.key"
fi
if ! fresh "$ros/.key" "$build_key"; then
  check_machine "$python"
  say "2/3 packages vla_ros_msgs and vla_ros by colcon (about half a minute)"
  mkdir -p "$ros"
  touch "$ros/COLCON_IGNORE"
  write_env > "$ros/env.sh"
  quietly build colcon_build
  echo "$build_key" > "$ros/.key"
  say "3/3 ready"
fi
