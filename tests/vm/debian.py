# SPDX-License-Identifier: GPL-3.0-or-later
"""Debian's kernels, fetched by an apt of our own, which leaves the machine's sources alone."""

from __future__ import annotations

import lzma
import platform
import re
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from tests.vm.command import UnavailableError, run

MODULES = ("veth", "sch_ingress", "cls_bpf")
"""What the tests need and the cloud flavour of Debian's kernels does not have built in."""

_PARTS = re.compile(r"linux-(image|binary|modules)-\d\S*")
_KEYRINGS = Path("/usr/share/keyrings")


class Kernel(NamedTuple):
    """A kernel ready to boot; ``modules`` are to be loaded in this order."""

    version: str
    image: Path
    modules: tuple[Path, ...]


class Archive:
    """One suite of Debian, with lists and downloads of its own in ``place``."""

    def __init__(self, suite: str, place: Path) -> None:
        self._suite = suite
        self._place = place
        settings = {
            "Dir::State": place,
            "Dir::State::lists": place / "lists",
            "Dir::State::status": place / "status",
            "Dir::Cache": place / "cache",
            "Dir::Etc::sourcelist": place / "sources.list",
            "Dir::Etc::sourceparts": "-",
            "APT::Update::Error-Mode": "any",  # no old lists in silence
            "APT::Sandbox::User": "root",  # another user may not reach the checkout
            "Acquire::Check-Valid-Until": "false",  # suites that are no longer renewed
            "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled": "false",
            "Acquire::Languages": "none",
            "Acquire::Retries": "2",
            "Acquire::http::Timeout": "20",
        }
        self._options = [f"--option={name}={value}" for name, value in settings.items()]

    def update(self) -> None:
        """Read the package lists. Raises UnavailableError."""
        (self._place / "lists/partial").mkdir(parents=True, exist_ok=True)
        (self._place / "cache/archives/partial").mkdir(parents=True, exist_ok=True)
        (self._place / "status").touch()
        keyring = next(iter(sorted(_KEYRINGS.glob("debian-archive-keyring.*"))), None)
        option = f"[signed-by={keyring}] " if keyring else ""
        source = f"deb {option}{_mirror(self._suite)} {self._suite} main\n"
        (self._place / "sources.list").write_text(source)
        run("apt-get", *self._options, "--quiet", "update")

    def parts(self, package: str) -> list[str]:
        """The packages that hold the kernel which ``package`` depends on. Raises UnavailableError.

        One up to Linux 6.18; image and modules are two from 6.19 on.
        """
        told = run("apt-cache", *self._options, "depends", "--recurse", "--important", package)
        return sorted({word for word in told.split() if _PARTS.fullmatch(word)})

    def version(self, package: str) -> str:
        """The version that ``unpack`` would fetch. Raises UnavailableError."""
        told = run("apt-cache", *self._options, "show", "--no-all-versions", package)
        return next(line.split()[1] for line in told.splitlines() if line.startswith("Version:"))

    def unpack(self, packages: list[str], place: Path) -> None:
        """Fetch packages and unpack them into ``place``. Raises UnavailableError."""
        run("apt-get", *self._options, "--quiet", "download", *packages, cwd=place)
        for package in place.glob("*.deb"):
            run("dpkg-deb", "--extract", str(package), str(place))


def _mirror(suite: str) -> str:
    """Where this machine's own apt gets Debian from."""
    system = platform.freedesktop_os_release()
    release = system.get("VERSION_CODENAME", "sid")
    if suite.endswith("-security"):
        release += "-security"
    listed = run("apt-get", "indextargets", "--format", "$(RELEASE) $(COMPONENT) $(REPO_URI)")
    for line in listed.splitlines():
        if system.get("ID") == "debian" and line.startswith(f"{release} main "):
            return line.split(" ", 2)[2]
    raise UnavailableError(f"this machine's apt names no mirror of Debian for {release}")


def fetch(suite: str, architecture: str, place: Path) -> Kernel:
    """The kernel of a suite, kept in ``place`` for the next time and for when there is no network.

    Raises UnavailableError.
    """
    archive = Archive(suite, place)
    try:
        archive.update()
    except UnavailableError:
        for ready in place.glob("kernels/*"):
            return _kernel(ready)
        raise
    parts = archive.parts(f"linux-image-cloud-{architecture}")
    if not parts:
        raise UnavailableError(f"{suite} has no kernel linux-image-cloud-{architecture}")
    ready = place / "kernels" / archive.version(parts[0])
    if not ready.exists():
        shutil.rmtree(ready.parent, ignore_errors=True)
        ready.parent.mkdir()
        with TemporaryDirectory(dir=place) as scratch:
            archive.unpack(parts, Path(scratch))
            _take(Path(scratch), Path(scratch, "ready"))
            Path(scratch, "ready").rename(ready)
    return _kernel(ready)


def _kernel(ready: Path) -> Kernel:
    return Kernel(ready.name, ready / "vmlinuz", tuple(sorted(ready.glob("*.ko"))))


def _take(root: Path, ready: Path) -> None:
    """Of an unpacked kernel, what is needed: the image, and the modules in their order."""
    ready.mkdir()
    if not (root / "lib").exists():
        (root / "lib").symlink_to("usr/lib")
    images = [*root.glob("boot/vmlinuz-*"), *root.glob("lib/modules/*/vmlinuz")]
    (modules,) = root.glob("lib/modules/*")
    if not images:
        raise UnavailableError(f"the packages of {modules.name} have no vmlinuz")
    shutil.copyfile(images[0], ready / "vmlinuz")
    run("depmod", "--basedir", str(root), modules.name)
    options = ["--dirname", str(root), "--set-version", modules.name]
    shown = run("modprobe", *options, "--show-depends", "--all", *MODULES)
    files = [line.split()[1] for line in shown.splitlines() if line.startswith("insmod ")]
    for number, file in enumerate(dict.fromkeys(files)):
        content = Path(file).read_bytes()
        if file.endswith(".xz"):
            content = lzma.decompress(content)
        name = Path(file).name.partition(".")[0]
        (ready / f"{number:02}-{name}.ko").write_bytes(content)
