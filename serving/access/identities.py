"""Who asked, and what he may do: what keys, tokens and certificates have in common."""

from __future__ import annotations

from dataclasses import dataclass, field

PREDICT, FEEDBACK, METRICS, PAGE = SCOPES = ("predict", "feedback", "metrics", "page")
"""To send rows; to send labels; to read /metrics and /status; to read what else the server says of its models."""

SCORING = frozenset({PREDICT, METRICS, PAGE})
"""All but the labels, which decide what a later version learns: whoever asks for predictions may not say what became
of them."""

NAMES = r"[A-Za-z0-9][\w.@:/+-]{0,63}"
"""How a caller may be called in a file of ours."""


@dataclass(frozen=True)
class RateLimit:
    """So many requests in so many seconds, of one caller; `bucket` is where they are counted."""

    requests: int
    seconds: float
    bucket: bytes = b""


@dataclass(frozen=True)
class Identity:
    """Who asked.

    Attributes
    ----------
    kind : str
        By what he is known: "key", "token", "certificate", or "" for nobody.
    name : str
        Of the key, a token's `sub`, a certificate's name.
    scopes : frozenset of str
        What he may do.
    limit : Limit or None
        How often.
    certificate : str
        The name in the certificate that came with the connection, whatever he is known by.
    doubt : str
        Why what he showed is no credential; it goes to the client, and quotes nothing.
    stranger : str
        The first name in a certificate of the right CA that is not let in.
    """

    kind: str = ""
    name: str = ""
    scopes: frozenset[str] = frozenset()
    limit: RateLimit | None = None
    certificate: str = ""
    doubt: str = field(default="", compare=False)
    stranger: str = field(default="", compare=False)

    def shown(self) -> dict[str, str]:
        """Return what the audit says of him."""
        shown = {self.kind: self.name} if self.kind else {}
        shown |= {"refused_certificate": self.stranger} if self.stranger else {}
        return shown | ({"certificate": self.certificate} if self.certificate else {})


NOBODY = Identity()
"""Of whom nothing is known."""
ANYBODY = Identity(scopes=frozenset(SCOPES))
"""Who asks a server that asks for nothing."""
