"""What loading a version leaves behind is free before the next one is loaded."""

import gc

from serving.front import Backend
from serving.settings import Model, Settings
from serving.worker import draining_server as worker


def test_a_version_that_is_let_go_leaves_nothing_for_the_collector(line):
    """A worker that follows a model for months stays as it was; json's own encoder leaves cycles."""
    model, backend = Model(str(line / "scorer")), Backend([], Settings(models=()))
    worker._load_again(model, backend)
    gc.collect()
    gc.disable()
    try:
        before = len(gc.get_objects())
        for _ in range(20):
            worker._load_again(model, backend)
        assert len(gc.get_objects()) - before < 20
    finally:
        gc.enable()
