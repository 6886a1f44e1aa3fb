"""Errors of entry points: one clear line and an exit code, a traceback only for bugs."""

import errno
import os
import sys
from collections.abc import Callable

from src.core.errors import UserError

# of a path that a user gave: no permission, a file where a folder should be, a full disk
PATH_ERRORS = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.ENOSPC, errno.EDQUOT)
INTERRUPTED = "interrupted; re-run the same command to resume from the last checkpoint"


def run(
    main: Callable[[list[str]], None], argv: list[str] | None = None, *, interrupted: str = INTERRUPTED
) -> int:
    """Call an entry point and turn its end into an exit code.

    Args:
        interrupted: the message after Ctrl-C.

    Returns:
        0 when done, 2 after a user's mistake or an unusable path (one line on stderr; a kind of mistake may
        have another code), 130 after Ctrl-C.
    """
    try:
        main(sys.argv[1:] if argv is None else argv)
    except UserError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print(interrupted, file=sys.stderr)
        return 130
    except BrokenPipeError:  # `... --help | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        if error.errno not in PATH_ERRORS:
            raise
        where = f"{error.filename}: " if error.filename else ""
        print(f"error: {where}{error.strerror}", file=sys.stderr)
        return 2
    return 0
