"""What options say together: one that would do nothing is refused, in a line that says how to mend it."""

from __future__ import annotations

import pytest

from serving.errors import SettingsError
from serving.options import parser, settings_of


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--processes", "2"], "go with --runtime pyfunc"),
        (["--runtime", "pyfunc", "--threads", "2"], "--threads does not go with --runtime pyfunc"),
        (["--runtime", "pyfunc", "--load-seconds", "5"], "--load-seconds does not go with --runtime pyfunc"),
        (["--runtime", "pyfunc", "--load-bytes", "2000000"], "--load-bytes does not go with"),
        (["--runtime", "pyfunc", "--capture", "c"], "what MLflow's models predict is not kept"),
        (["--metrics-need-key"], "goes with --api-key-file, --jwks or --tls-client-ca"),
    ],
)
def test_an_option_that_would_do_nothing_is_refused(words: list[str], said: str) -> None:
    """Somebody would rely on it: on a bound, or on labels that meet predictions which nobody kept."""
    with pytest.raises(SettingsError, match=said):
        settings_of(parser().parse_args(["--model", "m", *words]))


def test_a_model_that_mlflow_runs_takes_the_other_options() -> None:
    """The defaults of those that it has no use for included."""
    words = ["--runtime", "pyfunc", "--processes", "2", "--joining", "--workers", "2", "--rows", "10"]
    settings = settings_of(parser().parse_args(["--model", "m", *words]))
    assert (settings.processes, settings.joins, settings.limits.rows) == (2, True, 10)
