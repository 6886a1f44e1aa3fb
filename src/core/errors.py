"""Mistakes that a user can fix: entry points print the message in one line and exit with code 2."""


class UserError(ValueError):
    """Bad input. The message names what, where, and what would work, in one line."""
