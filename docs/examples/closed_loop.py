"""The closed loop on the flights sample, with real parts, in some minutes: `make loop`.

A model is trained on January to June, promoted and served. The flights of July to December are sent to it day by day,
and a day later it is told when they arrived. From October on the sender gives departure delays in seconds in place of
minutes. The monitor looks every ten days, at each day since: it finds that, does not learn from it until a person says
that seconds are right, then trains a challenger, judges it in the shadow, and promotes it. The server swaps while it
answers.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import multiprocessing
import os
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

from serving.running import Running, served

HOME = Path(__file__).resolve().parents[2]
FLIGHTS = HOME / "data" / "samples" / "flights.csv"
LATER = "2013-07-01"
BROKEN = "2013-10-01"
SECONDS = 60
"""In a minute: what the broken sender multiplies departure delays with."""
ALARM_STANDS = 3
CONTRACT = """columns:
  month: {kind: number}
  weekday: {kind: number}
  hour: {kind: number}
  dep_delay: {kind: number, unit: s, minimum: -7200, maximum: 172800}
  carrier: {kind: category}
  origin: {kind: category}
  dest: {kind: category}
  distance: {kind: number}
  arr_delay: {kind: number, unit: min}
"""
REFUSED = "column 'dep_delay'"
"""What the monitor says where it does not learn from rows because of it."""
PATIENCE = 60.0
"""Seconds that the server has to close a file of captures."""
SHOWN = ("alarm", "quiet", "retrain", "challenger", "shadow", "decide")
WIDTH = 180
TEXTS = ("carrier", "origin", "dest")

Flight = dict[str, Any]


@dataclass
class Story:
    """What happened, for who wants to check it.

    Attributes
    ----------
    said : list of (str, str)
        The day of each look of the monitor, and the lines that it printed.
    versions : dict of day to str
        Which version answered.
    errors : dict of (version, month) to list of float
        Of the predictions, in minutes.
    """

    said: list[tuple[str, str]] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)
    errors: dict[tuple[str, str], list[float]] = field(default_factory=dict)
    told: int = 0

    @property
    def answered(self) -> int:
        """How many predictions were given."""
        return sum(map(len, self.errors.values()))

    def rmse(self, version: str, *months: str) -> float:
        """Return the root mean square error of a version in some months."""
        squared = [error**2 for month in months for error in self.errors.get((version, month), [])]
        return math.sqrt(sum(squared) / len(squared)) if squared else math.nan

    def note(self, day: str, version: str, predictions: list[float], rows: list[Flight]) -> None:
        """Note a day's answers beside what came of them."""
        self.versions[day] = version
        errors = [each - row["arr_delay"] for each, row in zip(predictions, rows, strict=True)]
        self.errors.setdefault((version, day[:7]), []).extend(errors)


def flights() -> list[Flight]:
    """Return the sample's rows, in order of their days."""
    with FLIGHTS.open(newline="") as file:
        rows = [
            {name: text if name in (*TEXTS, "date") else float(text) for name, text in row.items()}
            for row in csv.DictReader(file)
        ]
    return sorted(rows, key=lambda row: row["date"])


def write(path: Path, rows: list[Flight]) -> None:
    """Write a table as CSV."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def days(rows: list[Flight]) -> Iterator[tuple[str, list[Flight]]]:
    """Yield each day with its flights."""
    for day, of_day in groupby(rows, key=lambda row: row["date"]):
        yield day, list(of_day)


def post(address: str, body: Any, headers: dict[str, str] | None = None) -> tuple[Any, Any]:
    """Send JSON; return the answer and its headers."""
    asked = urllib.request.Request(
        address, json.dumps(body).encode(), {"Content-Type": "application/json", **(headers or {})}
    )
    with urllib.request.urlopen(asked, timeout=30) as answer:
        return json.load(answer), answer.headers


def as_sent(row: Flight) -> Flight:
    """Return a row as the sender writes it on its day."""
    return row | {"dep_delay": row["dep_delay"] * (SECONDS if row["date"] >= BROKEN else 1)}


def ask(server: Running, day: str, rows: list[Flight], story: Story) -> list[dict[str, Any]]:
    """Have a day's flights predicted, as if it were that day; return what is to be told of them later."""
    sent = [as_sent(row) for row in rows]
    for row in sent:
        del row["date"], row["arr_delay"]
    answer, headers = post(
        f"{server.address}/invocations",
        {"dataframe_records": sent},
        {"Ce-Id": f"flights-{day}", "Ce-Time": f"{day}T12:00:00Z"},
    )
    story.note(day, headers["X-Model-Version"], answer["predictions"], rows)
    return [
        {"client_id": f"flights-{day}", "row": place, "actual": row["arr_delay"], "at": f"{day}T20:00:00Z"}
        for place, row in enumerate(rows)
    ]


@dataclass(frozen=True)
class Commands:
    """Slipway's commands as `mlflow run` gives them, in one process that stays: it has imported MLflow then."""

    folder: Path
    process: ProcessPoolExecutor

    @classmethod
    def of(cls, folder: Path) -> Commands:
        """Start the process, with a tracking server of the story's own."""
        spawned = multiprocessing.get_context("spawn")
        return cls(
            folder, ProcessPoolExecutor(1, mp_context=spawned, initializer=begin, initargs=(str(folder),))
        )

    def __call__(self, *words: str) -> tuple[int, str]:
        """Run one; return its exit code and its lines."""
        return self.process.submit(run, words).result()


SAID = "said.txt"


def begin(folder: str) -> None:
    """Let a process write all that its commands say, and the trainings that they start, into a file."""
    os.chdir(folder)
    os.environ |= environment(Path(folder))
    said = os.open(SAID, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(said, 1)
    os.dup2(said, 2)


def run(words: tuple[str, ...]) -> tuple[int, str]:
    """Run a command in that process."""
    from training.__main__ import main as command  # noqa: PLC0415 - there alone

    before = Path(SAID).stat().st_size
    code = command(words)
    return code, Path(SAID).read_bytes()[before:].decode()


def environment(folder: Path) -> dict[str, str]:
    """A tracking server of the story's own."""
    return os.environ | {"MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db", "PYTHONPATH": str(HOME)}


def look(commands: Commands, day: str, story: Story) -> str:
    """Have the monitor look at each day since its last look; print what it says of them, and return all of it."""
    contract = commands.folder / "contract.yaml"
    code, said = commands(
        *("monitor", "--name", "flights", "--captures", str(commands.folder / "captures")),
        *("--exclude", "month,weekday", "--retrain", "auto"),
        *(("--contract", str(contract)) if contract.exists() else ()),
    )
    if code not in (0, ALARM_STANDS):
        raise SystemExit(f"the monitor ended with {code}:\n{said}")
    story.said.append((day, said))
    for line in filter(is_shown, said.splitlines()):
        print(f"  {day}  {shortened(line.strip())}", flush=True)
    return said


def is_shown(line: str) -> bool:
    """Return whether a line of the monitor's belongs to the story."""
    return line.split()[:1] != [] and line.split(maxsplit=1)[0] in SHOWN and "promote=never" not in line


def shortened(line: str) -> str:
    """Return the begin of a line."""
    return line if len(line) <= WIDTH else f"{line[: WIDTH - 4]} ..."


def allow(folder: Path) -> None:
    """Say that seconds are right from now on."""
    (folder / "contract.yaml").write_text(CONTRACT)
    print("  a person   reads that, and says that seconds are right: contract=contract.yaml", flush=True)


def await_files(captures: Path) -> None:
    """Wait until what was asked last is in a file that is closed: the monitor takes such files alone."""
    until = time.monotonic() + PATIENCE
    while list(captures.rglob("*.open")):
        if time.monotonic() > until:
            raise SystemExit(f"{captures}: the server does not close its files")
        time.sleep(0.05)


def tell(story: Story, rows: list[Flight], commands: Commands, every: int) -> None:
    """Serve the champion, and live through the second half of the year."""
    folder, captures = commands.folder, commands.folder / "captures"
    with served(
        *("--model", "models:/flights@champion", "--poll-seconds", "0.5"),
        *("--capture", str(captures), "--capture-rotate", "0.2"),
        env=environment(folder),
        cwd=folder,
    ) as server:
        due: list[dict[str, Any]] = []
        for number, (day, of_day) in enumerate(days(rows), start=1):
            if due:
                post(f"{server.address}/feedback", due)
                story.told += len(due)
            due = ask(server, day, of_day, story)
            if number % every == 0:
                await_files(captures)
                said = look(commands, day, story)
                if REFUSED in said:
                    allow(folder)


def summary(story: Story) -> str:
    """Return what the year came to."""
    last = max(story.versions)
    new = story.versions[last]
    since = [day[:7] for day, version in story.versions.items() if version == new]
    return (
        f"  {story.answered:,} predictions, {story.told:,} outcomes. Root mean square error, in minutes:\n"
        f"    version 1, July to September       {story.rmse('1', '2013-07', '2013-08', '2013-09'):8,.1f}\n"
        f"    version 1, with delays in seconds  {story.rmse('1', '2013-10', '2013-11', '2013-12'):8,.1f}\n"
        f"    version {new}, which serves now       {story.rmse(new, *set(since)):8,.1f}"
    )


def main(arguments: list[str] | None = None) -> Story:
    """Tell the story; returns what happened."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--every", type=int, default=10, help="days between two looks of the monitor")
    parser.add_argument("--folder", type=Path, help="where all of it is kept; a temporary one if not given")
    asked = parser.parse_args(arguments)
    folder = (asked.folder or Path(tempfile.mkdtemp(prefix="slipway-loop-"))).resolve()
    every, story, commands = flights(), Story(), Commands.of(folder)
    write(folder / "first.csv", [row for row in every if row["date"] < LATER])
    print("train on January to June", flush=True)
    code, said = commands(
        *("train", "--data", str(folder / "first.csv"), "--target", "arr_delay", "--name", "flights"),
        *("--exclude", "date", "--trials", "1", "--time_budget", "20", "--units", "arr_delay=min"),
    )
    if code:
        raise SystemExit(said)
    print(*[line for line in said.splitlines() if line.split()[0] in ("register", "decide")], sep="\n")
    print(
        f"serve it, and live from {LATER} on; departure delays come in seconds from {BROKEN} on", flush=True
    )
    tell(story, [row for row in every if row["date"] >= LATER], commands, asked.every)
    commands.process.shutdown()
    print(summary(story))
    print(f"  look at it: mlflow ui --backend-store-uri sqlite:///{folder}/mlflow.db")
    return story


if __name__ == "__main__":
    main()
