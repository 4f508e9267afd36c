"""Lines of JSON about requests: a sample for operators, and the audit of who was refused.

access_log    a sample of those that were answered, and what was refused
audit         each that was refused, in a file of its own
"""

from serving.front.logs.access_log import AccessLog
from serving.front.logs.access_log import logger as access_logger
from serving.front.logs.audit import MOST_PATH, audit_of

__all__ = ["AccessLog", "MOST_PATH", "access_logger", "audit_of"]
