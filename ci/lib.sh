# What this folder's shell scripts share: saying, failing, trying again, Debian packages. In: sourced under `set -euo pipefail`
# with the root of the project as current folder; $0 is the script that speaks.
# shellcheck shell=bash

readonly ATTEMPTS=3
readonly POLICY=/usr/sbin/policy-rc.d

say() { echo "ci/${0##*/}: $*"; }
fail() {
    say "$*" >&2
    exit 1
}

# What asks the network may fail for a moment; pip and apt also wait and try again by themselves.
try() {
    local attempt
    for attempt in $(seq "$ATTEMPTS"); do
        if "$@"; then return 0; fi
        say "attempt $attempt of $ATTEMPTS failed: $*" >&2
    done
    return 1
}

root() { if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo -n "$@"; fi; }

# The tests start servers of their own: the packages' must not run, not even for the moment of their installation.
install_packages() {
    if ! root test -e "$POLICY"; then
        trap 'root rm -f "$POLICY"' EXIT
        printf '#!/bin/sh\nexit 101\n' | root tee "$POLICY" >/dev/null
        root chmod 755 "$POLICY"
    fi
    try root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Acquire::Retries=3 update || fail "apt-get cannot update"
    try root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Acquire::Retries=3 -o DPkg::Lock::Timeout=120 \
        install -y --no-install-recommends "$@" >.cache/apt.log 2>&1 || {
        cat .cache/apt.log >&2
        fail "apt-get cannot install $*"
    }
}

# Installs the named packages; with none named, does nothing.
need_packages() {
    if [ $# -eq 0 ]; then return 0; fi
    type -P apt-get >/dev/null || fail "missing: $*; no apt-get here, so install them by hand"
    root true 2>/dev/null || fail "missing: $*; as root: apt-get install --no-install-recommends $*"
    mkdir -p .cache
    # one at a time: whoever ends first would take the policy away from the other
    (
        flock -w 900 8 || fail "another script has held .cache/packages.lock for 15 minutes"
        install_packages "$@" # in a subshell, so that its trap runs here and not at the end
    ) 8>.cache/packages.lock
    say "installed the packages $*"
}
