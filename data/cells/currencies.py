"""The marks of currencies as they stand beside numbers."""

from __future__ import annotations

SIGNS = frozenset(
    ("US$", "R$", "€", "$", "£", "¥", "₹", "₽", "₺", "₩", "zł", "Kč", "Rs.", "Rs", "kr.", "kr", "Fr.")
)
CODES = frozenset(
    (
        *("EUR", "USD", "GBP", "CHF", "JPY", "INR", "CAD", "AUD"),
        *("CNY", "SEK", "NOK", "DKK", "PLN", "CZK", "BRL"),
    )
)
"""Codes of currencies by ISO 4217; in small letters they count, too."""

POINTED = frozenset(["$", "US$", "USD", "£", "GBP", "₹", "Rs", "Rs.", "INR", "¥", "JPY", "CNY", "CAD", "AUD"])
"""Currencies of countries that write a decimal point, or no three digits behind a comma."""


def is_currency(mark: str) -> bool:
    """Return whether a mark beside numbers is a currency."""
    return mark in SIGNS or mark.upper() in CODES
