"""Tables as people download them: what each looks like, small, and a maker of nasty ones."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from hypothesis import strategies as st

Rows = list[list[str]]


@dataclass(frozen=True)
class Download:
    """A table, what is predicted, and the words that it takes beyond that.

    `make` writes a small one of the same dialect; the real one is `file` in a folder of downloads.
    """

    file: str
    target: str
    make: Callable[[], bytes]
    words: tuple[str, ...] = ()
    separator: str = ","
    encoding: str = "utf-8"
    header: bool = True

    def cells(self, content: bytes) -> tuple[list[str], Rows]:
        """Return the header and the rows by Python's own readers: rows of empty cells alone are none."""
        if self.file.endswith(".json"):
            objects = json.loads(content)
            names = list(objects[0])
            return names, [[json.dumps(each.get(name)) for name in names] for each in objects]
        text = io.StringIO(content.decode(self.encoding), newline="")
        rows = [row for row in csv.reader(text, delimiter=self.separator) if any(row)]
        if not self.header:
            return [f"column_{place}" for place in range(1, len(rows[0]) + 1)], rows
        return rows[0], rows[1:]


def _written(header: list[str], rows: Rows, *, separator: str = ",", end: str = "\n", quote: int = 0) -> str:
    file = io.StringIO(newline="")
    writer = csv.writer(file, delimiter=separator, lineterminator=end, quoting=quote)
    writer.writerows([header, *rows] if header else rows)
    return file.getvalue()


def beers() -> bytes:
    """R's write.csv: row names under an empty header, NA for missing, text quoted, garbled names."""
    random = np.random.default_rng(1)
    rows = [
        f'"{row}",{row},{abv:.3f},{"NA" if row % 3 else round(abv * 700)},"{style}",{1 + row % 40}'
        for row, (abv, style) in enumerate(
            zip(random.uniform(0.03, 0.1, 240), random.choice(["Kölsch", "IPA", "Porter"], 240), strict=True),
            1,
        )
    ]
    return "\n".join(['"","count.x","abv","ibu","style","brewery_id"', *rows, ""]).encode()


def abalone() -> bytes:
    """No header, no line end at the end."""
    random = np.random.default_rng(2)
    length = random.uniform(0.2, 0.8, 240).round(3)
    rings = (4 + 15 * length + random.normal(0, 1, 240)).round().astype(int)
    sexes = random.choice(["M", "F", "I"], 240)
    rows = [
        ",".join([str(sex), *(f"{size / part:.4f}" for part in range(1, 8)), str(ring)])
        for sex, size, ring in zip(sexes, length, rings, strict=True)
    ]
    return "\n".join(rows).encode()


def used_cars() -> bytes:
    """Currency with thousands marks in quotes, a unit behind the mileage, yes or nothing."""
    random = np.random.default_rng(3)
    miles, years = random.integers(500, 180_000, 240), random.integers(1995, 2024, 240)
    prices = 60_000 - 0.2 * miles + 900 * (years - 2010) + random.normal(0, 2_000, 240)
    rows = [
        [brand, str(year), f"{mile:,} mi.", "Yes" if mile % 3 else "", f"${max(price, 900):,.0f}"]
        for brand, year, mile, price in zip(
            random.choice(["Ford", "BMW", "Audi"], 240), years, miles, prices, strict=True
        )
    ]
    return _written(["brand", "model_year", "milage", "clean_title", "price"], rows).encode()


def visitors() -> bytes:
    """American dates, thousands marks, a count of the rows, CR LF."""
    random = np.random.default_rng(4)
    loads = random.integers(800, 6_000, 240)
    days = np.datetime64("2014-09-14") + np.arange(240)
    rows = [
        [
            str(row),
            f"{day.month}/{day.day}/{day.year}",
            f"{load:,}",
            f"{round(0.7 * load + 30 * (row % 7)):,}",
        ]
        for row, (day, load) in enumerate(zip(days.tolist(), loads.tolist(), strict=True), 1)
    ]
    return _written(["Row", "Date", "Page.Loads", "Unique.Visits"], rows, end="\r\n").encode()


def air_quality() -> bytes:
    """UCI's: semicolons, decimal commas, times with points, -200 for missing, empty columns and lines at the end."""
    random = np.random.default_rng(5)
    benzene = random.uniform(1, 30, 240).round(1)
    rows = [
        [
            f"{10 + row // 24:02d}/03/2004",
            f"{row % 24:02d}.00.00",
            "-200" if row % 11 == 0 else f"{value / 4:.1f}".replace(".", ","),
            str(600 + round(30 * value)),
            "-200" if row % 17 == 0 else f"{value:.1f}".replace(".", ","),
            "",
            "",
        ]
        for row, value in enumerate(benzene.tolist())
    ]
    header = ["Date", "Time", "CO(GT)", "PT08.S1(CO)", "C6H6(GT)", "", ""]
    return (_written(header, rows, separator=";", end="\r\n") + 30 * (";" * 6 + "\r\n")).encode()


def cars() -> bytes:
    """An array of objects with nulls and a date that is the same for many."""
    random = np.random.default_rng(6)
    objects = [
        {
            "Name": f"car {row}",
            "Miles_per_Gallon": None if row % 29 == 3 else round(45 - weight / 130, 1),
            "Weight_in_lbs": weight,
            "Year": f"{1970 + row // 30}-01-01",
            "Origin": str(origin),
        }
        for row, (weight, origin) in enumerate(
            zip(
                random.integers(1_600, 5_000, 240).tolist(),
                random.choice(["USA", "Japan"], 240),
                strict=True,
            )
        )
    ]
    return json.dumps(objects, indent=3).encode()


def tips() -> bytes:
    """Nothing odd: what all others are compared with."""
    random = np.random.default_rng(7)
    bills = random.uniform(5, 50, 240).round(2)
    rows = [
        [f"{bill}", f"{0.15 * bill + noise:.2f}", str(day)]
        for bill, noise, day in zip(
            bills, random.normal(1, 0.4, 240), random.choice(["Sun", "Thur"], 240), strict=True
        )
    ]
    return _written(["total_bill", "tip", "day"], rows, quote=csv.QUOTE_NONNUMERIC).encode()


def plain(header: str, target: str, seed: int) -> Callable[[], bytes]:
    """Return a maker of a table of numbers with this header."""

    def make() -> bytes:
        names = header.split(",")
        random = np.random.default_rng(seed)
        numbers = random.normal(10, 3, (240, len(names))).round(3)
        numbers[:, names.index(target)] = (numbers.sum(axis=1) / len(names)).round(3)
        return _written(names, [[str(cell) for cell in row] for row in numbers.tolist()]).encode()

    return make


DOWNLOADS = (
    Download("beers.csv", "abv", beers),
    Download("abalone-no-header.csv", "column_9", abalone, ("--header", "none"), header=False),
    Download("used_cars.csv", "price", used_cars),
    Download("website-visitors.csv", "Unique.Visits", visitors),
    Download("airquality-uci.csv", "C6H6(GT)", air_quality, ("--missing", "-200"), separator=";"),
    Download("cars.json", "Miles_per_Gallon", cars),
    Download("tips.csv", "tip", tips),
    Download("mpg.csv", "mpg", plain("mpg,cylinders,weight", "mpg", 8)),
    Download("diamonds.csv", "price", plain("carat,depth,price", "price", 9)),
    Download("penguins.csv", "body_mass_g", plain("bill_length_mm,body_mass_g", "body_mass_g", 10)),
    Download(
        "housing.csv", "median_house_value", plain("longitude,median_house_value", "median_house_value", 11)
    ),
    Download("insurance.csv", "charges", plain("age,bmi,charges", "charges", 12)),
    Download("carseats.csv", "Sales", plain("Sales,Price,Income", "Sales", 13)),
    Download(
        "bike-hourly.csv",
        "demand",
        plain("hour,temp,casual,registered,demand", "demand", 14),
        ("--exclude", "casual,registered"),
    ),
)
ODD = DOWNLOADS[:7]
"""Those whose dialect is their own; the others differ in their columns alone."""


@dataclass(frozen=True)
class Nasty:
    """A made table: its bytes, its rows as they were meant, and the target."""

    content: bytes
    names: list[str]
    rows: Rows
    target: str


NAMES = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), min_size=0, max_size=12)
WORDS = st.sampled_from(["", "NA", "n/a", "?", "-", "#DIV/0!", "None", "null", ".", "unknown"])


def _cell(kind: str, number: int, random: np.random.Generator) -> str:
    value = float(random.normal(100, 40))
    return {
        "whole": str(number % 37),
        "number": f"{value:.3f}",
        "repeated": str(number % 4),
        "constant": "7",
        "empty": "",
        "id": f"row-{number}",
        "zip": f"{number % 500:05d}",
        "category": "abcdefgh"[number % 8],
        "rare": f"shop {number // 9}",
        "date": f"2024-{1 + number % 12:02d}-{1 + number % 28:02d}",
        "german": f"{1 + number % 28:02d}.{1 + number % 12:02d}.2024",
        "boolean": ("true", "false")[number % 2],
        "yes": ("yes", "no")[number % 2],
        "money": f"${abs(value) * 100:,.0f}",
        "percent": f"{value % 100:.1f}%",
        "comma": f"{value:.2f}".replace(".", ","),
        "unit": f"{value:.1f} km",
        "quoted": f'say "{number % 5}", and\nmore',
        "sentinel": "-999" if number % 13 == 0 else f"{value:.1f}",
        "large": str(2**60 + number),
        "tiny": f"{value * 1e-12:.6e}",
    }[kind]


KINDS = (
    *("whole", "number", "repeated", "constant", "empty", "id", "zip", "category", "rare", "date", "german"),
    *("boolean", "yes", "money", "percent", "comma", "unit", "quoted", "sentinel", "large", "tiny"),
)


@st.composite
def nasty_tables(draw: st.DrawFn) -> Nasty:
    """Make a table of any dialect, names, kinds, gaps, repeats and size."""
    kinds = draw(st.lists(st.sampled_from(KINDS), min_size=1, max_size=5))
    names = [*draw(st.lists(NAMES, min_size=len(kinds), max_size=len(kinds))), "target"]
    count = draw(st.sampled_from([2, 30, 60, 90, 150]))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    period = draw(st.sampled_from([1_000, 20, 3]))
    target = draw(st.sampled_from(["number", "whole", "money", "tiny", "comma", "repeated"]))
    rows = [[_cell(kind, row % period, random) for kind in (*kinds, target)] for row in range(count)]
    for _ in range(draw(st.integers(0, 6))):
        row, column = draw(st.integers(0, count - 1)), draw(st.integers(0, len(kinds)))
        rows[row][column] = draw(WORDS)
    while rows and not any(rows[-1]):  # else one of the empty lines at the end
        rows.pop()
    if draw(st.booleans()):
        names, rows = ["", *names], [[str(number), *row] for number, row in enumerate(rows, 1)]
    separator = draw(st.sampled_from([",", ";", "\t", "|"]))
    end = draw(st.sampled_from(["\n", "\r\n"]))
    quote = draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
    text = _written(names, rows, separator=separator, end=end, quote=quote)
    text += draw(st.sampled_from(["", end, 3 * (separator * (len(names) - 1) + end)]))
    encoding = draw(st.sampled_from(["utf-8", "utf-8-sig"]))
    return Nasty(text.encode(encoding), names, rows, "target")


def write(download: Download, folder: Path) -> Path:
    """Write the small table as a file of the real one's name."""
    path = folder / download.file
    path.write_bytes(download.make())
    return path
