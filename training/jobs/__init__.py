"""The courses of events: one module for each entry point."""
