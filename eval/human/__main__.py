"""Human evaluation: `python -m eval.human COMMAND ...`; `COMMAND --help` explains one."""

import importlib
import sys
from collections.abc import Sequence

from src.core.cli import run as run_command
from src.core.errors import UserError
from src.core.suggestions import did_you_mean

COMMANDS = {  # command -> module with `main(argv)`, help
    "axes": ("eval.human.axes", "list the shipped axes and groups of axes"),
    "plan": ("eval.human.plan", "plan a study from manifests of systems"),
    "power": ("eval.human.power", "how many prompts and raters a study needs, or what a given number shows"),
    "coverage": (
        "eval.human.coverage",
        "simulate how often intervals contain the truth, and what adaptive saves",
    ),
    "extend": ("eval.human.extend", "add raters, prompts, systems or an adaptive round to a study"),
    "simulate": ("eval.human.simulate", "fill a study with votes of simulated raters"),
    "serve": ("eval.human.server.serve", "serve a study to raters and its organizer"),
    "links": ("eval.human.server.links", "personal links of raters as CSV; revoke or replace one"),
    "platform": (
        "eval.human.server.platform_files",
        "returned work and payments of Prolific, Mechanical Turk",
    ),
    "delete-rater": ("eval.human.server.delete", "delete a rater with all answers"),
    "export": ("eval.human.server.export", "write votes.jsonl and raters.jsonl from the database"),
    "export-html": ("eval.human.offline.export_html", "a session as one file for a rater without a network"),
    "import-html": ("eval.human.offline.import_html", "read the answers of such a file into the database"),
    "demo": ("eval.human.demo.run", "plan, serve, fill and report a small study with simulated raters"),
    "report": ("eval.human.report", "tables, plots and texts from a study's votes"),
    "exchange": ("eval.human.exchange", "read and write votes in the formats of other tools"),
}


def main(argv: list[str]) -> None:
    """Run one command; a folder in place of `study=FOLDER` names the study."""
    if not argv or argv[0] in ("--help", "-h"):
        print(
            f"{__doc__.strip()}\n\n"
            + "\n".join(f"  {name:12} {text}" for name, (_, text) in COMMANDS.items())
        )
        return
    name, *rest = argv
    if name not in COMMANDS:
        raise UserError(f"eval.human: unknown command {name!r}; {did_you_mean(name, COMMANDS)}")
    importlib.import_module(COMMANDS[name][0]).main(name_study(rest))


def name_study(argv: Sequence[str]) -> list[str]:
    """Return arguments with `study=FOLDER` for a folder that is named alone."""
    return [
        arg if "=" in arg or arg.startswith("-") or arg.endswith((".yaml", ".yml")) else f"study={arg}"
        for arg in argv
    ]


if __name__ == "__main__":
    sys.exit(run_command(main, interrupted="interrupted"))
