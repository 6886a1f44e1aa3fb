"""Play with a video model on a local page: `python -m play [key=value ...]`.

Type or build a prompt, choose length, size, seed and guidance; the page shows the video, what a checker reads
in it, and what the model expected at each step. Works without a network. Stop it with Ctrl-C.
"""

import socket
import sys

from play.config import PlayConfig
from src.core import cli
from src.core.config import from_command_line
from src.core.errors import UserError


def main(argv: list[str]) -> None:
    """Load the model and serve until Ctrl-C."""
    settings = from_command_line(PlayConfig, argv, __doc__)
    if settings is None:
        return
    # Imported after parsing: torch takes seconds, which --help and a mistyped key do not need.
    import uvicorn

    from play.app import create_app
    from play.session import PlaySession

    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((settings.host, settings.port))
        except OSError as error:
            raise UserError(f"port={settings.port}: {error.strerror}; give another port=") from error
        app = create_app(PlaySession(settings))
        print(f"open http://{settings.host}:{listener.getsockname()[1]}/ (Ctrl-C stops)", flush=True)
        config = uvicorn.Config(app, log_level="warning", access_log=False, server_header=False)
        uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    sys.exit(cli.run(main, interrupted="stopped"))
