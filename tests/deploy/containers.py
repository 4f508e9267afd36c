"""Images built and run for real without a daemon: buildah builds, crun runs, Debian's packages are the base.

The machine's own network is the container's. Its root cannot be written, its first process is the image's, and it is
the user that the image names.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from tests.conftest import ROOT, missing_part

TOOLS = ("buildah", "crun", "mmdebstrap", "unshare")
BASE = "localhost/base"
OF_THE_BASE = (
    *(
        "base-files",
        "base-passwd",
        "bash",
        "dash",
        "coreutils",
        "libc-bin",
        "libstdc++6",
        "libgomp1",
        "tzdata",
    ),
    *("python3", "python3-venv", "usr-is-merged"),
)
"""Debian's packages that the build stages need; unpacked, never set up, which saves a minute."""
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
PLATFORMS = tuple(f"manylinux{glibc}_x86_64" for glibc in ("2014", "_2_17", "_2_27", "_2_28"))
AS_IT_IS = (
    "umount -R /sys/fs/cgroup; mount -t cgroup2 none /sys/fs/cgroup; exec crun --cgroup-manager=disabled "
)
"""crun sees a tree of control groups of its own, and uses none."""


@dataclass(frozen=True)
class Builder:
    """A store of images of our own, below one folder."""

    folder: Path

    def run(self, *words: str, seconds: float = 400) -> str:
        """Run a command that finds this store alone; return what it says."""
        settings = self.folder / "storage.conf"
        driver = os.environ.get("STORAGE_DRIVER", "overlay")
        settings.write_text(
            f'[storage]\ndriver = "{driver}"\ngraphroot = "{self.folder}/images"\nrunroot = "{self.folder}/run"\n'
        )
        environment = {
            **os.environ,
            "CONTAINERS_STORAGE_CONF": str(settings),
            "BUILDAH_ISOLATION": "chroot",
        }
        done = subprocess.run(
            words, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=seconds, check=False
        )
        assert done.returncode == 0, f"{' '.join(words)}\n{done.stdout[-1500:]}\n{done.stderr[-3000:]}"
        return done.stdout

    def make_base(self) -> None:
        """Make an image of Debian with its Python."""
        tar = self.folder / "base.tar"
        words = [
            "mmdebstrap",
            "--quiet",
            "--variant=extract",
            f"--include={','.join(OF_THE_BASE)}",
            "bookworm",
        ]
        self.run(*words, str(tar))
        made = self.run("buildah", "from", "scratch").strip()
        self.run("buildah", "add", "--quiet", made, str(tar), "/")
        self.run("buildah", "add", "--quiet", made, str(CERTIFICATES), "/etc/ssl/certs/")
        self.run("buildah", "commit", "--quiet", made, BASE)
        self.run("buildah", "rm", made)
        tar.unlink()

    def wheels(self, image: str, python: Path) -> Path:
        """Fetch the packages of an image as this machine's pip does: what runs in a build has no such settings.

        All images' lie together: what two of them hold is fetched once.
        """
        folder = self.folder / "wheels"
        words = [
            "-m",
            "pip",
            "download",
            "--quiet",
            "--require-hashes",
            "--no-deps",
            "--only-binary",
            ":all:",
        ]
        for platform in PLATFORMS:
            words += ["--platform", platform]
        words += ["--python-version", "3.11", "--dest", str(folder)]
        self.run(str(python), *words, "--requirement", f"deploy/images/{image}.txt")
        return folder

    def build(self, image: str, tag: str, wheels: Path) -> Image:
        """Build an image as `make image` does, from the base and the wheels that are here."""
        options = ["--no-cache", "--build-arg", f"BASE={BASE}", "--volume", f"{wheels}:/wheels:ro"]
        options += ["--build-arg", "PIP_NO_INDEX=1", "--build-arg", "PIP_FIND_LINKS=/wheels"]
        self.run("deploy/images/build", image, tag, *options)
        return Image(self, tag)

    def clear(self) -> None:
        """Give back the gigabytes."""
        with suppress(AssertionError):
            self.run("buildah", "rm", "--all")  # takes their mounts away
        shutil.rmtree(self.folder, ignore_errors=True)


@dataclass(frozen=True)
class Image:
    """An image in the store."""

    builder: Builder
    tag: str

    @cached_property
    def described(self) -> dict[str, Any]:
        """What the image says of itself, in OCI's form."""
        said = json.loads(self.builder.run("buildah", "inspect", "--type", "image", self.tag))
        described: dict[str, Any] = said["OCIv1"]
        return described

    @cached_property
    def root(self) -> Path:
        """Its files, unpacked."""
        made = self.builder.run("buildah", "from", "--pull-never", self.tag).strip()
        root = Path(self.builder.run("buildah", "mount", made).strip())
        assert root.is_relative_to(self.builder.folder), root
        return root

    @property
    def layers(self) -> list[str]:
        """The digests of its layers."""
        return list(self.described["rootfs"]["diff_ids"])

    @contextmanager
    def run(
        self,
        *words: str,
        folder: Path,
        mounts: Sequence[tuple[Path, str]] = (),
        entrypoint: Sequence[str] = (),
        **environment: str,
    ) -> Iterator[Container]:
        """Run its program with some words until the block ends, on a root that cannot be written.

        Parameters
        ----------
        folder : Path
            For what crun needs; made.
        mounts : pairs of a path here and one there
            All that is not in the image; what is here may be written where the user may.
        """
        folder.mkdir()
        said = self.described["config"]
        spec = _spec(folder)
        user, group = map(int, said["User"].split(":"))
        spec["process"] |= {
            "terminal": False,
            "user": {"uid": user, "gid": group},
            "args": [*(entrypoint or said["Entrypoint"]), *words],
            "env": [*said["Env"], *(f"{name}={value}" for name, value in environment.items())],
            "cwd": said["WorkingDir"],
            "noNewPrivileges": True,
        }
        spec["process"].pop("rlimits", None)  # setting them takes a right that not every machine gives
        spec["process"]["capabilities"] = {}
        spec["root"] = {"path": str(self.root), "readonly": True}
        spec["linux"].pop("resources", None)
        spec["linux"]["namespaces"] = [
            each for each in spec["linux"]["namespaces"] if each["type"] not in ("network", "cgroup")
        ]
        spec["mounts"] = [each for each in spec["mounts"] if each["destination"] != "/sys/fs/cgroup"]
        spec["mounts"] += [
            {"destination": there, "type": "bind", "source": str(here), "options": ["rbind", "rw"]}
            for here, there in mounts
        ]
        (folder / "config.json").write_text(json.dumps(spec))
        name = f"slipway-{os.getpid()}-{folder.name}"
        pid = folder / "pid"
        with (folder / "said").open("w") as log:
            process = subprocess.Popen(
                ["unshare", "-m", "sh", "-c", f"{AS_IT_IS} run --pid-file {pid} --bundle {folder} {name}"],
                stdout=log,
                stderr=subprocess.STDOUT,
            )
            container = Container(process, folder)
            try:
                yield container
            finally:
                if process.poll() is None:
                    with suppress(ProcessLookupError, AssertionError):
                        container.signal(signal.SIGKILL)
                process.wait(20)


def _spec(folder: Path) -> dict[str, Any]:
    """Return crun's own description of a container."""
    subprocess.run(["crun", "spec"], cwd=folder, check=True)
    spec: dict[str, Any] = json.loads((folder / "config.json").read_text())
    return spec


@dataclass(frozen=True)
class Container:
    """What runs."""

    process: subprocess.Popen[Any]
    folder: Path

    @property
    def said(self) -> str:
        """All that it printed."""
        return (self.folder / "said").read_text()

    @property
    def pid(self) -> int:
        """Its first process, as this machine numbers it."""
        until = time.monotonic() + 20
        while time.monotonic() < until and self.process.poll() is None:
            with suppress(OSError, ValueError):
                return int((self.folder / "pid").read_text())
            time.sleep(0.005)
        raise AssertionError(self.said)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to its first process, which takes only what it has a handler for."""
        os.kill(self.pid, number)

    def wait(self, seconds: float = 60) -> int:
        """Return its exit code."""
        return self.process.wait(seconds)


def check_tools() -> None:
    """Skip, or fail in CI, where something that builds or runs is missing."""
    absent = [tool for tool in TOOLS if not shutil.which(tool)]
    if absent:
        missing_part(f"{', '.join(absent)} (apt-get install buildah crun mmdebstrap)")
    if os.geteuid() != 0:
        missing_part("root, who may mount the layers of an image")
