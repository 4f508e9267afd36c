"""The bytes of a request -> one packed matrix, or faults; knows no protocol and no HTTP."""
