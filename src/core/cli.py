"""What every entry point does with errors: one clear line and an exit code, a traceback only for bugs."""

import os
import sys
from collections.abc import Callable

from src.core.errors import UserError

INTERRUPTED = "interrupted; re-run the same command to resume from the last checkpoint"


def run(
    main: Callable[[list[str]], None], argv: list[str] | None = None, *, interrupted: str = INTERRUPTED
) -> int:
    """Call an entry point and turn its end into an exit code.

    Args:
        interrupted: the message after Ctrl-C.

    Returns:
        0 when done, 2 after a user's mistake (its message on stderr), 130 after Ctrl-C.
    """
    try:
        main(sys.argv[1:] if argv is None else argv)
    except UserError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(interrupted, file=sys.stderr)
        return 130
    except BrokenPipeError:  # `... --help | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return 0
