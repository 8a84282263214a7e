#!/usr/bin/env bash
# Makes the virtual environment $1 with the first Python that really runs and is 3.11 or later.
set -eu
target=$1
[ -x "$target/bin/python" ] && exit 0
for candidate in python3 python3.13 python3.12 python3.11; do
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        if ! "$candidate" -c 'import ensurepip' 2>/dev/null; then
            echo "Python's venv module is missing; trying to install it" >&2
            if [ "$(id -u)" = 0 ]; then apt-get update && apt-get install -y python3-venv; else sudo -n apt-get install -y python3-venv; fi
        fi
        exec "$candidate" -m venv "$target"
    fi
done
echo "Tocsin needs Python 3.11 or later; install it and run this again." >&2
exit 1
