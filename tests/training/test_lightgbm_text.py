"""A text is held to what a tree is before LightGBM gets it: a hostile one is refused, and ends no process."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import skops.io

from tests.conftest import ROOT
from training.lightgbm_text import LightGBMRegressor, read, written

RANDOM = np.random.default_rng(0)
ROWS = np.column_stack([RANDOM.normal(size=(300, 2)), RANDOM.integers(70, size=300)])
TARGET = ROWS[:, 0] + RANDOM.normal(size=70)[ROWS[:, 2].astype(int)]
LEARNER = LightGBMRegressor(
    {"num_iterations": 3, "num_leaves": 6, "min_data_per_group": 2, "min_data_in_leaf": 3, "cat_smooth": 1.0},
    categories=[2],
)


def text() -> str:
    """Three trees with splits on numbers and on categories."""
    return str(LEARNER.fit(ROWS, TARGET).text_)


def changed(name: str, value: str) -> str:
    """The text, one line of its first tree said otherwise."""
    lines = text().split("\n")
    place = next(at for at, line in enumerate(lines) if line.startswith(f"{name}="))
    lines[place] = f"{name}={value}"
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("left_child", "0 0 0 0 0", "no tree"),
        ("left_child", "1 2 3 4 99999999", "no tree"),
        ("split_feature", "0 0 0 0 7", "beyond the 3"),
        ("split_feature", "0 0 0 0 -7", "beyond the 3"),
        ("split_feature", "0 0 0", "has 3 values, must have 5"),
        ("threshold", "nan 0 0 0 0", "no number"),
        ("leaf_value", "inf 0 0 0 0 0", "no number"),
        ("decision_type", "127 2 2 2 2", "unknown kind"),
        ("num_leaves", "2000000000", "leaves"),
        ("num_leaves", "-1", "leaves"),
        ("num_cat", "-1", "sets of categories"),
        ("max_feature_idx", "-5", "columns"),
        ("max_feature_idx", "99999999999999999999", "columns"),
        ("num_class", "3", "predicts one number"),
        ("objective", "custom", "none of a regression"),
        ("leaf_count", "9" * 40, "must have 6"),
        ("split_feature", "9" * 40 + " 0 0 0 0", "beyond 64 bits"),
    ],
)
def test_a_text_that_is_no_model_is_refused(name: str, value: str, said: str) -> None:
    """Each is one that LightGBM's own reader takes, to read beside its arrays or never to end."""
    with pytest.raises(ValueError, match=said):
        read(changed(name, value))


@pytest.mark.parametrize("lie", [["cat_boundaries", 1000], ["cat_boundaries", -1], ["cat_threshold", -1]])
def test_sets_of_categories_that_lie_are_refused(lie: list) -> None:
    """The words of a set are read from one boundary to the next."""
    name, value = lie
    given = text().split("\n")
    place = next(at for at, line in enumerate(given) if line.startswith(f"{name}="))
    given[place] = given[place].rpartition(" ")[0] + f" {value}"
    with pytest.raises(ValueError, match="set"):
        read("\n".join(given))


@pytest.mark.parametrize("boosting", ["gbdt", "rf"])
def test_a_target_far_from_zero_is_met_on_the_whole(boosting: str) -> None:
    """Trees learn it without its mean: it is put back once where they are summed, in each where they are averaged."""
    settings = {**(LEARNER.settings or {}), "boosting": boosting, "bagging_fraction": 0.5, "bagging_freq": 1}
    predicted = LightGBMRegressor(settings).fit(ROWS, TARGET + 1e4).predict(ROWS)
    assert abs(float(np.mean(predicted)) - 1e4 - float(np.mean(TARGET))) < 0.5


def test_a_text_that_is_cut_off_is_refused() -> None:
    """Half a download."""
    for length in (0, 10, 200, len(text()) - 20):
        with pytest.raises(ValueError, match="cut off"):
            read(text()[:length])


def test_what_follows_the_trees_is_left_out() -> None:
    """Parameters, importances and what else is written there reach no reader."""
    assert written(read(text() + "\nparameters:\n[machines: evil]\nend of parameters\n")) == text()


FUZZ = """
import json, random, sys
import numpy as np
from training.lightgbm_text import LightGBMRegressor
text, seed = sys.stdin.read(), int(sys.argv[1])
draw = random.Random(seed)
words = ["-1", "0", "1", "2", "7", "31", "32", "64", "99999999", "-99999999", "2147483648", "1e400", "nan", "inf",
         "", "=", "Tree=0", "num_leaves=1", "\\x00", "\\u0661", "1_0", "is_linear=1", "end of trees", "4294967295"]
rows = np.array([[0.0, 1.0, 2.0], [np.nan, -1e300, 69.0], [1e300, 5e-324, -4.0]])
counts = {"refused": 0, "answered": 0}
for _ in range(600):
    tokens = text.replace("=", " = ").replace("\\n", " \\n ").split(" ")
    for _ in range(draw.randint(1, 4)):
        at = draw.randrange(len(tokens))
        kind = draw.random()
        if kind < 0.5:
            tokens[at] = draw.choice(words)
        elif kind < 0.7:
            del tokens[at]
        elif kind < 0.85:
            tokens.insert(at, draw.choice(tokens))
        else:
            del tokens[at : at + draw.randint(1, 60)]
    model = LightGBMRegressor()
    model.text_ = " ".join(tokens).replace(" = ", "=").replace(" \\n ", "\\n")
    model.n_features_in_ = 3
    try:
        found = model.predict(rows)
        assert found.shape == (3,)
        counts["answered"] += 1
    except (ValueError, TypeError) as error:
        counts["refused"] += 1
    except Exception as error:
        assert type(error).__name__ == "LightGBMError" and "number of features" in str(error), error
        counts["refused"] += 1
print(json.dumps(counts))
"""


def test_mutilated_texts_end_no_process() -> None:
    """In a process of its own, which a crash of LightGBM's would end: each is refused, or answers with numbers."""
    command = [sys.executable, "-c", FUZZ, "1"]
    options = {"capture_output": True, "text": True, "timeout": 120, "cwd": ROOT}
    done = subprocess.run(command, check=False, input=text(), **options)
    assert done.returncode == 0, done.stderr[-2000:]
    counts = json.loads(done.stdout.splitlines()[-1])
    assert counts["refused"] > 200
    assert counts["answered"] > 20


def test_a_file_that_holds_it_runs_no_code(tmp_path: Path) -> None:
    """Skops is told of one type, ours, whose state is text and numbers; what is kept has no handle of LightGBM's."""
    model = LEARNER.fit(ROWS, TARGET)
    expected = model.predict(ROWS)
    assert "_booster" in vars(model)
    skops.io.dump(model, tmp_path / "model.skops")
    needed = skops.io.get_untrusted_types(file=tmp_path / "model.skops")
    assert needed == ["training.lightgbm_text.LightGBMRegressor"]
    loaded = skops.io.load(tmp_path / "model.skops", trusted=needed)
    assert "_booster" not in vars(loaded)
    np.testing.assert_array_equal(loaded.predict(ROWS), expected)


def test_the_same_rows_and_seed_give_the_same_text() -> None:
    """Whatever OpenMP is told: two processes, one and two threads; another seed draws otherwise."""
    script = """
import numpy as np
from training.lightgbm_text import LightGBMRegressor
random = np.random.default_rng(0)
x = random.normal(size=(4000, 6))
y = x[:, 0] * x[:, 1] + random.normal(size=4000)
drawn = {"bagging_freq": 1, "bagging_fraction": 0.5, "feature_fraction": 0.5, "extra_trees": True}
import hashlib
for seed in (0, 1):
    text = LightGBMRegressor({"num_iterations": 30, **drawn}, seed=seed).fit(x, y).text_
    print(hashlib.sha256(text.encode()).hexdigest())
"""
    found = []
    for threads in ("1", "2"):
        environment = {"OMP_NUM_THREADS": threads, "PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}
        command = [sys.executable, "-c", script]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
        found.append(done.stdout.split())
    assert found[0] == found[1]
    assert found[0][0] != found[0][1]
