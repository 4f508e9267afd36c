"""What the tags of runs and versions are called, and what each says. Who reads one finds here who else may."""

from __future__ import annotations

from serving.scorer import version_files

FILES, DIGEST, PINNED = version_files.FILES_TAG, version_files.DIGEST_TAG, version_files.PINNED_TAG
"""Of a version, for servers too: the digest of all its files, of its scorer, and of the scorer that was promoted."""

SIGNATURE = version_files.SIGNATURE_TAG
"""Of a version, for servers too: what a key says of its files, name, number and entry in the ledger."""

SPLIT = "slipway.split"
"""Of a version: the rule that its rows were split by, as JSON."""

HELD_OUT_FROM = "slipway.held_out_from"
"""Of a version under a split by time: the moment from which rows are held out."""

TARGET = "slipway.target"
"""Of a version: the column that it predicts."""

WEIGHT = "slipway.weight"
"""Of a version: the column that says how much each row counts; versions without it count all the same."""

TIME = "slipway.time_column"
"""Of a version: the column that says when each row was; versions whose training was told of none do not have it."""

ADOPTED = "slipway.adopted"
"""Of a version whose model was fitted elsewhere: the SHA-256 of its file."""

DATA = "slipway.data_fingerprint"
"""Of a run and a version: the fingerprint of the table."""

TABLE = "slipway.table"
"""Of a run: the address with the version of the table that was read, of tables that have versions."""

ENTRY = version_files.ENTRY_TAG
"""Of a version: the newest entry of the ledger about it that was carried out."""

TRAINED_IN = version_files.TRAINED_IN_TAG
"""Of a version with new intervals: the run that its model was trained in."""

RECALIBRATED = "slipway.recalibrated"
"""Of a copy of a version with new intervals: `yes`. Its run is those of the training and of the intervals in one."""

LEARNED_UNTIL = "slipway.learned_until"
"""Of a version that was trained from captured rows: the day of the last of them."""

COPIED = "slipway.copied_from"
"""Of a version, and of its run, that came from elsewhere: the registry, name and number."""

REPRODUCED = "slipway.reproduced"
"""Of a version: what came of making it again."""

DECISION, REASON = "slipway.decision", "slipway.reason"
"""Of a run and a version: what was decided, and why; of a run that failed, why."""

VERSION = "slipway.version"
"""Of a run: the version that it made or decided about."""

PACKAGES = "slipway.versions"
"""Of a run: the packages that the model was made with."""

COMMAND, COMMIT = "slipway.command", "slipway.git_commit"
"""Of a run: the command that made it, and the code's commit."""

PROCESS = "slipway.process"
"""Of a run: the process that writes it, so that one that was killed is told from one at work."""

RUN = "slipway.run"
"""Of the run that `mlflow run` opened: the run that stands for it."""

INHERITED = (
    *(SPLIT, HELD_OUT_FROM, TARGET, WEIGHT, TIME, ADOPTED),
    *(DATA, TRAINED_IN, RECALIBRATED, LEARNED_UNTIL),
)
"""What a version has in common with the one whose model it is."""

MONITOR = "slipway.monitor"
"""Of a monitor's run: since when which process is at it; absent where none is."""

ALARM, WATCHED = version_files.ALARM_TAG, version_files.WATCHED_TAG
"""Of a monitor's run, for servers too: alarms that stand, since when, and what moved, or `none`; of which version."""

CAUSE = "slipway.cause"
"""Of a run and a version: why the monitor trained it."""

FIRST_TABLE = "slipway.first_table"
"""Of a run that learned from captured rows: the table that its name was first trained from."""

RETRAINING = "slipway.retraining"
"""Of a monitor's run: why it trained a challenger or did not, and what came of the last one."""
