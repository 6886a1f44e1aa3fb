"""Format the numbers of `benchmarks.video` as Markdown: a table per size and dtype, and the goals."""

from collections.abc import Iterator

from benchmarks.record import BenchmarkRecord, Numbers
from benchmarks.video_models import ATTAINABLE, OURS, TIMES

PHASES = {"forward": "forward", "train": "forward + backward", "checkpointed": "with checkpointing"}
ATTAINABLE_FRACTION = 0.7  # goal, of the attainable peak
MARGIN = {"float32": 1.0, "bfloat16": 1.25}  # goal, speedup over the best peer
STEP = 1.1  # goal, cost of a sampling step in forward passes
MEMORY_KB, MEMORY_SIZE = 284, ("384", "1024", "float32")  # goal, without checkpointing


def format_markdown(record: BenchmarkRecord) -> str:
    """Return the tables and goals of all cases in the record."""
    rows: dict[tuple[str, ...], dict[str, Numbers]] = {}
    for case, numbers in record.minimum().items():
        model, *size = case.split("/")
        row = rows.setdefault(tuple(size), {})
        for key, value in numbers.items():
            name, _, phase = key.rpartition("/") if model == TIMES else (model, "", key)
            row.setdefault(name, {})[phase] = value
    versions = ", ".join(f"{name} {version}" for name, version in record.fixed["versions"].items())
    processes = min(map(len, record.runs.values()), default=0)
    lines = [
        f"CPU time of one thread, all models interleaved, minimum of {processes} or more processes; "
        f"{versions}. In brackets: speedup over the best peer. Differences below 10 % are noise.",
    ]
    for size in sorted(rows, key=lambda s: (int(s[0]), int(s[1]), s[2])):
        lines += ["", "### width {}, {} tokens, {}".format(*size), "", *_table(rows[size])]
    goals = [line for size, models in sorted(rows.items()) for line in _goals(size, models)]
    return "\n".join(
        [*lines, "", "### Goals", "", "| size | goal | measured | met |", "|---|---|---|---|", *goals, ""]
    )


def _best(models: dict[str, Numbers], key: str) -> float | None:
    """Return the minimum over the peers."""
    return min((n[key] for m, n in models.items() if m not in (OURS, ATTAINABLE)), default=None)


def _table(models: dict[str, Numbers]) -> Iterator[str]:
    columns = [f"{title} us/token" for title in PHASES.values()] + [
        f"{PHASES[phase]} KB/token" for phase in ("train", "checkpointed")
    ]
    yield "| model | parameters | " + " | ".join(columns) + " |"
    yield "|---|---|" + "---|" * len(columns)
    keys = [f"{phase}_us" for phase in PHASES] + ["train_kb", "checkpointed_kb"]
    for model, numbers in models.items():
        cells = [_cell(model, numbers, models, key) for key in keys]
        parameters = f"{numbers['parameters'] / 1e6:.1f} M" if "parameters" in numbers else "-"
        yield f"| {model} | {parameters} | " + " | ".join(cells) + " |"
    if "step_us" in models.get(OURS, {}):
        ours = models[OURS]
        yield ""
        step, forward = ours["step_us"], ours["pass_us"]
        yield f"Guided sampling step: {step:,.0f} us/token, its forward pass {forward:,.0f}."


def _cell(model: str, numbers: Numbers, models: dict[str, Numbers], key: str) -> str:
    if key not in numbers or (model == ATTAINABLE and key.endswith("_kb")):
        return "-"
    best = _best(models, key)
    ratio = f" ({best / numbers[key]:.2f}x)" if model == OURS and best else ""
    return f"{numbers[key]:,.0f}{ratio}"


def _goals(size: tuple[str, ...], models: dict[str, Numbers]) -> Iterator[str]:
    if OURS not in models:
        return
    ours, title = models[OURS], " / ".join(size)

    def line(goal: str, measured: str, met: bool) -> str:
        return f"| {title} | {goal} | {measured} | {'yes' if met else 'no'} |"

    for phase, name in PHASES.items():
        key, margin = f"{phase}_us", MARGIN[size[2]]
        if best := _best(models, key):
            ratio = best / ours[key]
            yield line(f"{name}: {margin:g}x the best peer", f"{ratio:.2f}x", ratio >= margin)
        if key in models.get(ATTAINABLE, {}):
            fraction = models[ATTAINABLE][key] / ours[key]
            yield line(
                f"{name}: {ATTAINABLE_FRACTION:.0%} of the attainable peak",
                f"{fraction:.0%}",
                fraction >= ATTAINABLE_FRACTION,
            )
    for key, name in (("train_kb", "peak memory"), ("checkpointed_kb", "peak memory with checkpointing")):
        if best := _best(models, key):
            yield line(f"{name}: the best peer's", f"{best / ours[key]:.2f}x", ours[key] <= best)
    if size == MEMORY_SIZE:
        measured = ours["train_kb"]
        yield line(f"at most {MEMORY_KB} KB/token", f"{measured:.0f}", measured <= MEMORY_KB)
    cost = ours["step_us"] / ours["pass_us"]
    yield line(f"sampling step: {STEP:g} forward passes", f"{cost:.2f}", cost <= STEP)
