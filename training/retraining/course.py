"""What a call of the monitor does about retraining: what was begun is finished, the challenger is judged, and only then
it is asked whether to train.

Each step leaves a state from which the next call goes on: kill it anywhere and call it again, and the same is decided.
"""

from __future__ import annotations

from training.retraining import process, rule, teaching, verdicts
from training.retraining.asked import Asked
from training.retraining.facts import Traffic, costs_of, facts_of, labelled_rows
from training.retraining.memory import Memory


def follow(asked: Asked) -> None:
    """Judge the challenger, then train one where the rule says so; say what was done and why, or why not.

    Raises
    ------
    ContractError
        A contract was given and cannot be read.
    UsageError
        What the monitor knows was written by somebody else.
    """
    teaching.kept_contract(asked)
    with process.alone(asked.trainings / f"{asked.name}.lock") as lock:
        if lock is None:
            asked.say("retrain", f"another process trains or judges {asked.name}: nothing was done")
            return
        memory = Memory.of(asked.run)
        teaching.finish(asked, memory)
        if not verdicts.judge(asked, memory):
            _say(asked, _answered(asked, memory, lock))


def _answered(asked: Asked, memory: Memory, lock: int) -> str:
    """Ask the rule and do what it says; return the sentence."""
    traffic = Traffic()
    rows = labelled_rows(asked, traffic)
    decision = rule.decide(facts_of(asked, memory, rows, traffic), costs_of(asked))
    if decision.sum:
        asked.say("costs", decision.sum)
    if not decision.cause:
        return decision.sentence
    asked.say("retrain", decision.sentence)
    refused = teaching.teach(asked, memory, rows, decision, lock)
    return f"did not retrain, because {refused}" if refused else decision.sentence


def _say(asked: Asked, sentence: str) -> None:
    if sentence.startswith("did not"):
        asked.say("retrain", sentence)
    asked.run.say_retraining(sentence)
