"""Who may ask, from where, and under which paths; sees neither bodies nor models."""
