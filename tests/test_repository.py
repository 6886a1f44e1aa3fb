"""The checkout as a whole: models know nothing of processes, the keys of the command line are as recorded."""

import ast
from pathlib import Path

from data.bounce.config import PromptsConfig
from data.bounce.prompt_rewriter import RewritingConfig
from data.config import PrepareConfig
from data.curation.config import CurationConfig
from eval.human.config import StudyConfig
from eval.human.exchange import ExchangeConfig
from eval.human.extend import ExtendConfig
from eval.human.power import PowerConfig
from eval.human.report import ReportConfig
from eval.human.simulate import SimulateConfig
from src.core.config_help import keys
from src.inference.config import ExportConfig, GenerateConfig, ReconstructConfig
from src.inference.generate_audio_config import GenerateAudioConfig
from src.registry import EXPERIMENTS

ROOT = Path(__file__).resolve().parent.parent
SURFACE = ROOT / "tests" / "golden" / "command_line.txt"


def test_models_flow_and_losses_do_not_know_of_processes() -> None:
    for package in ("models", "flow", "losses"):
        for path in (ROOT / "src" / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
                names += [a.name for a in node.names] if isinstance(node, ast.Import) else []
                assert not any(n.startswith("torch.distributed") for n in names), path


def test_the_command_line_changes_only_on_purpose() -> None:
    """Regenerate with: python -m tests.test_repository"""
    assert SURFACE.read_text(encoding="utf-8") == surface(), "keys were added, renamed or removed"


def surface() -> str:
    """Every key of every command, without its default and text."""
    schemas = {name: each.config for name, each in EXPERIMENTS.items()}
    schemas |= {"generate": GenerateConfig, "generate audio": GenerateAudioConfig}
    schemas |= {"reconstruct": ReconstructConfig, "export": ExportConfig}
    schemas |= {"prepare": PrepareConfig, "prompts": PromptsConfig, "rewriting": RewritingConfig}
    schemas |= {"curate": CurationConfig}
    schemas |= {"human plan": StudyConfig, "human extend": ExtendConfig, "human report": ReportConfig}
    schemas |= {
        "human power": PowerConfig,
        "human exchange": ExchangeConfig,
        "human simulate": SimulateConfig,
    }
    lines = []
    for name, schema in schemas.items():
        lines += [f"{name}: {key}" for key in keys(schema)]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    SURFACE.parent.mkdir(exist_ok=True)
    SURFACE.write_text(surface(), encoding="utf-8")
