"""Count the mutants that the tests do not notice: of models, flow, losses and keyed order, or of eval.

`python -m benchmarks.mutants` (`make mutants`, about an hour) and `python -m benchmarks.mutants part=eval
per_file=4` (statistics, readers and metrics) draw a seeded sample of 400, at least `per_file` of each file of
`benchmarks/mutant_targets.py`, change one place at a time in a copy of the checkout, and run the file's
tests. A mutant survives if they pass. Results are appended to `out`; the same command resumes, and results of
an older version of a file are measured again. Mutants that no test can notice are listed with a reason in
`benchmarks/equivalent_mutants.json` and do not count.
"""

import compileall
import json
import os
import py_compile
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from queue import Queue
from typing import Any

from benchmarks.mutant_targets import PARTS, ROOT, TARGETS
from benchmarks.mutations import Mutation, find_mutations
from eval.core.intervals import wilson_bounds
from src.core import cli, config, rng
from src.core.errors import UserError
from src.core.fields import Config, opt
from src.core.hashing import file_sha256

EQUIVALENTS = ROOT / "benchmarks" / "equivalent_mutants.json"
PLUGIN = Path(__file__).parent / "mutant_tests.py"
LIBRARIES = (
    *("torch", "torch.export", "torchmetrics.functional.image", "torchmetrics.functional.audio"),
    *("scipy.signal", "scipy.stats", "scipy.ndimage", "scipy.optimize", "scipy.special", "soxr", "av"),
    *("PIL.Image", "sklearn.neighbors", "torch_fidelity", "torchvision", "onnxruntime", "yaml"),
    *("transformers.models.clip.modeling_clip", "transformers.models.vit.modeling_vit"),
)
"""Large ones, imported once for all mutants."""
TIER = "not slow and not services and not long"


@dataclass(frozen=True, kw_only=True)
class MutantsConfig(Config):
    """Sample, processes and time limits."""

    part: str = opt(
        "model", "what is changed: models, flow, losses and keyed order, or eval", choices=tuple(PARTS)
    )
    num: int = opt(400, "number of mutants", ge=1)
    per_file: int = opt(
        5, "mutants of each file at least, as far as it has so many; 0: drawn from all alike", ge=0
    )
    seed: int = opt(0, "seed of the sample")
    only: str = opt("", "only files whose path starts so")
    num_workers: int = opt(2, "processes, each with a copy of the checkout", ge=1)
    slowdown: float = opt(
        4.0, "a mutant that takes this many times as long as the unchanged file is noticed", gt=1
    )
    out: str = opt("runs/mutants.jsonl", "results, one line for each mutant")


@dataclass(frozen=True)
class Mutant:
    """A mutation of a file, and the tests that must notice it."""

    path: str
    sha256: str  # of the unchanged file
    mutation: Mutation
    source_line: str  # the line of code in which it is, stripped
    repeat: int  # number of the same change of the same line, counted from 0 in the file

    @property
    def line(self) -> str:
        """The changed line as in a diff, for people and for the list of equivalents."""
        before, after = (" ".join(each.split()) for each in (self.mutation.before, self.mutation.after))
        return f"{before} -> {after}"


def all_mutants(targets: Iterable[str], only: str = "") -> dict[str, list[Mutant]]:
    """Return every mutant of some targets by file."""
    found: dict[str, list[Mutant]] = {}
    for path in targets:
        if path.startswith(only):
            source = (ROOT / path).read_text(encoding="utf-8")
            lines, sha256 = source.splitlines(), file_sha256(ROOT / path)
            repeats: Counter[tuple[str, str, str]] = Counter()
            found[path] = []
            for each in find_mutations(source):
                line = lines[each.line - 1].strip()
                change = (line, each.before, each.after)
                found[path].append(Mutant(path, sha256, each, line, repeats[change]))
                repeats[change] += 1
    return found


def read_equivalents() -> list[dict[str, str]]:
    """Return the listed equivalents: file, in (its line of code), change, why."""
    return json.loads(EQUIVALENTS.read_text(encoding="utf-8"))


def drop_equivalents(mutants: Iterable[Mutant]) -> list[Mutant]:
    """Return the mutants that are not listed as equivalent."""
    listed = {(each["file"], each["in"], each["change"]) for each in read_equivalents()}
    return [each for each in mutants if (each.path, each.source_line, each.line) not in listed]


def draw_sample(mutants: dict[str, list[Mutant]], num: int, per_file: int, seed: int) -> list[Mutant]:
    """Return `per_file` mutants of each file, and of the others as many as make `num`, in a random order.

    Each mutant has its own random number, so a change of one line hardly changes the sample.
    """

    def order(mutant: Mutant) -> int:
        change = f"{mutant.path}\n{mutant.source_line}\n{mutant.line}"
        return rng.key(seed, f"mutants.{change}", mutant.repeat)

    by_file = [sorted(each, key=order) for each in mutants.values()]
    sample = [mutant for each in by_file for mutant in each[:per_file]]
    rest = sorted((mutant for each in by_file for mutant in each[per_file:]), key=order)
    return sorted(sample + rest[: max(num - len(sample), 0)], key=order)


class Worker:
    """A copy of the checkout in which one mutant at a time is tested."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.plugin = folder.parent / f"{folder.name}.plugin" / PLUGIN.name
        self.plugin.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(PLUGIN, self.plugin)
        listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        done = subprocess.run(listed, cwd=ROOT, check=True, capture_output=True, text=True)
        names = done.stdout.split("\0")
        for name in filter(lambda name: (ROOT / name).is_file(), names):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, folder / name)
        # Checked by hash: two versions of a file within one second and of one size are told apart.
        compileall.compile_dir(folder, quiet=2, invalidation_mode=py_compile.PycInvalidationMode.CHECKED_HASH)

    @cached_property
    def server(self) -> "subprocess.Popen[str]":
        """A process that runs pytest in forks of itself."""
        env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
        env["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # loading them takes longer than most tests
        command = [sys.executable, str(self.plugin), *LIBRARIES]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, cwd=self.folder, env=env, stdin=pipe, stdout=pipe, text=True)

    def close(self) -> None:
        """End the process."""
        self.server.communicate()

    def record_tests(self, path: str) -> tuple[str, list[dict[str, Any]], float]:
        """Return the outcome of an unchanged file's tests, what each of them enters, and their seconds."""
        record = self.folder.parent / f"{self.folder.name}.record.json"
        outcome, seconds = self.run_tests(path, {"MUTANT_RECORD": str(record)})
        tests = json.loads(record.read_text(encoding="utf-8")) if outcome == "passed" else {}
        return outcome, [{"name": name, **each} for name, each in tests.items()], seconds

    def run_tests(
        self, path: str, variables: dict[str, str], limit: float | None = None
    ) -> tuple[str, float]:
        """Return "passed", "failed" or "timeout" of a file's tests, and the seconds that they took."""
        args = ["-x", "-q", "--no-header", "-p", "no:cacheprovider", "-p", PLUGIN.stem]
        output = self.plugin.parent / "output.txt"
        job = {"args": [*args, "-m", TIER, *TARGETS[path]], "env": variables, "limit": limit}
        assert self.server.stdin is not None
        assert self.server.stdout is not None
        print(json.dumps({**job, "output": str(output)}), file=self.server.stdin, flush=True)
        answer = json.loads(self.server.stdout.readline())
        code, seconds = answer["code"], answer["seconds"]
        # of the unchanged file; 1: a test failed, 2: an import; a signal: it crashed
        if limit is None and code is not None and code > 2:
            raise UserError(f"tests of {path} could not run: {output.read_text()[-500:]}")
        return "timeout" if code is None else "passed" if code == 0 else "failed", seconds

    def test(self, mutant: Mutant, limit: float, first: Sequence[str] = ()) -> str:
        """Return the outcome of the tests of a mutant; those named in `first` run first."""
        order = self.folder.parent / f"{self.folder.name}.order.json"
        order.write_text(json.dumps(list(first)), encoding="utf-8")
        path = self.folder / mutant.path
        source = path.read_text(encoding="utf-8")
        path.write_text(mutant.mutation.apply(source), encoding="utf-8")
        try:
            return self.run_tests(mutant.path, {"MUTANT_ORDER": str(order)}, limit)[0]
        finally:
            path.write_text(source, encoding="utf-8")


def entering_tests(mutant: Mutant, tests: list[dict[str, Any]]) -> list[str]:
    """Return the tests that enter the function of a mutant, quick ones first: they notice it soonest."""
    function = [mutant.path, mutant.mutation.function]
    entering = [test for test in tests if function in test["functions"]]
    return [test["name"] for test in sorted(entering, key=lambda test: test["seconds"])]


def measure(sample: Iterable[Mutant], settings: MutantsConfig) -> Iterator[tuple[Mutant, str]]:
    """Yield each mutant and its outcome as it is known: "no tests" if those of the unchanged file fail."""
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        workers: Queue[Worker] = Queue()
        for index in range(settings.num_workers):
            workers.put(stack.enter_context(closing(Worker(Path(folder, str(index))))))
        pool = stack.enter_context(ThreadPoolExecutor(settings.num_workers))
        unchanged: dict[tuple[str, ...], tuple[str, list[dict[str, Any]], float]] = {}

        def test(mutant: Mutant) -> tuple[Mutant, str]:
            worker = workers.get()
            try:
                key = TARGETS[mutant.path]
                if key not in unchanged:
                    unchanged[key] = worker.record_tests(mutant.path)
                outcome, tests, seconds = unchanged[key]
                if outcome != "passed":
                    return mutant, "no tests"
                first = entering_tests(mutant, tests)
                return mutant, worker.test(mutant, 10 + settings.slowdown * seconds, first)
            finally:
                workers.put(worker)

        yield from pool.map(test, sample)


def read_outcomes(path: Path) -> dict[tuple[object, ...], str]:
    """Return the outcomes measured so far."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return {
        _key(each["path"], each["sha256"], each["mutation"]): each["outcome"]
        for each in map(json.loads, lines)
    }


def _key(path: str, sha256: str, mutation: dict[str, object]) -> tuple[object, ...]:
    return path, sha256, mutation["start"], mutation["end"], mutation["after"]


def format_report(outcomes: list[tuple[Mutant, str]]) -> str:
    """Return the survivors, the counts by folder, and the fraction that survives with its Wilson interval."""
    survivors = [mutant for mutant, outcome in outcomes if outcome == "passed"]
    lines = [
        f"{m.path}:{m.mutation.line}: {m.mutation.kind}: {m.line}" for m in sorted(survivors, key=_place)
    ]
    for folder in sorted({m.path.rsplit("/", 1)[0] for m, _ in outcomes}):
        inside = [outcome for m, outcome in outcomes if m.path.rsplit("/", 1)[0] == folder]
        lines.append(f"{folder}: {inside.count('passed')} of {len(inside)} survive")
    num, low_high = len(outcomes), wilson_bounds(len(survivors), len(outcomes))
    low, high = (100 * bound for bound in low_high)
    percent = f"{100 * len(survivors) / num:.1f} % [{low:.1f}, {high:.1f}]"
    lines.append(f"{len(survivors)} of {num} survive: {percent}, the goal is at most 10 %")
    return "\n".join(lines)


def _place(mutant: Mutant) -> tuple[str, int]:
    return mutant.path, mutant.mutation.start


def main(argv: list[str]) -> None:
    """Test the mutants that are not yet in `out`, and print the report."""
    settings = config.from_command_line(MutantsConfig, argv, __doc__)
    if settings is None:
        return
    mutants = all_mutants(PARTS[settings.part], settings.only)
    if not mutants:
        raise UserError(
            f"only={settings.only} is no file of part={settings.part} (benchmarks/mutant_targets.py)"
        )
    drawn = draw_sample(mutants, settings.num, settings.per_file, settings.seed)
    sample = drop_equivalents(drawn)
    out = Path(settings.out)
    out.parent.mkdir(parents=True, exist_ok=True)
    keys = {mutant: _key(mutant.path, mutant.sha256, asdict(mutant.mutation)) for mutant in sample}
    known = read_outcomes(out)
    left = [mutant for mutant in sample if keys[mutant] not in known]
    with out.open("a", encoding="utf-8") as file:
        for number, (mutant, outcome) in enumerate(measure(left, settings), 1):
            known[keys[mutant]] = outcome
            if outcome != "no tests":
                print(json.dumps({**asdict(mutant), "outcome": outcome}), file=file, flush=True)
            print(
                f"{number}/{len(left)} {outcome}: {mutant.path}:{mutant.mutation.line}: {mutant.line}",
                flush=True,
            )
    outcomes = [(mutant, known[keys[mutant]]) for mutant in sample]
    if measured := [each for each in outcomes if each[1] != "no tests"]:
        print(f"{len(drawn) - len(sample)} of {len(drawn)} are listed as equivalent and do not count")
        print(format_report(measured))
    if failing := sorted({mutant.path for mutant, outcome in outcomes if outcome == "no tests"}):
        raise UserError(f"not measured, for their tests fail without a mutant: {', '.join(failing)}")


if __name__ == "__main__":
    sys.exit(cli.run(main))
