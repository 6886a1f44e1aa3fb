"""The one base class for mistakes that a user can mend: entry points show its text in one line, exit code 2."""


class UserError(ValueError):
    """Bad input. The message names what, where, and what would work, in one line."""
