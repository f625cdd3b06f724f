# SPDX-License-Identifier: GPL-3.0-or-later
"""Saving conntrack tables that raw bpf(2) has filled, and inspecting the file."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from ansible_collections.bpfops.calico.plugins.module_utils import _errors as errors
from tests.kernel.flows import ESTABLISHED, NAT_REV, TCP, UDP, forward, key4, key6, value
from tests.kernel.snapshots import BOOT_ID, change, contents, snapshot
from tests.kernel.support import HASH, LRU_HASH, NO_PREALLOC, make, names
from tests.observe import rawbpf


@pytest.fixture
def tables(pins: Path) -> dict[str, dict[bytes, bytes]]:
    """300 entries of IPv4, so more than one block, and one of IPv6."""
    four, six = {}, {}
    for port in range(297):
        bits = ESTABLISHED if port % 3 else (1, 0)
        four[key4(TCP, "10.0.0.1", port, "10.0.0.2", 80)] = value(5, bits=bits)
    reverse = key4(UDP, "10.0.0.4", 3000, "10.0.0.5", 53)
    four[reverse] = value(100, NAT_REV)
    four[key4(UDP, "10.0.0.4", 3000, "10.96.0.10", 53)] = forward(reverse)
    four[key4(UDP, "10.0.0.4", 3001, "10.96.0.10", 53)] = forward(reverse)
    six[key6(TCP, "2001:db8::1", 1, "2001:db8::2", 2)] = value(5).ljust(128, b"\0")
    for name, sizes, entries in (("cali_v4_ct3", (16, 88), four), ("cali_v6_ct3", (40, 128), six)):
        fd = make(pins / name, HASH, 512, key=sizes[0], value=sizes[1], flags=NO_PREALLOC)
        for key, raw in entries.items():
            rawbpf.put(fd, key, raw)
        os.close(fd)
    return {"cali_v4_ct3": four, "cali_v6_ct3": six}


def test_saved_and_again(pins: Path, tables: dict[str, dict[bytes, bytes]], tmp_path: Path) -> None:
    path = tmp_path / "s"
    dry = snapshot("saved", path, pins, check=True)
    assert dry.facts["snapshot"] is None
    assert names(tmp_path) == []
    done = snapshot("saved", path, pins)
    what = "300 entries of cali_v4_ct3 and 1 entries of cali_v6_ct3"
    assert done.actions == dry.actions == (f"Save {what} to {path}",)
    assert contents(path) == tables
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert names(tmp_path) == ["lock", "s"]
    facts = done.facts["snapshot"]
    assert (facts["entries"], facts["bytes"]) == (301, path.stat().st_size)
    assert facts["same_boot"]
    assert facts["boot_id"] == Path("/proc/sys/kernel/random/boot_id").read_text().strip().replace(
        "-", ""
    )
    before = path.read_bytes()
    again = snapshot("saved", path, pins)
    assert again.actions == ()
    assert again.before == again.after
    assert "s ago and is kept" in again.warnings[0]
    assert path.read_bytes() == before


def test_overwrite_takes_a_new_one(
    pins: Path, tables: dict[str, dict[bytes, bytes]], tmp_path: Path
) -> None:
    path = tmp_path / "s"
    snapshot("saved", path, pins)
    fd = rawbpf.open_pinned(str(pins / "cali_v6_ct3"))
    (key,) = tables["cali_v6_ct3"]
    rawbpf.delete(fd, key)
    os.close(fd)
    done = snapshot("saved", path, pins, overwrite=True)
    assert len(done.actions) == 1
    assert contents(path)["cali_v6_ct3"] == {}


def test_one_family(pins: Path, tables: dict[str, dict[bytes, bytes]], tmp_path: Path) -> None:
    path = tmp_path / "s"
    snapshot("saved", path, pins, families=["ipv6"])
    assert contents(path) == {"cali_v6_ct3": tables["cali_v6_ct3"]}
    with pytest.raises(errors.BadInputError, match=r"without cali_v4_ct3; overwrite=true replaces"):
        snapshot("saved", path, pins)
    assert snapshot("saved", path, pins, families=["ipv6"]).actions == ()


def test_all_versions_that_are_pinned(pins: Path, tmp_path: Path) -> None:
    for name, kind, flags in (("cali_v4_ct3", HASH, NO_PREALLOC), ("cali_v4_ct4", LRU_HASH, 0)):
        os.close(make(pins / name, kind, 512, key=16, value=88, flags=flags))
    snapshot("saved", tmp_path / "s", pins)
    assert contents(tmp_path / "s") == {"cali_v4_ct3": {}, "cali_v4_ct4": {}}


def test_inspected(pins: Path, tables: dict[str, dict[bytes, bytes]], tmp_path: Path) -> None:
    path = tmp_path / "s"
    snapshot("saved", path, pins, calico_version="v3.29.7")
    for name in tables:
        (pins / name).unlink()
    found = snapshot("inspected", path, pins)
    assert found.actions == ()
    assert found.facts["snapshot"]["release"] == ">=3.29.7,<3.29.8"
    assert [one["name"] for one in found.facts["snapshot"]["tables"]] == list(tables)
    four, six = found.facts["totals"]
    assert four["by_protocol"] == {"tcp": 297, "udp": 3}
    assert four["by_type"] == {"NAT_FWD": 2, "NAT_REV": 1, "NORMAL": 297}
    assert four["by_tcp_state"] == {"ESTABLISHED": 198, "SYN_SENT": 99}
    idle = {one["below_seconds"]: one["entries"] for one in four["idle"] if one["entries"]}
    assert idle == {1: 2, 10: 297, 300: 1}
    assert six["by_type"] == {"NORMAL": 1}
    (six,) = snapshot("inspected", path, pins, families=["ipv6"]).facts["totals"]
    assert six["name"] == "cali_v6_ct3"


def test_a_snapshot_of_another_boot_is_not_taken_for_this_one(
    pins: Path, tables: dict[str, dict[bytes, bytes]], tmp_path: Path
) -> None:
    path = tmp_path / "s"
    snapshot("saved", path, pins)
    change(path, BOOT_ID, b"\x01" * 16)
    with pytest.raises(errors.BadInputError, match=r"another boot, saved on .*; overwrite=true"):
        snapshot("saved", path, pins)
    found = snapshot("inspected", path, pins).facts["snapshot"]
    assert (found["same_boot"], found["age_seconds"]) == (False, None)
    snapshot("saved", path, pins, overwrite=True)
    assert contents(path) == tables


PEAK = """
import resource, sys
from pathlib import Path
import tests.conftest
from tests.kernel.snapshots import snapshot
state, path, pins = sys.argv[1:]
snapshot("saved", Path(path), Path(pins), families=["ipv6"])  # all code is in memory
snapshot(state, Path(path).with_suffix(".big"), Path(pins), families=["ipv4"])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def peak_kib(state: str, path: Path, pins: Path) -> int:
    command = [sys.executable, "-c", PEAK, state, str(path), str(pins)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    answer = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return int(answer.stdout)


def fill_fast(path: Path, count: int) -> None:
    """Distinct TCP flows, seen just now: one raw batch call for each 10,000."""
    fd = rawbpf.open_pinned(str(path))
    raw = value(0, bits=ESTABLISHED)
    for first in range(0, count, 10_000):
        keys = b"".join(
            key4(TCP, "10.0.0.1", n & 0xFFFF, "10.1.0.0", n >> 16)
            for n in range(first, first + 10_000)
        )
        rawbpf.put_batch(fd, keys, raw * 10_000, 10_000)
    os.close(fd)


def make_tables(place: Path) -> None:
    """Empty tables in the place of those before."""
    for name, key, size in (("cali_v4_ct3", 16, 88), ("cali_v6_ct3", 40, 128)):
        (place / name).unlink(missing_ok=True)
        os.close(make(place / name, HASH, 520_000, key=key, value=size, flags=NO_PREALLOC))


@pytest.mark.scale
@pytest.mark.parametrize(
    ("states", "large"), [(("saved", "inspected"), 500_000), (("saved", "restored"), 100_000)]
)
def test_memory_stays_flat(pins: Path, tmp_path: Path, states: tuple[str, ...], large: int) -> None:
    peaks: dict[str, list[int]] = {state: [] for state in states}
    for count in (10_000, large):
        make_tables(pins)
        fill_fast(pins / "cali_v4_ct3", count)
        for state, found in peaks.items():
            if state == "restored":
                make_tables(pins)
            found.append(peak_kib(state, tmp_path / f"{count}", pins))
    make_tables(pins)
    assert (tmp_path / f"{large}.big").stat().st_size > 104 * large
    for state, (less, more) in peaks.items():
        assert more - less < 3 * 1024, f"{state}: {less} and {more} KiB"
