"""What captured rows are held to: a contract that is given, or that the champion's training kept, or its own rows.

Who knows better than these rows passes a contract.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from data import contracts
from data.contracts import Contract
from training.lessons import contract_of
from training.records import tracking
from training.retraining.asked import Asked


@dataclass(frozen=True)
class Kept:
    """What captured rows are held to, and its text where it is a file."""

    contract: Contract
    text: str = ""


def kept_contract(asked: Asked) -> Kept:
    """Return what captured rows are held to; raises ContractError where a file that was given is none."""
    if asked.wishes.contract:
        path = Path(asked.wishes.contract)
        return Kept(contracts.read(path), path.read_text(encoding="utf-8"))
    where = f"the contract of {asked.name} version {asked.champion.number}"
    if recorded := tracking.recorded_contract(asked.champion.trained_in, where=where):
        return Kept(*recorded)
    where = f"the rows that {asked.name} version {asked.champion.number} was made from"
    return Kept(contract_of(asked.champion.schema, asked.reference, where))
