"""What each command is asked to do: words in, a checked configuration out."""
