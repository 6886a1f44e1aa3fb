from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from src.core import config
from src.core.fields import Config, opt


@dataclass(frozen=True, kw_only=True)
class Part:
    width: int = opt(8, "how wide")
    kind: Literal["a", "b"] = opt("a", "which kind")
    betas: tuple[float, float] = opt((0.9, 0.95), "two numbers")

    def __post_init__(self) -> None:
        if self.width % 8:
            raise ValueError(f"width must be divisible by 8, got {self.width}")


@dataclass(frozen=True, kw_only=True)
class Run:
    name: str = opt("???", "what the run is called")
    part: Part = opt(Part(), "a part")
    streams: dict[str, Part] = opt({}, "named parts")
    maybe: Part | None = opt(None, "an optional part")


def test_files_extend_and_overrides_win(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text("name: base\npart: {width: 16, kind: b}\n")
    (tmp_path / "child.yaml").write_text("extends: base.yaml\npart: {width: 24}\n")
    run = config.load(Run, tmp_path / "child.yaml", ["part.betas=[0.1,0.2]", "streams.film.width=32"])
    assert run == Run(
        name="base", part=Part(width=24, kind="b", betas=(0.1, 0.2)), streams={"film": Part(width=32)}
    )


def test_snapshot_loads_to_the_same_config(tmp_path: Path) -> None:
    run = config.load(Run, None, ["name=x", "maybe.width=40", "streams.a.kind=b"])
    (tmp_path / "snapshot.yaml").write_text(config.to_yaml(run))
    assert config.load(Run, tmp_path / "snapshot.yaml") == run


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("part.widht=3", "unknown key part.widht; did you mean part.width?"),
        ("nmae=3", "unknown key nmae; did you mean name?"),
        ("streams.film.widt=8", "unknown key streams.film.widt; did you mean streams.film.width?"),
        ("part.width=abc", "part.width: Value 'abc'"),
        ("part.width=7", "part: width must be divisible by 8, got 7"),
        ("part.kind=z", "part.kind: Invalid value 'z', expected one of"),
        ("part=3", "3"),
    ],
)
def test_mistakes_are_one_line_with_key_and_value(override: str, message: str) -> None:
    with pytest.raises(config.ConfigError) as caught:
        config.load(Run, None, ["name=x", override])
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_required_key_is_named() -> None:
    with pytest.raises(config.ConfigError, match="name must be given"):
        config.load(Run, None)


def test_missing_file_suggests_a_near_name(tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text("name: x\n")
    with pytest.raises(config.ConfigError, match=r"did you mean tiny\.yaml"):
        config.load(Run, tmp_path / "tny.yaml")


def test_circular_extends_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("extends: b.yaml\n")
    (tmp_path / "b.yaml").write_text("extends: a.yaml\n")
    with pytest.raises(config.ConfigError, match="circular"):
        config.load(Run, tmp_path / "a.yaml")


def test_broken_yaml_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("part: [1, 2\n")
    with pytest.raises(config.ConfigError, match=r"bad\.yaml: not valid YAML"):
        config.load(Run, tmp_path / "bad.yaml")


def test_help_shows_every_key_with_default_text_and_type() -> None:
    text = config.help_text(Run)
    for piece in (
        "name=(must be given)",
        "part.width=8",
        "how wide [int]",
        "streams.NAME.kind=a",
        "[a|b]",
        "maybe.betas",
    ):
        assert piece in text


def test_command_line_is_split_and_strangers_are_refused() -> None:
    arguments = config.parse_arguments(["a.yaml", "b.yaml", "x.y=3", "--print"])
    assert arguments.configs == (Path("a.yaml"), Path("b.yaml"))
    assert arguments.overrides == ("x.y=3",)
    assert arguments.print
    assert not arguments.help
    with pytest.raises(config.ConfigError, match="neither"):
        config.parse_arguments(["--verbose"])


@dataclass(frozen=True, kw_only=True)
class Texts:
    out: str = opt("", "a path")
    note: str | None = opt(None, "an optional text")
    metrics: tuple[str, ...] = opt(("video",), "names")
    sizes: tuple[int, ...] = opt((1,), "sizes", ge=1)


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("out=2024_01_01", Texts(out="2024_01_01")),
        ("out=a sign #1", Texts(out="a sign #1")),
        ("out=no", Texts(out="no")),
        ("out=1e-3", Texts(out="1e-3")),
        ("out=key: value", Texts(out="key: value")),
        ("out=a=b", Texts(out="a=b")),
        ("out=''", Texts(out="")),
        ("note=null", Texts(note=None)),
        ("note=null and void", Texts(note="null and void")),
        ("metrics=bounce", Texts(metrics=("bounce",))),
        ("metrics=[no,2024_01_01]", Texts(metrics=("no", "2024_01_01"))),
        ("sizes=3", Texts(sizes=(3,))),
    ],
)
def test_text_fields_take_the_command_line_verbatim(override: str, expected: Texts) -> None:
    assert config.load(Texts, None, [override]) == expected


def test_limits_are_checked_and_in_the_help() -> None:
    with pytest.raises(config.ConfigError, match="sizes must be at least 1, got 3, 0"):
        config.load(Limited, None, ["sizes=[3,0]"])
    assert "[tuple[int, ...]; at least 1]" in config.help_text(Limited)


@dataclass(frozen=True, kw_only=True)
class Limited(Config):
    sizes: tuple[int, ...] = opt((1,), "sizes", ge=1)
    seed: int = opt(0, "seed")
    devices: int = opt(1, "how many", resumable=True)


@dataclass(frozen=True, kw_only=True)
class Outer(Config):
    inner: Limited = opt(Limited(seed=5), "a part")
    named: dict[str, Limited] = opt({}, "named parts")


def test_help_shows_the_defaults_that_hold() -> None:
    assert "inner.seed=5" in config.help_text(Outer)  # a parent's default, not the class's 0
    assert "inner.seed=7" in config.help_text(
        Outer, config.defaults(Outer, config.read([], ["inner.seed=7"]))
    )
    assert config.help_text(Outer, topics=["inner.s"]).splitlines()[0].strip() == "inner.sizes=[1]"
    assert "groups: inner, named" in config.help_text(Outer, topics=["nothing"])


def test_settings_of_any_command_take_text_that_is_no_yaml(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("world: {seed: 3}\n")
    argv = [str(tmp_path / "a.yaml"), "name=[sign", "prompt=a: b: c", "world.size=8"]
    found = config.flat_settings(argv)
    assert found == {"world.seed": 3, "name": "[sign", "prompt": "a: b: c", "world.size": 8}


def test_an_inherited_entry_can_be_removed(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text("named: {a: {seed: 1}, b: {seed: 2}}\n")
    (tmp_path / "child.yaml").write_text("extends: base.yaml\nnamed: {a: null}\n")
    assert config.load(Outer, tmp_path / "child.yaml").named == {"b": Limited(seed=2)}
    assert config.load(Outer, tmp_path / "base.yaml", ["named.b=null"]).named == {"a": Limited(seed=1)}


def test_resumable_keys_are_those_marked() -> None:
    outer = config.load(Outer, None, ["named.x.seed=3"])
    assert config.resumable_keys(outer) == {"inner.devices", "named.x.devices"}


@pytest.mark.parametrize(
    ("argv", "hint"),
    [
        (["--config", "x.yaml"], "name the .yaml file without a flag"),
        (["--train.max_steps", "10"], "write train.max_steps=VALUE"),
        (["--train.max_steps=10"], "write train.max_steps=10"),
    ],
)
def test_other_syntaxes_are_answered_with_ours(argv: list[str], hint: str) -> None:
    with pytest.raises(config.ConfigError, match=hint):
        config.parse_arguments(argv)
