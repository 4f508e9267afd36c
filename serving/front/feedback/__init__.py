"""What a worker does with labels that come back: reads them strictly, and writes them before it says so."""

from serving.front.feedback.feedback_figures import FeedbackFigures
from serving.front.feedback.label_requests import Feedback, FeedbackErrors, Sent
from serving.front.feedback.label_writing import LabelWriter
from serving.settings import Settings

__all__ = ["Feedback", "FeedbackErrors", "Sent", "feedback_of"]


def feedback_of(settings: Settings) -> Feedback | None:
    """Return what takes a worker's labels; none where no predictions are kept."""
    if not settings.capture.folder:
        return None
    writer = LabelWriter(settings.capture)
    return Feedback(settings.limits, writer, FeedbackFigures())
