"""Whether a version takes the champion's place, and on what evidence."""
