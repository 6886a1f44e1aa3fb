"""A video model with its TAE as a folder for a model hub, in the layout of diffusers.

    FOLDER/README.md                                          model card
    FOLDER/model_index.json                                   components
    FOLDER/transformer/{config.json,diffusion_pytorch_model.safetensors}
    FOLDER/vae/{config.json,diffusion_pytorch_model.safetensors}

The folder stands for the run in every setting of `src.generate`.
"""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from src.core import config as configs
from src.core.errors import UserError
from src.inference import model_card, run_defaults
from src.inference.config import ExportConfig, GenerateConfig
from src.inference.export_weights import export
from src.inference.pipeline import VideoPipeline
from src.runs import loading
from src.runs.config import TAERunConfig, VideoRunConfig

INDEX = "model_index.json"
TRANSFORMER, VAE = (f"{part}/{loading.HUB_WEIGHTS}" for part in ("transformer", "vae"))


def export_folder(settings: ExportConfig) -> Path:
    """Write the folder; return its path.

    Raises:
        UserError: no video run, a TAE that did not encode its latents, an existing folder, unreadable scores.
    """
    run = Path(settings.run)
    out = Path(settings.out or f"{loading.run_folder(run)}-hub")
    if out.exists():
        raise UserError(f"out={out}: already exists; remove it or choose another name")
    stage = loading.load_run_config(VideoRunConfig, run)
    tae = settings.tae or run_defaults.tae_of_latents(settings.run, stage)
    run_defaults.refuse_other_tae(settings.run, stage, tae, loading.load_tae(Path(tae))[1])
    scores = model_card.read_scores(settings.scores) if settings.scores else []
    try:
        for part, source in ((TRANSFORMER, settings.run), (VAE, tae)):
            (out / part).parent.mkdir(parents=True)
            if Path(source).suffix == ".safetensors":
                shutil.copy(source, out / part)
            else:
                export(replace(settings, run=source, out=str(out / part), format="file"))
        architectures = {
            TRANSFORMER: ("VideoModel", configs.to_dict(stage)["transformer"]),
            VAE: ("TAE", configs.to_dict(loading.load_run_config(TAERunConfig, Path(tae)))["model"]),
        }
        index: dict[str, Any] = {"_class_name": "VideoPipeline"}
        for part, (name, architecture) in architectures.items():
            _write_json((out / part).with_name("config.json"), {"_class_name": name, **architecture})
            index[Path(part).parent.name] = ["src.inference.hub_folder", name]
        _write_json(out / INDEX, index)
        card = model_card.render(settings, stage, out / TRANSFORMER, out / VAE, scores)
        (out / "README.md").write_text(card, encoding="utf-8")
    except BaseException:  # half a folder is none
        shutil.rmtree(out, ignore_errors=True)
        raise
    Console(highlight=False).print(f"{out}: look through README.md before you publish it", soft_wrap=True)
    return out


def load_pipeline(folder: str | Path, **settings: Any) -> VideoPipeline:
    """Return a pipeline of a folder, a run or an exported file.

    Args:
        settings: of `src.generate`, such as device, precision, num_frames, tae.
    """
    return VideoPipeline(resolve_folder(GenerateConfig(run=str(folder), **settings)))


def resolve_folder(settings: GenerateConfig) -> GenerateConfig:
    """Replace a hub folder by the files in it; other runs stay as they are."""
    folder = Path(settings.run)
    if not (folder / INDEX).is_file():
        return settings
    out = settings.out or str(folder / "generated")
    return replace(settings, run=str(folder / TRANSFORMER), tae=settings.tae or str(folder / VAE), out=out)


def _write_json(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
