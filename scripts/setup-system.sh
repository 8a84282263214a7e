#!/usr/bin/env bash
# setup-system.sh test|bench: the programs that the tests (or the benchmarks) run beside Tocsin, from Debian's packages.
# What cannot be installed is named in one sentence, and the tests that need it are skipped with the reason: this never fails.
set -eu
cd "$(dirname "$0")/.."
. scripts/apt.sh

have() {
    case $1 in
    postgresql) command -v initdb >/dev/null || compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null ;;
    chromium) command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null ;;
    prometheus-alertmanager) command -v prometheus-alertmanager >/dev/null || command -v alertmanager >/dev/null ;;
    fonts-dejavu-core) [ -d /usr/share/fonts/truetype/dejavu ] || { command -v fc-list >/dev/null && [ -n "$(fc-list)" ]; } ;;
    nginx-light) [ -x /usr/sbin/nginx ] || command -v nginx >/dev/null ;;
    *) command -v "$1" >/dev/null ;;
    esac
}

missing() {
    for package in "$@"; do
        if ! have "$package"; then printf ' %s' "$package"; fi
    done
}

# Where systemd runs, a package's service would start with the machine next time, although nothing was started now.
services_off() {
    if [ ! -d /run/systemd/system ]; then return 0; fi
    for package in "$@"; do
        unit=${package%-light}
        if systemctl cat "$unit" >/dev/null 2>&1; then $(as_root) systemctl disable -q "$unit"; fi
    done
}

case ${1:-test} in
test) wanted="postgresql chromium prometheus prometheus-alertmanager fonts-dejavu-core" ;;
bench) wanted="prometheus-alertmanager nginx-light wrk hey" ;;
*)
    echo "setup-system.sh: the argument is test or bench, not $1" >&2
    exit 2
    ;;
esac
lacking=$(missing $wanted)
if [ -z "$lacking" ]; then exit 0; fi
echo "Installing$lacking"
if apt_install $lacking; then services_off $lacking; fi
lacking=$(missing $lacking)
if [ -n "$lacking" ]; then
    echo "Not on this machine and not to be installed from here:$lacking. Install them as root to run what needs them; until then it is skipped." >&2
fi
