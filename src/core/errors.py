"""Mistakes that a user can mend: entry points show the text in one line and end with exit code 2."""


class UserError(ValueError):
    """Bad input. The message names what, where, and what would work, in one line."""
