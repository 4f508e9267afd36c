"""Write what an image holds as two root folders: Python with the packages, and our code.

Runs in the build stage, under the Python of the environment that it copies. Of the base come the interpreter, its
standard library, the shared libraries that something here links to, and the certificates: no shell, no package
manager. Whatever stands in a package for other compilers or its own tests is left out.

Bytecode is written for the modules that a start imports, and is never compared with its source: files have new times
in the image, and a root that cannot be written would have Python compile them at each start.
"""

from __future__ import annotations

import argparse
import os
import py_compile
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

PACKAGES, CODE = "root-of-packages", "root-of-code"

LEFT_OUT = [
    re.compile(
        r"""
      /__pycache__$ | \.(pyx|pxd|pxi|pyi|h|hpp|c|cc|cpp|a)$
    | /(numpy|pyarrow|sklearn|scipy|pandas|matplotlib|certifi)/(.*/)?tests$
    | /pyarrow/(include|src)$
    | /pyarrow/libarrow(_python)?_flight\.so | /pyarrow/_(flight|pyarrow_cpp_tests)\.
    | /pyarrow/libarrow_python\w*\.so(\.\d+\.\d+\.\d+)?$   # the same file under names that nothing links to
    | ^/usr/share/zoneinfo/(posix|right)$
    | /onnxruntime/capi/libonnxruntime\.so       # for programs in C: Python's module has it inside
    | /onnxruntime/(transformers|tools|quantization|datasets)$
    | ^/opt/slipway/bin/uvx?$                    # makes environments, and nothing in an image asks for one
    | ^/usr/(local/)?lib/python3\.\d+/(test|idlelib|tkinter|turtledemo|ensurepip|lib2to3|config-3[^/]*)$
    | ^/usr/(local/)?lib/python3\.\d+/(site|dist)-packages$
    | /lib-dynload/(_dbm|_gdbm|_curses|_curses_panel|nis|readline|_tkinter|_test\w*|_?xx\w*)\.
    """,
        re.VERBOSE,
    )
]
"""Paths that an image is better off without."""

FOR_JOBS = re.compile(r"/pyarrow/(libarrow_s3\.so|_s3fs\.)|/numpy/(f2py|distutils)$")
"""Arrow's own client of S3, and what SciPy imports of NumPy: the server knows nothing of either."""

OF_THE_BASE = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/usr/share/zoneinfo",
    "/etc/os-release",
    "/usr/lib/os-release",
)
USER = "slipway:x:10001:10001::/tmp:/nonexistent\n"


def main() -> None:
    """Write both folders."""
    line = argparse.ArgumentParser(description=__doc__)
    line.add_argument("--imports", type=Path, required=True, help="names of modules that a start imports")
    line.add_argument("--code", type=Path, required=True, help="the folder of our packages")
    line.add_argument("--to", type=Path, required=True, help="where the two folders are made")
    line.add_argument("--for-server", action="store_true", help="leave out what jobs alone need")
    given = line.parse_args()
    if given.for_server:
        LEFT_OUT.append(FOR_JOBS)
    packages, code = given.to / PACKAGES, given.to / CODE
    copy(Path(sys.prefix), packages)
    copy_python(packages)
    for path in map(Path, OF_THE_BASE):
        copy(path, packages)
    copy_libraries(packages)
    write_user(packages)
    home = Path(sysconfig.get_path("purelib"))
    for package in sorted(given.code.iterdir()):
        copy(package, code, there=home / package.name)
        copy(package, Path("/"), there=home / package.name)
    compile_imported(given.imports.read_text().split(), [packages, code])
    for root in (packages, code):
        settle_modes(root)


def copy(path: Path, root: Path, there: Path | None = None) -> None:
    """Copy a file, link or folder to the same place below another root, or to another place there."""
    to = below(root, there or path)
    if path.is_dir() and not path.is_symlink():
        shutil.copytree(path, to, symlinks=True, ignore=left_out, copy_function=linked, dirs_exist_ok=True)
    elif path.exists() and not os.path.lexists(to):  # a library is reached by several
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, to, follow_symlinks=False)


def linked(source: str | os.PathLike[str], to: str) -> None:
    """Link a file, which costs nothing; copy it where that cannot be, as from another layer."""
    try:
        os.link(source, to)
    except OSError:
        shutil.copy2(source, to)


def below(root: Path, path: Path) -> Path:
    """Return a path's place below a root, links of the base among its folders resolved: /lib is /usr/lib there."""
    return root / (path.parent.resolve() / path.name).relative_to("/")


def left_out(folder: str, names: list[str]) -> list[str]:
    """Return the names in a folder that are not copied."""
    return [name for name in names if any(each.search(f"{folder}/{name}") for each in LEFT_OUT)]


def copy_python(root: Path) -> None:
    """Copy the interpreter that the environment points to, and its standard library."""
    python = Path(sys.executable)
    while python.is_symlink():
        copy(python, root)
        python = python.parent / python.readlink()
    copy(python, root)
    copy(Path(sysconfig.get_path("stdlib")), root)
    for link in ("/bin", "/lib", "/lib64"):
        if Path(link).is_symlink():
            (root / link[1:]).symlink_to(Path(link).readlink())


def copy_libraries(root: Path) -> None:
    """Copy the base's shared libraries that binaries below a root link to, under each of their names."""
    wanted, binaries = set(), list(binaries_in(root))
    here = {
        path.name for path in binaries
    }  # a package's own libraries find each other once one of them is loaded
    for binary in binaries:
        said = subprocess.run(["ldd", binary], capture_output=True, text=True, check=False).stdout
        absent = set(re.findall(r"(\S+) => not found", said)) - here
        if absent:
            sys.exit(f"{binary} needs {', '.join(absent)}: take a BASE that has it")
        wanted |= {Path(found) for found in re.findall(r"(/\S+) \(0x", said)}
    for library in sorted(wanted):
        if library.is_relative_to(sys.prefix) or root in library.parents:
            continue
        copy(library, root)
        copy(library.resolve(), root)


def binaries_in(root: Path) -> Iterator[Path]:
    """Give the files that the linker loads."""
    for path in sorted(root.rglob("*")):
        if path.is_file() and not path.is_symlink():
            with path.open("rb") as file:
                if file.read(4) == b"\x7fELF":
                    yield path


def write_user(root: Path) -> None:
    """Name the user: some libraries ask who runs them."""
    (root / "etc").mkdir(exist_ok=True)
    (root / "etc" / "passwd").write_text(f"root:x:0:0::/root:/nonexistent\n{USER}")
    (root / "etc" / "group").write_text("root:x:0:\nslipway:x:10001:\n")
    (root / "tmp").mkdir(exist_ok=True)


def compile_imported(names: list[str], roots: list[Path]) -> None:
    """Write the bytecode of what these modules import, under the paths that the files will have."""
    words = f"import sys, {', '.join(names)}\nfor m in list(sys.modules.values()): print(getattr(m, '__file__', ''))"
    said = subprocess.run([sys.executable, "-c", words], stdout=subprocess.PIPE, text=True, check=True).stdout
    for path in sorted({line for line in said.splitlines() if line.endswith(".py")}):
        for root in roots:
            copied = below(root, Path(path))
            if copied.is_file():
                py_compile.compile(
                    str(copied),
                    dfile=path,
                    doraise=True,
                    invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
                )


def settle_modes(root: Path) -> None:
    """Let everybody read and nobody write, whatever the checkout's umask was; /tmp is everybody's."""
    for path in (root, *root.rglob("*")):
        if not path.is_symlink():
            may_run = path.is_dir() or path.stat().st_mode & 0o100
            path.chmod(0o755 if may_run else 0o644)
    if (root / "tmp").is_dir():
        (root / "tmp").chmod(0o1777)


if __name__ == "__main__":
    os.umask(0o022)
    main()
