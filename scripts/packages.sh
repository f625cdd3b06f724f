# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash
# Sourced after lib.sh, by what installs Debian packages.

POLICY=/usr/sbin/policy-rc.d

# Show the output only of what failed.
quietly() {
    mkdir -p -- "$BUILD"
    "$@" </dev/null >"$BUILD/apt.log" 2>&1 && return
    cat -- "$BUILD/apt.log" >&2
    die "failed: $*"
}

# No service may start, or stay enabled, because it came along with a package.
install_packages() {
    local made_policy='' had_sshd=''
    command -v sshd >/dev/null && had_sshd=yes
    if [ ! -e "$POLICY" ]; then
        made_policy=yes
        trap 'rm -f "$POLICY"' EXIT
        printf '#!/bin/sh\nexit 101\n' >"$POLICY"
        chmod 755 "$POLICY"
    fi
    say "Installing by apt: $*"
    quietly env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install \
        --yes --quiet --no-install-recommends -- "$@"
    if [ -n "$made_policy" ]; then
        rm -f "$POLICY"
        trap - EXIT
    fi
    if [ -z "$had_sshd" ] && command -v systemctl >/dev/null; then
        systemctl --quiet disable ssh.service ssh.socket 2>/dev/null || true
    fi
}

refresh_lists() {
    say "Reading apt's package lists"
    quietly apt-get -o DPkg::Lock::Timeout=300 --quiet update
}
