"""The account of a network: where its weights, work and memory go, and what each idea saved."""

from striate.ledger.account import Ledger
from striate.ledger.count import count
from striate.ledger.gates import BudgetRequest, Gate, Limit, judge, parse_budget, resolve
from striate.ledger.probe import probe
from striate.ledger.probed import Probe

__all__ = [
    "BudgetRequest",
    "Gate",
    "Ledger",
    "Limit",
    "Probe",
    "count",
    "judge",
    "parse_budget",
    "probe",
    "resolve",
]
