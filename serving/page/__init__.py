"""The page for people: one file of HTML, one of CSS, one module of JavaScript, and what they ask of a model."""

from serving.page.model_form import of_scorer, of_signature
from serving.page.static_files import PageFile, page_files, wants_html

__all__ = ["PageFile", "of_scorer", "of_signature", "page_files", "wants_html"]
