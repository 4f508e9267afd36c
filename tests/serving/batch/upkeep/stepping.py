"""Runs a few callables step by step, in every order of their steps that leads somewhere else.

Each runs in a thread of its own and stops before each step. What it does next follows from what its steps have told it;
so two orders that have told all of them the same, over the same shared state, go on the same way: one is followed.
Of two steps that do not touch each other one order is followed, by sleep sets (Godefroid 1996, LNCS 1032, chapter 5):
all states are seen, on fewer ways.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

_here = threading.local()
ALL = "*"
"""Whatever there is: read where it is listed."""


@dataclass(frozen=True)
class Step:
    """What a step reads and writes; `holds` where it waits for what one alone may hold."""

    reads: frozenset[str] = frozenset()
    writes: frozenset[str] = frozenset()
    holds: bool = False

    def touches(self, other: Step) -> bool:
        """Whether the order of two steps makes a difference."""
        return (
            (self.holds and other.holds)
            or bool(self.writes & (other.reads | other.writes) or self.reads & other.writes)
            or bool((self.writes and ALL in other.reads) or (ALL in self.reads and other.writes))
        )


class Ended(BaseException):
    """Ends a thread that is followed no further."""


class Actor:
    """One of those who run."""

    def __init__(self, name: str, run: Callable[[], Any]) -> None:
        self.name, self.result, self.error = name, None, None
        self.told: int = 0
        self.is_over, self.is_cut, self.next = False, False, Step()
        self._go, self._stopped = threading.Lock(), threading.Lock()
        self._go.acquire()
        self._stopped.acquire()
        self._thread = threading.Thread(target=self._run, args=(run,), daemon=True)
        self._thread.start()
        self._stopped.acquire()

    def _run(self, run: Callable[[], Any]) -> None:
        _here.actor = self
        try:
            self.stop(Step())
            self.result = run()
        except Ended:
            pass
        except Exception as error:  # whatever it is, the test says of it what it thinks
            self.error = error
        self.is_over = True
        self._stopped.release()

    @property
    def stands(self) -> Hashable:
        """Where it is: how it came here, and how it ended."""
        return self.told, self.is_over, repr(self.error), repr(self.result)

    def stop(self, before: Step) -> None:
        """Wait for one's turn."""
        self.next = before
        self.told = hash((self.told, before))
        self._stopped.release()
        self._go.acquire()
        if self.is_cut:
            raise Ended

    def go(self) -> None:
        """Do the next step."""
        self._go.release()
        self._stopped.acquire()

    def cut(self) -> None:
        """End it where it is."""
        self.is_cut = True
        while not self.is_over:
            self.go()
        self._thread.join()


def step(*, reads: Sequence[str] = (), writes: Sequence[str] = (), holds: bool = False) -> None:
    """Stop before a step, in the thread of an actor."""
    if actor := getattr(_here, "actor", None):
        actor.stop(Step(frozenset(reads), frozenset(writes), holds))


def tell(what: Hashable) -> None:
    """Note what a step has told."""
    if actor := getattr(_here, "actor", None):
        actor.told = hash((actor.told, what))


def own_name(*_: Any) -> str:
    """Return the name of the actor that asks, in the place of a random one."""
    return str(_here.actor.name) if hasattr(_here, "actor") else "nobody"


class Holding:
    """What one actor may hold at a time."""

    def __init__(self) -> None:
        self.by = ""

    @contextmanager
    def held(self) -> Iterator[None]:
        """Wait for it."""
        step(holds=True)
        assert not self.by, f"{self.by} holds it"
        self.by = own_name()
        try:
            yield
        finally:
            self.by = ""


@dataclass(frozen=True)
class Story:
    """What is followed.

    Attributes
    ----------
    begin : callable
        Puts all back, and returns those who run, before their first step.
    state : callable
        Returns what they share.
    check : callable
        Raises AssertionError for a state that must not be.
    end : callable
        Raises it where all are over, for how they are.
    """

    begin: Callable[[], tuple[Sequence[Actor], Holding]]
    state: Callable[[], Hashable]
    check: Callable[[], None]
    end: Callable[[Sequence[Actor]], None]

    @contextmanager
    def begun(self, done: list[int]) -> Iterator[tuple[Sequence[Actor], Holding]]:
        """Yield those who run after some steps, and say which steps those were where something is wrong."""
        actors, holding = self.begin()
        try:
            for place in done:
                actors[place].go()
            yield actors, holding
        except AssertionError as error:
            names = " ".join(actors[place].name for place in done)
            raise AssertionError(f"{error}\nafter steps of: {names}") from error
        finally:
            for actor in actors:
                actor.cut()


def who_can(actors: Sequence[Actor], holding: Holding) -> list[int]:
    """Return whose next step can be done; raises AssertionError where all that are left wait for each other."""
    can = [
        place
        for place, actor in enumerate(actors)
        if not actor.is_over and not (actor.next.holds and holding.by)
    ]
    assert can or all(actor.is_over for actor in actors), "nobody can go on"
    return can


def some_orders(story: Story, count: int) -> None:
    """Follow so many orders, the same ones each time: half of the steps are of who did the one before."""
    draw = random.Random(count)
    for _ in range(count):
        done: list[int] = []
        with story.begun(done) as (actors, holding):
            while can := who_can(actors, holding):
                last = done[-1:] if done and done[-1] in can and draw.random() < 0.5 else can
                done.append(draw.choice(last))
                writes = actors[done[-1]].next.writes
                actors[done[-1]].go()
                if writes:
                    story.check()
            story.end(actors)


def every_order(story: Story) -> int:
    """Follow all orders, and return how many states there were."""
    seen: dict[Hashable, list[frozenset[int]]] = {}
    left: list[tuple[list[int], frozenset[int]]] = [([], frozenset())]
    while left:
        done, asleep = left.pop()
        with story.begun(done) as (actors, holding):
            shared = None
            while True:
                if shared is None:
                    shared = story.state()
                    story.check()
                key = (shared, holding.by, *(each.stands for each in actors))
                before = seen.setdefault(key, [])
                if any(each <= asleep for each in before):
                    break
                before.append(asleep)
                ways = _ways(actors, who_can(actors, holding), asleep)
                if not ways:
                    if all(actor.is_over for actor in actors):
                        story.end(actors)
                    break
                left += [([*done, place], after) for place, after in ways[1:]]
                place, asleep = ways[0]
                if actors[place].next.writes:
                    shared = None
                actors[place].go()
                done.append(place)
    return len(seen)


def _ways(
    actors: Sequence[Actor], can: list[int], asleep: frozenset[int]
) -> list[tuple[int, frozenset[int]]]:
    """Return who may do a step, and whose next step need not be tried directly after that."""
    sleeps, ways = set(asleep), []
    for place in can:
        if place not in asleep:
            after = {each for each in sleeps if not actors[each].next.touches(actors[place].next)}
            ways.append((place, frozenset(after)))
            sleeps.add(place)
    return ways
