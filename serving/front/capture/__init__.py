"""What a worker keeps of its predictions: rows wait in memory for a moment, and a thread writes them to a file."""

from serving.front.capture.capture_figures import CaptureFigures
from serving.front.capture.frame_writer import Writer
from serving.front.capture.kept_requests import Capture
from serving.settings import Settings

__all__ = ["Capture", "capture_of"]


def capture_of(settings: Settings) -> Capture | None:
    """Return what keeps a worker's predictions, if anything should."""
    if not settings.capture.folder:
        return None
    figures = CaptureFigures()
    return Capture(settings.capture, Writer(settings.capture, figures), figures, workers=settings.workers)
