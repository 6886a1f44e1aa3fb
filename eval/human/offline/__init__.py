"""A session of a study as one file that needs no server, and the import of its answers."""
