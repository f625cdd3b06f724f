# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash
# Sourced by the other scripts: strict mode, the checkout as working directory, and small helpers.
# shellcheck disable=SC2034 # used by the scripts that source this
set -euo pipefail
# Programs that catch an interrupt and end by themselves must not keep a script going.
trap 'exit 130' INT TERM

ROOT=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
cd -- "$ROOT"
VENV=$ROOT/.venv
BUILD=$ROOT/.build
export PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"
# Ansible refuses to start where the locale is not UTF-8, as in a bare CI shell.
export LC_ALL=C.UTF-8 LANG=C.UTF-8
# The collection under test is the one that was built, and Ansible's own files stay in .build; but
# a socket's path must be short, however long the checkout's is.
export ANSIBLE_COLLECTIONS_PATH=$BUILD/collections
export ANSIBLE_HOME=$BUILD/ansible
export ANSIBLE_SSH_CONTROL_PATH_DIR=${HOME:-/root}/.ansible/cp

say() { printf '%s\n' "$*"; }

die() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
    exit 1
}

# hash_of FILE...: one hash over the content of the files.
hash_of() { cat -- "$@" | sha256sum | cut -c1-16; }

# Print each interpreter of Python VERSION that really starts (a version manager's shim may not),
# the system's own first.
interpreters() {
    local version=$1 dir
    local -a dirs
    IFS=: read -r -a dirs <<<"/usr/bin:/usr/local/bin:$PATH"
    for dir in "${dirs[@]}" "${HOME:-/root}"/.pyenv/versions/"$version".*/bin; do
        [ -x "$dir/python$version" ] || continue
        "$dir/python$version" -c 'import sys; print(sys.executable)' 2>/dev/null || true
    done
}

# first_interpreter VERSION...: the first one that can make a virtual environment.
first_interpreter() {
    local version python
    for version in "$@"; do
        while read -r python; do
            if "$python" -c 'import ensurepip, venv' 2>/dev/null; then
                printf '%s\n' "$python"
                return
            fi
        done < <(interpreters "$version")
    done
    return 1
}

# make_venv DIRECTORY PYTHON LOCK: does nothing when it is there, made here and from this lock.
# A link leads to the one of another checkout, which must not be emptied from here.
make_venv() {
    local venv=$1 python=$2 lock=$3 stamp
    [ ! -L "$venv" ] || return 0
    stamp="$venv $(hash_of "$lock") $("$python" -V)"
    [ "$(cat "$venv/.stamp" 2>/dev/null)" != "$stamp" ] || return 0
    say "Making ${venv#"$ROOT/"} from ${lock#"$ROOT/"} with $("$python" -V) ($python)"
    "$python" -m venv --clear "$venv"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check \
        --require-hashes --only-binary :all: --requirement "$lock"
    printf '%s' "$stamp" >"$venv/.stamp"
}
