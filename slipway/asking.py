"""A registered model in this process: rows in, predictions and intervals out, as exactly as the server's.

It runs the two files of `scorer/` alone: neither scikit-learn nor a pickle. A value is used as it is, or the rows are
refused with row, column, what was expected and what was found.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import overload

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data.own_files import own_folder
from serving.registry import locate
from serving.rows import coercion
from serving.scorer import Scorer
from serving.signatures import Trust
from slipway.errors import RefusedRows
from slipway.given import Rows, as_arrow

SHOWN_FAULTS = 20


class Model:
    """One version. Safe to use from several threads at once.

    Attributes
    ----------
    uri : str
        Where it came from, an alias resolved: `models:/houses/3`, or a folder.
    digest : str
        SHA-256 hex of what it computes with.
    target : str
        The column that it predicts.
    columns : tuple of str
        Those that it needs, in the schema's order. Others are ignored.
    """

    def __init__(self, uri: str, scorer: Scorer) -> None:
        self.uri = uri
        self._scorer = scorer
        self.digest = scorer.digest
        self.target = scorer.schema.target
        self.columns = tuple(scorer.schema.names)

    @overload
    def predict(self, rows: Rows) -> NDArray[np.float64]: ...

    @overload
    def predict(self, rows: Rows, *, coverage: float) -> pd.DataFrame: ...

    def predict(self, rows: Rows, *, coverage: float | None = None) -> NDArray[np.float64] | pd.DataFrame:
        """Return one prediction for each row, in the target's unit.

        Parameters
        ----------
        rows : DataFrame, pyarrow Table, mapping of columns, or sequence of records
            With the model's columns, in any order.
        coverage : float in (0, 1)
            The share of targets that the interval of a row is to hold.

        Returns
        -------
        array of shape (n_rows,), or a DataFrame with `prediction`, `lower` and `upper` and the rows' own index where
        a coverage is asked for.

        Raises
        ------
        RefusedRows
            With the first 20 cells that cannot be used.
        CoverageRefused
            The version has no intervals, or too few calibration rows for so wide a promise.
        """
        table = as_arrow(rows)
        packed = coercion.pack_arrow(table, self._scorer.schema)
        if packed.n_faults:
            raise RefusedRows(uri=self.uri, faults=packed.faults[:SHOWN_FAULTS], count=packed.n_faults)
        if coverage is None:
            return self._scorer.predict(packed.matrix)
        bounds = self._scorer.predict_interval(packed.matrix, coverage)
        return pd.DataFrame(
            {"prediction": bounds.predictions, "lower": bounds.lower, "upper": bounds.upper},
            index=rows.index if isinstance(rows, pd.DataFrame) else None,
        )

    def __repr__(self) -> str:
        return f"<slipway.Model {self.uri}: {self.target} from {', '.join(self.columns)}>"


def load(uri: str, *, trust: str | Path | Sequence[str | Path] = ()) -> Model:
    """Return a registered version, its files compared with what its promotion vouches for.

    Parameters
    ----------
    uri : str
        `models:/NAME@ALIAS`, `models:/NAME/VERSION`, `runs:/RUN/PATH`, or a version's folder.
    trust : path, or sequence of paths
        Files of public keys in PEM, one of which has to have signed the version. Without any no signature is needed.

    Raises
    ------
    BadTrust, NotTrusted
        A file is no public key; none of them signed the version as it is.
    ModelNotFound, ModelError
        There is none, or its files are not those that were registered.
    """
    files = [trust] if isinstance(trust, str | Path) else trust
    with tempfile.TemporaryDirectory(dir=own_folder()) as cache:
        result = locate(uri, Path(cache), Trust.in_files([*map(str, files)]))
        scorer = Scorer.load(Path(result.folder), digest=result.digest)
        scorer.replay_golden()
    return Model(f"models:/{result.name}/{result.version}" if result.version else uri, scorer)
