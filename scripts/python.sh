#!/usr/bin/env bash
# Prints the first Python that really runs and is 3.11 or later. Version managers leave shims such as python3.13 on the
# path that exist and yet fail, so each candidate is run before it is believed. PYTHON=… names one outright.
set -eu
for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11}; do
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
        command -v "$candidate"
        exit 0
    fi
done
echo "Tocsin needs Python 3.11 or later and none of ${PYTHON:-python3, python3.13, python3.12, python3.11} is one: install it, or name it with PYTHON=…" >&2
exit 1
