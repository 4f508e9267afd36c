"""How a number is said to a person: four digits and its unit, the same on every page, in every line, at any size.

From 1,000 on whole numbers with marks between thousands; beyond a million millions, and below a ten-thousandth, a
power of ten. What belongs together (a figure, its doubt, its bounds) has equally many decimals. Programs get the
number itself, never these texts.
"""

from __future__ import annotations

import math

MOST_PLAIN = 1e12
LEAST_PLAIN = 1e-4
"""Numbers of a size between these two are written out, others as a power of ten."""

DIGITS = 4
MOST_DIGITS = 7
"""Digits of a number as it is said, and of one whose doubt is small."""


def number(value: float, digits: int = DIGITS) -> str:
    """Write a number to so many digits.

    >>> number(21947.3), number(62.6812), number(0.5), number(1e30), number(1.5e-25), number(2024.0)
    ('21,947', '62.68', '0.5', '1e30', '1.5e-25', '2,024')
    """
    if not math.isfinite(value) or value == 0.0:
        return f"{value + 0.0:g}"
    rounded = float(f"{value:.{digits - 1}e}")
    if not LEAST_PLAIN <= abs(rounded) < MOST_PLAIN:
        return _power(f"{value:.{digits - 1}e}", trim=True)
    if abs(rounded) >= 10.0 ** (digits - 1):
        return f"{value:,.0f}"
    shown = f"{value:,.{_decimals(abs(rounded), digits)}f}"
    return shown.rstrip("0").rstrip(".") if "." in shown else shown


def figure(value: float, unit: str | None = None, standard_error: float | None = None) -> str:
    """Write a number with its unit, and its standard error if there is one.

    >>> figure(17.23456, "min", 0.31)
    '17.23 ± 0.31 min'
    >>> figure(1234.5, "EUR")
    '1,234 EUR'
    """
    if standard_error is None or not math.isfinite(standard_error) or standard_error <= 0.0:
        return with_unit(number(value), unit)
    shown, error = alike(value, standard_error, doubt=standard_error)
    return with_unit(f"{shown} ± {error}", unit)


def alike(value: float, *bounds: float, doubt: float) -> list[str]:
    """Write a figure and its bounds with equally many decimals: four digits of it, or two of its doubt if that is more.

    >>> alike(62.68, 49.3127, 79.67, doubt=13.4)
    ['62.68', '49.31', '79.67']
    """
    values = (value, *bounds)
    size = max(abs(value), doubt if math.isfinite(doubt) else 0.0)
    widest = max(abs(value) for value in (*values, 0.0) if math.isfinite(value))
    if widest >= MOST_PLAIN or 0.0 < size < LEAST_PLAIN:
        return [
            _power(f"{value:.{DIGITS - 1}e}") if value and math.isfinite(value) else f"{value:g}"
            for value in values
        ]
    decimals = _decimals(size, DIGITS) if size else 0
    if 0.0 < doubt < size:
        decimals = max(decimals, min(_decimals(doubt, 2), _decimals(size, MOST_DIGITS)))
    return [f"{round(value, decimals) + 0.0:,.{decimals}f}" for value in values]


def percent(share: float, *, sign: bool = True) -> str:
    """Write a share in percent, to two digits.

    >>> percent(-0.0974), percent(12.3456), percent(0.0, sign=False)
    ('-9.7 %', '+1,235 %', '0 %')
    """
    shown = number(100.0 * share, digits=2)
    return f"{'+' if sign and share > 0.0 else ''}{shown} %"


def with_unit(shown: str, unit: str | None) -> str:
    """Put the unit behind, if there is one."""
    return f"{shown} {unit}" if unit else shown


def _decimals(value: float, digits: int) -> int:
    return max(0, digits - 1 - math.floor(math.log10(value)))


def _power(shown: str, *, trim: bool = False) -> str:
    """Write 1.500e-25 as 1.5e-25, and no plus sign."""
    mantissa, _, exponent = shown.partition("e")
    if trim and "." in mantissa:
        mantissa = mantissa.rstrip("0").rstrip(".")
    return f"{mantissa}e{int(exponent)}"
