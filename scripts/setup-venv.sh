#!/usr/bin/env bash
# setup-venv.sh FOLDER runtime|dev: makes the virtual environment FOLDER and installs Tocsin into it, editable.
# "runtime" is what serving needs; "dev" adds the extras and the tools of the tests. Ends with a stamp that make looks at.
set -eu
cd "$(dirname "$0")/.."
. scripts/apt.sh
folder=$1
kind=$2
place=$(pwd -P)/$folder

# A virtual environment knows its own path: one that was copied or moved with its folder has to be made anew.
fresh=
if [ -e "$folder/.place" ] && [ "$(cat "$folder/.place")" != "$place" ]; then fresh=--clear; fi
if [ -e "$folder" ] && ! "$folder/bin/python" -c 'import pip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    fresh=--clear
fi

if [ ! -e "$folder" ] || [ -n "$fresh" ]; then
    python=$(bash scripts/python.sh)
    echo "Making $folder with $("$python" --version)"
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
        if ! apt_install "python$version-venv" || ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
            echo "$python has no venv module: install the package python$version-venv and run this again." >&2
            exit 1
        fi
    fi
    "$python" -m venv $fresh "$folder"
fi
echo "$place" >"$folder/.place"

pip() { "$folder/bin/python" -m pip --disable-pip-version-check --no-input -q "$@" </dev/null; }
if ! "$folder/bin/python" -c 'import pip, sys; sys.exit(tuple(map(int, pip.__version__.split(".")[:2])) < (25, 1))'; then
    pip install --upgrade "pip>=25.1" # the first that reads dependency groups
fi
case $kind in
runtime) pip install -e . ;;
dev)
    pip install -e ".[postgres,apprise]" --group dev
    touch "$folder/.runtime"
    ;;
*)
    echo "setup-venv.sh: the second argument is runtime or dev, not $kind" >&2
    exit 2
    ;;
esac
touch "$folder/.$kind"
