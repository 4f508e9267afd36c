"""What the server's command line says, checked before a worker starts.

command_line      the grammar, and the settings that it makes
caller_options    who may ask: keys, tokens, certificates; the audit
capture_options   what is kept of predictions, and where
bounded           numbers within bounds
"""

from serving.options.capture_options import prepare_captures
from serving.options.command_line import parser, settings_of, sources_of

__all__ = ["parser", "prepare_captures", "settings_of", "sources_of"]
