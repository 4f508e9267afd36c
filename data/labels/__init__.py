"""What became of predictions, as people send it back: labels, read strictly, and written as records of captures.

    reading_labels  a label's cells, checked
    label_columns   a table's columns as such cells

Nothing here imports pyarrow before a table comes: a worker must not.
"""

from data.labels.label_columns import LABEL_COLUMNS, of_texts, of_values
from data.labels.reading_labels import ABSENT, NAMES, Label, LabelFault, LabelReader, labels_record

__all__ = [
    "ABSENT",
    "LABEL_COLUMNS",
    "NAMES",
    "Label",
    "LabelFault",
    "LabelReader",
    "labels_record",
    "of_texts",
    "of_values",
]
