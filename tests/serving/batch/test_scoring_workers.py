"""Parts scored by the workers of a Dask cluster, over TLS: the same bytes, whoever is killed or hangs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from data.sources import source
from data.workers import Address, reaching, tasks
from data.workers.errors import EngineSilent, FileNotSeen, OtherVersions, TaskEnded
from serving.batch import engines, score_parts
from serving.batch.__main__ import main
from serving.batch.carried import Carried
from serving.batch.upkeep import MANIFEST
from serving.errors import FaultyRows
from tests.dask_cluster import needs_dask, two_workers
from tests.serving.batch.deadly import Deadly
from tests.serving.batch.test_parted import carried, contents, flights, scored, table, version, work_on

__all__ = ["carried", "version"]  # fixtures

pytestmark = [pytest.mark.soak, pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")]
ABSENT = ("pandas", "sklearn", "mlflow")
"""What workers do without."""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Address]:
    """Two workers whose Python lacks what only trainings need; both ask for certificates, as on a network."""
    needs_dask()
    import dask
    import trustme
    from distributed.security import Security

    folder = tmp_path_factory.mktemp("tls")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    issued = authority.issue_cert("localhost", "127.0.0.1")
    issued.private_key_and_cert_chain_pem.write_to_path(str(folder / "own.pem"))
    for name in ABSENT:
        (folder / "lacking" / name).mkdir(parents=True)
        (folder / "lacking" / name / "__init__.py").write_text(f"raise ImportError('there is no {name}')")
    words = {
        "TLS__CA_FILE": "ca.pem",
        **{f"TLS__{who}__CERT": "own.pem" for who in ("SCHEDULER", "WORKER", "CLIENT")},
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, file in words.items():
            patch.setenv(f"DASK_DISTRIBUTED__COMM__{name}", str(folder / file))
        dask.config.refresh()  # it reads the environment when it is imported
        security = Security(require_encryption=True)
        lacking = {"PYTHONPATH": str(folder / "lacking")}
        with two_workers(folder, security=security, protocol="tls", env=lacking) as found:
            yield found
    dask.config.refresh()


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "PART_BYTES", 16_000)
    monkeypatch.setattr(tasks, "A_THREAD", 1)


def by_workers(path: Path, version: Carried, folder: Path, address: Address) -> list[str]:
    """Score by the cluster; return the parts that were written."""
    written = []

    def engine(work: Any, lacking: list[int]) -> Any:
        for index, done in engines.on_workers(version, address)(work, lacking):
            written.append(work.names[index])
            yield index, done

    score_parts(work_on(path, Carried(version.digest, version.files), folder), engine)
    return written


def test_workers_without_pandas_write_the_same_bytes_and_do_what_lacks(
    address: Address, carried: Carried, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Our code and the version's files go along; a path that is no absolute one is read from here."""
    assert address.where.startswith("tls://")
    path = table(tmp_path)
    scored(path, carried, tmp_path / "alone")
    monkeypatch.chdir(tmp_path)
    assert len(by_workers(Path("in.csv"), carried, Path("out"), address)) == len(contents(Path("alone"))) - 1
    parts = contents(tmp_path / "out").keys() - {"_manifest.json"}
    assert {name: contents(tmp_path / "out")[name] for name in parts} == {
        name: content for name, content in contents(tmp_path / "alone").items() if name in parts
    }
    lost = max(parts)
    (tmp_path / "out" / lost).unlink()
    assert by_workers(Path("in.csv"), carried, Path("out"), address) == [lost]
    assert by_workers(Path("in.csv"), carried, Path("out"), address) == []


@pytest.mark.parametrize("ends", [("worker", "itself"), ("hang",)], ids="-".join)
def test_who_ends_in_the_middle_of_a_part_is_replaced_and_no_row_comes_twice(
    ends: tuple[str, ...], address: Address, carried: Carried, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By kill -9 of the worker or of its task, or as the disk does not answer: the part was written and had no name."""
    path = table(tmp_path)
    scored(path, carried, tmp_path / "alone")
    (tmp_path / "orders").mkdir()
    for end in ends:
        (tmp_path / "orders" / end).touch()
    monkeypatch.setattr(engines, "OURS", (*engines.OURS, "tests"))
    monkeypatch.setattr(tasks, "PATIENCE", 4 if ends == ("hang",) else 60)
    deadly = Deadly(carried.digest, carried.files, folder=str(tmp_path / "orders"))
    by_workers(path, deadly, tmp_path / "out", address)
    assert contents(tmp_path / "out") == contents(tmp_path / "alone")
    assert list((tmp_path / "orders").iterdir()) == []


def test_a_part_that_is_ended_twice_ends_the_job_in_one_line(
    address: Address, carried: Carried, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would be killed for ever; what the others wrote stays for the next run."""
    path = table(tmp_path)
    (tmp_path / "orders").mkdir()
    for number in range(9):
        (tmp_path / "orders" / f"itself-{number}").touch()
    monkeypatch.setattr(engines, "OURS", (*engines.OURS, "tests"))
    deadly = Deadly(carried.digest, carried.files, folder=str(tmp_path / "orders"))
    with pytest.raises(
        TaskEnded, match=r"^scoring a part was killed \(signal 9\) on worker tls://.*: run the same"
    ):
        by_workers(path, deadly, tmp_path / "out", address)
    assert not (tmp_path / "out" / "_manifest.json").exists()


def test_what_a_worker_lacks_is_said_in_one_line(
    address: Address, carried: Carried, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The table, a package, the same version of it; and rows that cannot be used are those of the table."""
    monkeypatch.setattr(source, "PART_BYTES", 10**9)
    path, folder = table(tmp_path), tmp_path / "out"
    work, engine = work_on(path, carried, folder), engines.on_workers(carried, address)
    path.rename(tmp_path / "away.csv")
    with pytest.raises(FileNotSeen, match=r"^worker tls://\S+ does not see .*in\.csv"):
        score_parts(work, engine)
    (tmp_path / "away.csv").rename(path)
    with monkeypatch.context() as patch:
        patch.setattr(tasks, "versions_of", lambda _: {"onnxruntime": "1.0.0"})
        with pytest.raises(
            OtherVersions, match=r"^worker tls://\S+ has onnxruntime \S+, and here is 1\.0\.0"
        ):
            score_parts(work_on(path, carried, folder), engine)
    frame = flights().astype({"hour": object})
    frame.loc[699, "hour"] = "noon"
    frame.to_csv(path, index=False)
    with pytest.raises(FaultyRows, match=r"row 700, column 'hour'"):
        score_parts(work_on(path, carried, folder), engine)


def test_who_does_not_answer_is_told_in_one_line(
    address: Address, carried: Carried, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody there, somebody who wants TLS, another Python."""
    monkeypatch.setattr(reaching, "SECONDS", 1)
    work = work_on(table(tmp_path), carried, tmp_path / "out")
    for word in ("dask://127.0.0.1:1", address.where.replace("tls", "tcp")):
        with pytest.raises(EngineSilent, match=rf"^{word} does not answer \(.*\): see that"):
            score_parts(work, engines.on_workers(carried, Address.of(word)))
    monkeypatch.setattr(reaching, "COMPARED", {"Python": ("python-bits", 1), "numpy": ("client", 1)})
    with monkeypatch.context() as patch:
        patch.setattr(reaching, "_cut", lambda packages, name, _: str(id(packages)))
        with pytest.raises(OtherVersions, match=r"^tls://\S+ has Python \d+, and here is \d+"):
            score_parts(work, engines.on_workers(carried, address))


def test_the_command_scores_by_processes_here(
    version: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`engine=dask`, to try it: a cluster for the time of the job, which others on this machine cannot reach."""
    found = SimpleNamespace(folder=version / "scorer", version="1")
    monkeypatch.setattr("serving.batch.__main__.locate", lambda *_: found)
    path = table(tmp_path)
    words = ["--name", "m", "--input", str(path), "--engine", "dask", "--output"]
    assert main([*words, f"{tmp_path}/out/"]) == 0
    assert "scored    1,003 rows" in capsys.readouterr().out
    assert MANIFEST in contents(tmp_path / "out")
