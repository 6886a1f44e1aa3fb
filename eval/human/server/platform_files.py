"""Files of crowd platforms: `python -m eval.human platform STUDY returned=EXPORT.csv pay=payments.csv`.

`returned` is the CSV that Prolific or Mechanical Turk exports: sessions of people who returned their work or
ran out of time are given to others. `pay` is written: code, minutes and amount of everyone who finished or
was screened out.
"""

import csv
import time
from dataclasses import dataclass
from pathlib import Path

from eval.human.server import platforms
from eval.human.server.config import DatabaseConfig
from eval.human.server.opening import open_study
from src.core.atomic import atomic_write
from src.core.config import from_command_line
from src.core.errors import UserError
from src.core.fields import opt


@dataclass(frozen=True, kw_only=True)
class PlatformFilesConfig(DatabaseConfig):
    """Files to read and write."""

    returned: str = opt("", "CSV exported by the platform, with ids and status")
    pay: str = opt("", "CSV of payments to write")


def main(argv: list[str]) -> None:
    """Parse the command line, return sessions, write payments."""
    config = from_command_line(PlatformFilesConfig, argv, __doc__)
    if config is None:
        return
    if not config.returned and not config.pay:
        raise UserError("platform: name returned=EXPORT.csv, pay=payments.csv, or both")
    if config.returned and not Path(config.returned).is_file():
        raise UserError(f"returned: no such file: {config.returned}")
    with open_study(config) as (study, database):
        if config.returned:
            with database.write() as session:
                try:
                    content = Path(config.returned).read_bytes()
                    gone = platforms.return_work(session, content, time.time())
                except ValueError as error:
                    raise UserError(f"returned: {config.returned}: {error}") from error
            print(f"{len(gone)} sessions are free again")
        if config.pay:
            with database.read() as session:
                rows = platforms.payments(session, study)
            with atomic_write(config.pay) as path, path.open("w", encoding="utf-8", newline="") as file:
                writer = csv.writer(file)
                writer.writerow(platforms.PAYMENT_COLUMNS)
                writer.writerows([[platforms.csv_cell(cell) for cell in row] for row in rows])
            print(f"{len(rows)} payments in {config.pay}")
