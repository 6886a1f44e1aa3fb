"""Mistakes that a user can fix: entry points print the message in one line and exit with the error's code."""


class UserError(ValueError):
    """Bad input. The message names what, where, and what would work, in one line."""

    exit_code = 2
