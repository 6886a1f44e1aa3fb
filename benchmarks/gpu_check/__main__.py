"""Numbers of one GPU in under six minutes, most important first: `python -m benchmarks.gpu_check`.

Needs torch 2.11 or newer and numpy, and neither omegaconf, litdata, lightning nor diffusers; flash-attn and
diffusers are compared where they are installed. Every number is printed and appended to OUT.jsonl at once;
OUT.md is the table of what there is. A case that does not fit into the rest of the budget is skipped, one
that takes over a minute is stopped, and both are stated. Settings, as key=value:

    out=runs/gpu_check         files without suffix
    device=auto                auto (CUDA if available, else CPU), cpu, cuda or cuda:N
    size=auto                  full on a GPU, toy on a CPU: a rehearsal
    budget_s=340               seconds in which all cases end
    cases=all                  some of the cases, separated by commas
    compile_backend=inductor   backend of torch.compile
"""

import faulthandler
import json
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu_check import attention, autoencoder, devices, transformer
from benchmarks.gpu_check.bench import Bench, Case, Row
from benchmarks.gpu_check.sizes import SIZES
from src.core import cli
from src.core.atomic import atomic_write
from src.core.errors import UserError
from src.core.fields import Config, opt
from src.core.markdown import markdown_table
from src.inference.device import resolve_device

CASE_S = 60.0  # no case takes longer
HANGING_S = 15.0  # after the budget: the process ends, even inside a kernel that does not return
# Name -> case, and the seconds without which it is not started.
CASES: dict[str, tuple[Case, float]] = {
    "environment": (devices.environment, 0.0),
    "device parity": (devices.device_parity, 5.0),
    "matmul": (devices.matmul_peak, 5.0),
    "400M step": (transformer.training_step("400M", compiled=False), 15.0),
    "400M step compiled": (transformer.training_step("400M", compiled=True), 40.0),
    "attention parity": (attention.attention_parity, 10.0),
    "1B step": (transformer.training_step("1B", compiled=False), 20.0),
    "TAE video": (autoencoder.tiled_video, 20.0),
    "sampling": (transformer.sampling, 10.0),
    "1B step compiled": (transformer.training_step("1B", compiled=True), 40.0),
    "compile parity": (transformer.compile_parity, 20.0),
    "peers": (attention.peers, 30.0),
    "attention speed": (attention.attention_speed, 10.0),
    "TAE step": (autoencoder.tae_step, 10.0),
    "FSDP2": (transformer.sharded, 10.0),
}


@dataclass(frozen=True, kw_only=True)
class GpuCheckConfig(Config):
    """Settings; parsed without omegaconf."""

    out: str = opt("runs/gpu_check", "files without suffix")
    device: str = opt("auto", "auto, cpu, cuda or cuda:N")
    size: str = opt("auto", "full, toy, or auto", choices=("auto", *SIZES))
    budget_s: float = opt(340.0, "seconds", gt=0)
    cases: str = opt("all", "some of the cases, separated by commas")
    compile_backend: str = opt("inductor", "backend of torch.compile")

    @property
    def names(self) -> list[str]:
        """Names of the chosen cases, in the order of the table."""
        chosen = list(CASES) if self.cases == "all" else [name.strip() for name in self.cases.split(",")]
        unknown = [name for name in chosen if name not in CASES]
        if unknown:
            raise UserError(f"cases={unknown[0]}: no such case; there are {', '.join(CASES)}")
        return [name for name in CASES if name in chosen]


def parse(argv: list[str]) -> GpuCheckConfig:
    """Return the settings of a command line of `key=value`."""
    kinds: dict[str, Any] = {each.name: type(each.default) for each in fields(GpuCheckConfig)}
    values: dict[str, Any] = {}
    for arg in argv:
        key, equals, value = arg.partition("=")
        if not equals or key not in kinds:
            raise UserError(f"argument {arg!r}: give key=value with a key of {', '.join(kinds)}")
        try:
            values[key] = kinds[key](value)
        except ValueError as error:
            raise UserError(f"{arg}: {error}") from error
    try:
        return GpuCheckConfig(**values)
    except ValueError as error:
        raise UserError(str(error)) from error


@dataclass
class Report:
    """Results: a line of JSON for each number, and a table of all of them."""

    out: Path
    lines: list[dict[str, Any]] = field(default_factory=list)

    def add(self, case: str, row: Row, second: float) -> None:
        """Write one number to both files and to the terminal."""
        line = {"case": case, **asdict(row), "second": round(second, 1)}
        self.lines.append(line)
        with open(self.out.with_suffix(".jsonl"), "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        with atomic_write(self.out.with_suffix(".md")) as path:
            path.write_text(self.table(), encoding="utf-8")
        print(f"{second:6.1f} s  {case}: {row.what} {shown(row.value)} {row.unit}  {row.note}", flush=True)

    def table(self) -> str:
        """Return the Markdown table."""
        rows = [
            (line["case"], line["what"], f"{shown(line['value'])} {line['unit']}".strip(), line["note"])
            for line in self.lines
        ]
        return markdown_table(("case", "what", "value", "note"), rows)


def shown(value: float | None) -> str:
    """Format a number with four digits."""
    return "" if value is None else f"{value:.4g}"


class OverTime(Exception):
    """A case took longer than it may."""


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise OverTime in the block after some seconds."""

    def interrupt(*_: object) -> None:
        raise OverTime(f"stopped after {seconds:.0f} s")

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def run_cases(names: list[str], bench: Bench, report: Report, budget_s: float) -> None:
    """Run cases until the budget is spent; skipped, stopped and failed ones are rows of the report."""
    started = time.monotonic()

    def second() -> float:
        return time.monotonic() - started

    for name in names:
        case, need_s = CASES[name]
        left_s = budget_s - second()
        if left_s < max(need_s, 0.1):
            note = f"skipped: needs {need_s:.0f} s, {max(left_s, 0):.0f} s of the budget are left"
            report.add(name, Row("not run", None, "", note), second())
            continue
        try:
            with time_limit(min(CASE_S, left_s)):
                for row in case(bench):
                    report.add(name, row, second())
        except OverTime as error:
            report.add(name, Row("not finished", None, "", str(error)), second())
        except Exception as error:  # a case that fails does not take the numbers of the others with it
            text = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
            report.add(name, Row("failed", None, "", text), second())


def main(argv: list[str]) -> None:
    """Measure and write the report."""
    if {"-h", "--help"} & set(argv):
        print(__doc__)
        return
    settings = parse([arg for arg in argv if arg != "--print"])
    if "--print" in argv:
        print(settings)
        return
    names, device = settings.names, resolve_device(settings.device)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    size = {"auto": "toy" if device.type == "cpu" else "full"}.get(settings.size, settings.size)
    report = Report(Path(settings.out))
    report.out.parent.mkdir(parents=True, exist_ok=True)
    report.out.with_suffix(".jsonl").unlink(missing_ok=True)
    assert sys.__stderr__ is not None
    faulthandler.dump_traceback_later(settings.budget_s + HANGING_S, exit=True, file=sys.__stderr__)
    try:
        run_cases(names, Bench(device, SIZES[size], settings.compile_backend), report, settings.budget_s)
    finally:
        faulthandler.cancel_dump_traceback_later()
    kinds = ("not run", "not finished", "failed")
    missing = [f"{line['case']} ({line['what']})" for line in report.lines if line["what"] in kinds]
    print(f"table: {report.out.with_suffix('.md')}; missing: {', '.join(missing) or 'nothing'}")


if __name__ == "__main__":
    torch.set_float32_matmul_precision("highest")
    sys.exit(cli.run(main, interrupted="interrupted; the numbers so far are in OUT.jsonl and OUT.md"))
