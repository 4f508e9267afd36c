"""What holds the house together: import arrows, pins, entry points, help texts."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from collections import Counter
from functools import cache
from pathlib import Path

import pytest
import yaml

from tests.conftest import ROOT
from tests.imports import Import, cycle_in, imports_of, late_names_of, names_of, tree_of

PACKAGES = ("data", "serving", "training", "slipway")
ALLOWED = {package: set(PACKAGES[: place + 1]) for place, package in enumerate(PACKAGES)}
MLFLOW_MODULES = {
    "training/records/inserts.py",
    "training/records/tracking.py",
    "training/records/runs/experiments.py",
    "training/records/registry/model_registry.py",
    "training/records/registry/model_pages.py",
    "training/records/registry/ledger.py",
    "training/records/registry/copies.py",
    "training/records/watch_run.py",
    "training/records/runs/views.py",
    "training/versions/flavor.py",
    "training/versions/stock.py",
    "serving/registry/given_run.py",
    "serving/fleet/standing.py",
    "serving/registry/answers.py",
    "serving/registry/downloads.py",
    "serving/runtimes/model_processes/pyfunc_process.py",
}

FLOORS = {
    "data": (
        *(
            "redaction",
            "spreadsheets",
            "own_files",
            "long_arrays",
            "faces",
            "facts",
            "errors",
            "figures",
            "column_names",
            "cells",
            "schema",
        ),
        *("cell_values", "workers"),
        *("captures", "labels"),
        *("text", "sources", "tables", "splits", "checks", "contracts", "samples", "__main__"),
    ),
    "serving": (
        *(
            "errors",
            "settings",
            "running",
            "scorer",
            "rows",
            "protocols",
            "openapi",
            "page",
            "runtimes",
            "access",
            "front",
        ),
        *(
            "signatures",
            "registry",
            "worker",
            "fleet",
            "options",
            "fetch",
            "batch",
            "spark",
            "tryout",
            "__main__",
        ),
    ),
    "training": (
        *(
            "errors",
            "weights",
            "transformers",
            "lightgbm_text",
            "console",
            "time_budget",
            "signing",
            "commands",
        ),
        *("compiling", "models", "search", "archive", "captures", "versions", "records", "rows", "measuring"),
        *(
            "monitoring",
            "arrivals",
            "gate",
            "pages",
            "challenger",
            "succession",
            "lessons",
            "retraining",
            "jobs",
        ),
        "__main__",
    ),
    "slipway": ("errors", "given", "asking", "teaching", "__main__"),
}
"""Of a package's modules and folders: each imports from those before it alone."""

SITTING = 1_200
"""Lines that one reader holds in one sitting."""

LONGER: dict[str, tuple[int, str]] = {}
"""Folders that may have more lines, how many, and why."""

FACED = ("data", "serving", "training")
"""Packages whose folders are entered by what their `__init__` offers."""

DOORLESS = (
    *(
        "data.redaction",
        "data.spreadsheets",
        "data.faces",
        "data.facts",
        "data.errors",
        "data.figures",
    ),
    *(
        "data.column_names",
        "data.schema",
        "data.cell_values",
        "serving.errors",
        "serving.settings",
        "serving.running",
    ),
)
"""Single modules at the bottom, which everyone may import."""

COMMANDS = (
    "serving.__main__",
    "serving.batch.__main__",
    "training.__main__",
    "training.console.progress",
    "training.console.startup",
    "training.signing",
)
"""What runs a command, and what a process is prepared with: `slipway` does both."""

ALSO_FOR_TRAINING = {
    ("training.jobs.champions.clocks", "serving.registry"): "compares the times of the ledger's entries",
    (
        "training.jobs.champions.history",
        "serving.registry",
    ): "reads the ledger's entries, until records/ has them",
    (
        "training.records.registry.ledger",
        "serving.registry",
    ): "writes the entries that the server reads, until records/ has them",
    ("training.challenger.judging", "serving.registry"): "names an entry's kind, until records/ has it",
    (
        "training.__main__",
        "serving.registry",
    ): "closes the run that `mlflow run` gave it, as `serving.batch` does",
    ("training.records.runs.experiments", "serving.registry"): "tells that run what stands for it",
    (
        "training.records.registry.ledger",
        "serving.registry.errors",
    ): "says in training's words what the registry's reader raised",
    ("training.signing", "serving.signatures"): "signs in the form that servers verify",
    ("training.records.registry.signatures", "serving.signatures"): "keeps and checks what was signed",
    ("training.records.registry.signatures", "serving.errors"): "says in training's words what was not",
    ("training.records.registry.copies", "serving.registry"): "knows the entry that a copy comes with",
    ("training.records.registry.copies", "serving.signatures"): "keeps the signature that a copy comes with",
    (
        "training.jobs.handover.copy",
        "serving.registry",
    ): "asks the ledger which entry made a version champion",
    (
        "training.jobs.handover.sign",
        "serving.registry",
    ): "asks the ledger which entry made a version champion",
    ("training.gate.proof", "serving.running"): "starts a real server",
    ("training.gate.proof", "serving.errors"): "says in training's words that it did not get ready",
    ("training.rows.known.kept_split", "serving.errors"): "catches what reading a registered scorer raises",
    (
        "training.records.registry.model_registry",
        "serving.errors",
    ): "catches what reading a registered scorer raises",
    ("training.compiling.reasons.reason_file", "serving.scorer.reasons"): "writes the file that explains",
    (
        "training.rows.known.known_rows",
        "serving.rows",
    ): "packs raw rows as the server does, to compare the two",
}
"""What training imports beside the face of `serving.scorer`, and why."""


ALSO_FOR_USERS = {"Model"}
"""Classes of `slipway` that are called as the server's are: users see the one, and we the other."""


def modules() -> list[Path]:
    """All modules of the three packages."""
    return sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def imported(path: Path, *, at_run_time: bool = True) -> set[str]:
    """The top-level names that a module imports, wherever in it; type-only imports may be left out."""
    tree = tree_of(path)
    typing_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    found: set[str] = set()
    for node in ast.walk(tree):
        if at_run_time and id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide the arrow"
            found.add(str(node.module).split(".")[0])
    return found


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_run_one_way(path: Path) -> None:
    """Training -> serving -> data: serving can be read, and installed, without training."""
    ours = imported(path, at_run_time=False) & set(PACKAGES)
    assert ours <= ALLOWED[path.relative_to(ROOT).parts[0]]


@cache
def within(package: str) -> list[Import]:
    """The imports among one package's modules."""
    return imports_of(ROOT, package, into=package)


def floor_of(module: str) -> int:
    """How far up in its package a module stands; the package's own face stands above all."""
    package, *names = module.split(".")
    return FLOORS[package].index(names[0]) if names else len(FLOORS[package])


@cache
def rooms(package: str) -> list[str]:
    """The folders of a package."""
    paths = sorted((ROOT / package).rglob("__init__.py"))
    return [".".join(path.relative_to(ROOT).parent.parts) for path in paths if path.parent.name != package]


def by_the_door(each: Import) -> bool:
    """Whether it takes what a folder offers, or stays within its own folder and those around it."""
    package = each.source.partition(".")[0]
    if each.source.endswith(".errors"):  # errors are part of every face
        return True
    if each.by.startswith("slipway.") and each.source in COMMANDS:
        return True
    if each.source in (package, *DOORLESS):
        return each.target in (*DOORLESS, *rooms(package))
    room = each.source if each.source in rooms(package) else each.source.rpartition(".")[0]
    is_offered = each.source == room and each.name in names_of(ROOT, room)
    return is_offered or f"{each.by}.".startswith(f"{room}.")


@pytest.mark.parametrize("package", FLOORS)
def test_inside_a_package_imports_run_one_way_too(package: str) -> None:
    """The contract with training knows no requests, a protocol no sockets, a cell no table."""
    upwards = [each for each in within(package) if floor_of(each.by) < floor_of(each.target)]
    assert not upwards


@pytest.mark.parametrize("package", FLOORS)
def test_every_module_and_folder_has_a_floor(package: str) -> None:
    """A new one is put in its place, and one that went leaves no name behind."""
    stand = {path.stem for path in (ROOT / package).iterdir() if path.suffix == ".py"} - {"__init__"}
    folders = {room.split(".")[1] for room in rooms(package)}
    assert sorted(FLOORS[package]) == sorted(stand | folders)


@pytest.mark.parametrize("package", FACED)
def test_a_folder_is_entered_by_its_face(package: str) -> None:
    """What is behind it can be changed by who has read that folder alone."""
    entered = [each for other in PACKAGES for each in imports_of(ROOT, other, into=package)]
    assert not [each for each in entered if not by_the_door(each)]


def test_neither_door_of_a_worker_knows_the_other() -> None:
    """HTTP and gRPC share what stands behind both: either can be read, or left out, without the other."""
    http = ("serving.front.app", "serving.front.routes", "serving.front.questions")
    doors = ("serving.front.rpc", http)
    crossing = [
        each
        for one, other in (doors, doors[::-1])
        for each in within("serving")
        if each.by.startswith(one) and each.target.startswith(other)
    ]
    assert not crossing


def test_training_enters_serving_by_the_face_of_the_scorer() -> None:
    """Each exception has its reason, and none is left over."""
    entered = imports_of(ROOT, "training", into="serving")
    others = {(each.by, each.source) for each in entered if each.source != "serving.scorer"}
    assert others == set(ALSO_FOR_TRAINING)


@pytest.mark.parametrize("room", [*FACED, *(room for package in FACED for room in rooms(package))])
def test_a_folder_fits_one_sitting(room: str) -> None:
    """What stands side by side in it, apart from its folders: who changes one module has read the others."""
    lines = sum(path.read_text().count("\n") for path in (ROOT / room.replace(".", "/")).glob("*.py"))
    assert lines <= LONGER.get(room, (SITTING, ""))[0]


def test_no_folder_is_excused_that_need_not_be() -> None:
    """An exception that is left over hides how the folder grows again."""
    assert not [room for room in LONGER if not (ROOT / room.replace(".", "/")).is_dir()]


@pytest.mark.parametrize("package", FACED)
def test_each_folder_of_tests_is_one_of_the_packages(package: str) -> None:
    """Who changes a folder finds its tests under the same name."""
    tests = ROOT / "tests" / package
    folders = {path.parent.relative_to(ROOT / "tests") for path in tests.rglob("test_*.py")}
    assert [
        str(each)
        for each in folders
        if not {ROOT / each, ROOT / f"{each}.py"} & set((ROOT / each).parent.iterdir())
    ] == []


def test_no_module_of_serving_has_another_modules_name() -> None:
    """Who reads `paths` or `reading` would have to look which of them is meant."""
    names = Counter(path.stem for path in modules() if path.stem not in ("__init__", "__main__", "errors"))
    assert [path.stem for path in (ROOT / "serving").rglob("*.py") if names[path.stem] > 1] == []


def test_no_two_classes_have_one_name() -> None:
    """Whoever reads `Day` or `Answer` would have to look which of them is meant."""
    classes = [
        node.name for path in modules() for node in ast.walk(tree_of(path)) if isinstance(node, ast.ClassDef)
    ]
    assert {name for name, count in Counter(classes).items() if count > 1} == ALSO_FOR_USERS


def test_no_two_files_of_tests_have_one_name() -> None:
    """Pytest imports them by it: the second one ends the whole run."""
    names = Counter(path.name for path in (ROOT / "tests").rglob("test_*.py"))
    assert [name for name, count in names.items() if count > 1] == []


@pytest.mark.parametrize("room", [room for package in FACED for room in rooms(package)])
def test_a_face_offers_at_most_ten_names(room: str) -> None:
    """More is a folder of two nouns."""
    assert 1 <= len(names_of(ROOT, room)) <= 10


@pytest.mark.parametrize("room", [room for package in FACED for room in rooms(package)])
def test_what_a_face_imports_at_first_use_is_where_type_checkers_find_it(room: str) -> None:
    """A wrong module fails at that use only; and a name that is its module's, too, is either of the two."""
    taken = [each for each in imports_of(ROOT, room.partition(".")[0], into=room) if each.by == room]
    modules = {each.name: each.source.removeprefix(f"{room}.") for each in taken if each.source != room}
    assert late_names_of(ROOT, room).items() <= modules.items()
    assert not [name for name, module in modules.items() if name == module]


@pytest.mark.parametrize("package", FLOORS)
def test_no_modules_import_each_other(package: str) -> None:
    """Wherever the import stands: two modules that need each other can only be read as one."""
    assert not cycle_in(within(package))


@pytest.mark.parametrize(
    "hidden", ["def later():\n    from here import a\n", "if TYPE_CHECKING:\n    from here.a import A\n"]
)
def test_a_hidden_cycle_is_found(hidden: str, tmp_path: Path) -> None:
    """In a function, or for type checkers alone: both were how ours were hidden."""
    folder = tmp_path / "here"
    folder.mkdir()
    for name, text in {
        "__init__": "",
        "a": "from here import b\n",
        "b": "import here.c\n",
        "c": hidden,
    }.items():
        (folder / f"{name}.py").write_text(text)
    assert cycle_in(imports_of(tmp_path, "here", into="here")) == ["here.a", "here.b", "here.c"]


def test_mlflow_is_imported_in_few_places() -> None:
    """The rest can be tested, and read, without a tracking store."""
    found = {
        str(path.relative_to(ROOT)) for path in modules() if "mlflow" in imported(path, at_run_time=False)
    }
    assert found == MLFLOW_MODULES


def test_the_shipped_transformers_need_nothing_of_ours() -> None:
    """They travel inside each version, to where Slipway is not installed."""
    for file in ("transformers.py", "lightgbm_text.py", "__init__.py"):
        assert not imported(ROOT / "training" / file) & set(PACKAGES)


def test_the_pins_of_conda_and_pyproject_agree() -> None:
    """`mlflow run` installs the one, `make` the other."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    environment = yaml.safe_load((ROOT / "conda.yaml").read_text())["dependencies"]
    assert environment[-1]["pip"] == project["dependencies"]
    assert "python=3.11" in environment


def test_the_entry_points_pass_every_parameter_on() -> None:
    """A parameter that is declared and not used would be swallowed silently."""
    for name, entry in yaml.safe_load((ROOT / "MLproject").read_text())["entry_points"].items():
        for parameter in entry["parameters"]:
            assert f"{{{parameter}}}" in entry["command"], f"{name}: {parameter}"


def helpful() -> list[tuple[str, ...]]:
    """What each entry point starts, and the commands that stand beside them."""
    entries = yaml.safe_load((ROOT / "MLproject").read_text())["entry_points"].values()
    started = {tuple(entry["command"].split(" --")[0].split()[2:]) for entry in entries}
    return sorted(
        started
        | {
            ("training",),
            ("data",),
            ("data", "sample"),
            ("serving.tryout",),
            ("serving.fetch",),
            ("benchmarks",),
            ("slipway",),
        }
    )


@pytest.mark.parametrize("command", helpful(), ids=" ".join)
def test_every_help_text_is_printed_quickly_and_without_mlflow(command: tuple[str, ...]) -> None:
    """Who asks for help must not wait three seconds."""
    words = [sys.executable, "-X", "importtime", "-m", *command, "--help"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0
    assert done.stdout.startswith("usage: ")
    assert "| mlflow\n" not in done.stderr


def test_the_samples_are_what_their_makers_write(tmp_path: Path) -> None:
    """Byte for byte: the README's claim."""
    from data import samples

    for name in samples.MAKERS:
        path, _ = samples.write(name, everything=False, output=tmp_path / f"{name}.csv")
        assert path.read_bytes() == (ROOT / "data" / "samples" / f"{name}.csv").read_bytes()
