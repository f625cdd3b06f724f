# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash
# Sourced by the stages of the test run. A stage ends with 0 (passed), 77 (left out) or anything
# else (failed); what it leaves out, wholly or in part, it says by leave_out.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

LEFT_OUT=77
FAILED=0
export PATH="$VENV/bin:$PATH"
export PYTHONDONTWRITEBYTECODE=1
[ -t 1 ] || export NO_COLOR=1 ANSIBLE_NOCOLOR=1

leave_out() {
    if [ -n "${LEFT_OUT_FILE:-}" ]; then printf '%s\n' "$*" >>"$LEFT_OUT_FILE"; else say "left out: $*" >&2; fi
}

# skip_stage REASON: nothing of this stage can run here.
skip_stage() {
    leave_out "$*"
    exit "$LEFT_OUT"
}

# check COMMAND...: run it; a failure does not hide the checks after it.
check() {
    printf '+ %s\n' "$*"
    "$@" </dev/null || {
        printf '! failed (%s): %s\n' "$?" "$*"
        FAILED=1
    }
}

finish() { exit "$FAILED"; }

need_root() { [ "$(id -u)" -eq 0 ] || skip_stage "needs root"; }

# Creates and drops a map on a bpffs of its own, unseen by anyone else.
need_bpf() {
    local why
    # shellcheck disable=SC2016 # expanded by the inner shell
    why=$(unshare --mount sh -ec 'mount -t bpf bpf /mnt && bpftool map create /mnt/probe type hash key 4 value 4 entries 1 name probe' 2>&1) ||
        skip_stage "this kernel or container refuses BPF: ${why:-no reason given}"
}

need_lab() {
    need_root
    need_bpf
    unshare --net --mount --pid --fork --cgroup true 2>/dev/null ||
        skip_stage "this kernel or container refuses new namespaces"
}

# need_files DIRECTORY PATTERN: a stage without content has not passed.
need_files() {
    [ -n "$(find "$1" -name "$2" -print -quit 2>/dev/null)" ] || skip_stage "there is no $1/**/$2 yet"
}

lab() { "$VENV/bin/python" -m tests.lab "$@"; }
