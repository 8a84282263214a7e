# Functions for Debian and its kin, to be sourced. They install packages without starting what the packages bring:
# a test machine must not be left with a Prometheus or a PostgreSQL of its own running.

POLICY=${TOCSIN_POLICY_RC:-/usr/sbin/policy-rc.d}

# Says how to become root ("", "sudo -n"), or fails where there is no way without asking for a password.
as_root() {
    if [ "$(id -u)" = 0 ]; then
        echo ""
    elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
        echo "sudo -n"
    else
        return 1
    fi
}

# apt_install PACKAGE…: installs what it can; fails if one of them could not be installed.
apt_install() (
    command -v apt-get >/dev/null || return 1
    sudo=$(as_root) || return 1
    kept=
    had=no
    new=$(mktemp)
    trap restore_policy EXIT
    trap 'exit 130' INT TERM
    hold_services
    export DEBIAN_FRONTEND=noninteractive
    get() { $sudo env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0 "$@" </dev/null >"$new" 2>&1; }
    if get install -y --no-install-recommends "$@"; then return 0; fi
    if ! get update; then tail -n 3 "$new" >&2; fi
    if get install -y --no-install-recommends "$@"; then return 0; fi
    failed=0
    for package in "$@"; do # one unknown name must not keep the others out
        if ! get install -y --no-install-recommends "$package"; then
            tail -n 1 "$new" >&2
            failed=1
        fi
    done
    return $failed
)

# Debian asks policy-rc.d before a package starts its service; 101 means "do not".
hold_services() {
    if [ -e "$POLICY" ]; then
        had=yes
        kept=$(mktemp)
        cp -p "$POLICY" "$kept"
    fi
    printf '#!/bin/sh\nexit 101\n' | $sudo tee "$POLICY.tocsin" >/dev/null
    $sudo chmod 755 "$POLICY.tocsin"
    $sudo mv -f "$POLICY.tocsin" "$POLICY"
}

restore_policy() {
    if [ "$had" = yes ]; then
        $sudo cp -p "$kept" "$POLICY"
    else
        $sudo rm -f "$POLICY"
    fi
    rm -f "$kept" "$new"
}
