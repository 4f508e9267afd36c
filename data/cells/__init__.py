"""How the texts of a column are read: as numbers, dates, durations, booleans or categories."""
