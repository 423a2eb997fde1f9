"""One file a schema change, oldest first; a released one is never edited."""
