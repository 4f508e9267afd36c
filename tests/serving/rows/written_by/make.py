"""Makes the files beside it: `python make.py` where duckdb 2.0.1 and polars 2.1.0 are installed.

Forty rows of each kind that the two write, and a column `n` that counts them.
"""

from pathlib import Path

import duckdb
import polars as pl

HERE = Path(__file__).parent

duckdb.connect().execute(f"""
    COPY (
        SELECT i AS n, CAST(i AS UTINYINT) AS u8, CAST(i AS UBIGINT) AS u64, CAST(i AS HUGEINT) AS h,
            CAST(i AS DECIMAL(9, 2)) AS dec, i / 3.0 AS f,
            CASE WHEN i % 5 = 0 THEN NULL ELSE 'city ' || i END AS c,
            CASE i % 2 WHEN 0 THEN 'a' ELSE 'é' END AS k,
            DATE '2020-01-01' + CAST(i AS INTEGER) AS d,
            TIMESTAMP '2020-01-01 00:00:00' + INTERVAL (i) DAY AS ts, i % 2 = 0 AS b
        FROM range(40) AS r(i)
    ) TO '{HERE}/duckdb_v2.parquet' (FORMAT parquet, PARQUET_VERSION v2)
""")

days = pl.datetime_range(pl.datetime(2020, 1, 1), pl.datetime(2020, 2, 9), "1d", eager=True)
rows = pl.DataFrame(
    {
        "n": range(40),
        "u8": pl.Series(range(40), dtype=pl.UInt8),
        "u64": pl.Series(range(40), dtype=pl.UInt64),
        "dec": pl.Series(map(str, range(40))).cast(pl.Decimal(9, 2)),
        "f": pl.Series([i / 4 for i in range(40)], dtype=pl.Float32),
        "c": [None if i % 5 == 0 else f"city {i}" for i in range(40)],
        "k": pl.Series(["a", "é"] * 20, dtype=pl.Categorical),
        "enum": pl.Series(["a", "é"] * 20, dtype=pl.Enum(["a", "é"])),
        "d": days.cast(pl.Date),
        "ts": days,
        "tz": days.dt.replace_time_zone("Europe/Berlin"),
        "b": [i % 2 == 0 for i in range(40)],
        "none": pl.Series([None] * 40, dtype=pl.Null),
    }
)
rows.write_parquet(HERE / "polars.parquet")
rows.write_ipc(HERE / "polars.arrow")
rows.write_ipc(HERE / "polars.feather", compression="zstd")
rows.write_ipc_stream(HERE / "polars.arrows")
rows.write_csv(HERE / "polars.csv")
