"""What a model takes and gives, in OpenAPI's words."""

from serving.openapi.describing import document, under, with_captures
from serving.openapi.forms import of_scorer, of_signature

__all__ = ["document", "of_scorer", "of_signature", "under", "with_captures"]
