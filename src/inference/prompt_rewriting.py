"""Prompts of users rewritten as the captions that a model was trained on (paper section 3.4.1; spec, 6.1).

Two back ends: a causal language model from a local directory, with an instruction in the paper's manner
(the information in a standard order, simple words, not too much detail of motion) and examples in the
context; and the rules of the Bounce world, which need nothing but this checkout.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from src.core.errors import UserError
from src.core.fields import opt
from src.models.text.frozen_encoder import quoted_text
from src.runs.steps import answer

Rewriter = Callable[[list[str]], list[str]]  # prompts to captions, one each, always the same ones

INSTRUCTION = """\
Rewrite a user's prompt as the caption of one short film.
- Begin with the camera's motion as a label, such as "Static shot." or "Pan left."; a still camera if the \
prompt does not say.
- Then say who or what is seen and how it looks, then what it does, then the place, the light and the style.
- Keep everything that the prompt asks for. Text in double quotes stays as it is, letter by letter.
- Use simple words and short sentences. Name one or two motions and do not describe them in detail.
- Where the prompt is silent, add a few ordinary details of looks and place, nothing that changes its meaning.
- Answer with the caption alone: one paragraph of at most 80 words."""
EXAMPLES = (
    (
        "a dog on the beach",
        "Static shot. A brown dog with a wet coat runs along a sandy beach. Low waves roll in behind it. The "
        "sky is pale, and the light of the late afternoon is warm. The style is realistic.",
    ),
    (
        'zoom in on a shop sign saying "open"',
        'Zoom in. A wooden shop sign with the word "open" in white letters hangs above a door. It swings a '
        "little. The street behind it is quiet and out of focus. The light is soft. The style is realistic.",
    ),
)


@dataclass(frozen=True, kw_only=True)
class RewriteConfig:
    """Whether and how prompts are rewritten before the model reads them."""

    by: Literal["none", "model", "bounce"] = opt(
        "none", "none; model: a causal language model; bounce: the rules of the Bounce world"
    )
    path: str = opt("", "model: directory of checkpoint and tokenizer, as save_pretrained writes them")
    instruction: str = opt("", "model: file with another instruction than the built-in one")
    max_tokens: int = opt(160, "model: longest caption")
    wording: Literal["plain", "short", "long"] = opt("plain", "bounce: wording of its captions")

    def __post_init__(self) -> None:
        if self.max_tokens < 1:
            raise ValueError(f"max_tokens must be at least 1, got {self.max_tokens}")
        if (self.by == "model") != bool(self.path):
            raise ValueError(f"path={self.path!r} goes with by=model, and that needs one; by is {self.by}")


def rewriter(config: RewriteConfig, *, pictures: bool) -> Rewriter | None:
    """The back end that a config names; None where prompts stay as they are.

    Args:
        pictures: captions of pictures are wanted, not of films.

    Raises:
        UserError: the language model cannot be loaded.
    """
    if config.by == "model":
        return LanguageModel(config)
    if config.by == "bounce":
        return lambda prompts: bounce(prompts, config.wording, pictures)
    return None


def bounce(prompts: list[str], wording: str, pictures: bool) -> list[str]:
    """Rewrite by the Bounce world's rules. A command of its own."""
    words = ["data.bounce.prompt_rewriter", f"wording={wording}", f"picture={str(pictures).lower()}"]
    lines = "".join(" ".join(prompt.split()) + "\n" for prompt in prompts)
    return answer(words, lines).split("\n")[: len(prompts)]


class LanguageModel:
    """A causal language model and its tokenizer; the likeliest token each time, so always the same caption.

    Raises:
        UserError: transformers is not installed, the directory holds no such checkpoint, or there is no
            file with the instruction.
    """

    def __init__(self, config: RewriteConfig) -> None:
        try:
            import transformers
        except ImportError as error:
            raise UserError("rewrite.by=model needs the package transformers (extra `text`)") from error
        if not (Path(config.path) / "config.json").is_file():
            raise UserError(f"rewrite.path={config.path}: holds no checkpoint (config.json)")
        self.config, self.instruction = config, INSTRUCTION
        if config.instruction:
            if not Path(config.instruction).is_file():
                raise UserError(f"rewrite.instruction={config.instruction}: no such file")
            self.instruction = Path(config.instruction).read_text(encoding="utf-8").strip()
        transformers.utils.logging.disable_progress_bar()
        where = {"pretrained_model_name_or_path": config.path, "local_files_only": True}
        try:
            model: Any = transformers.AutoModelForCausalLM.from_pretrained(**where, dtype="auto")
            self.tokenizer: Any = transformers.AutoTokenizer.from_pretrained(**where)
        except (OSError, ValueError, KeyError) as error:
            detail = " ".join(str(error).split())[:200]
            raise UserError(f"rewrite.path={config.path}: cannot be loaded: {detail}") from error
        self.model = model.eval().requires_grad_(False)

    def __call__(self, prompts: list[str]) -> list[str]:
        return [self._rewrite(prompt) for prompt in prompts]

    def request(self, prompt: str) -> str:
        """What the model is asked, in its own chat format where it has one."""
        if self.tokenizer.chat_template:
            turns = [{"role": "system", "content": self.instruction}]
            for short, caption in (*EXAMPLES, (prompt, "")):
                turns += [{"role": "user", "content": short}, {"role": "assistant", "content": caption}]
            asked = self.tokenizer.apply_chat_template(turns[:-1], tokenize=False, add_generation_prompt=True)
            assert isinstance(asked, str)
            return asked
        shown = "".join(f"Prompt: {short}\nCaption: {caption}\n\n" for short, caption in EXAMPLES)
        return f"{self.instruction}\n\n{shown}Prompt: {prompt}\nCaption:"

    @torch.no_grad()
    def _rewrite(self, prompt: str) -> str:
        chat = bool(self.tokenizer.chat_template)  # brings its own special tokens
        given = self.tokenizer(self.request(prompt), return_tensors="pt", add_special_tokens=not chat)
        length = given.input_ids.shape[1]
        most = getattr(self.model.config, "max_position_embeddings", None)
        if most is not None and length + self.config.max_tokens > most:
            raise UserError(
                f"rewrite.max_tokens={self.config.max_tokens}: with the request's {length} tokens more than "
                f"the {most} that {self.config.path} reads"
            )
        ends = self.tokenizer.eos_token_id
        settings = {"do_sample": False, "num_beams": 1, "temperature": None, "top_p": None, "top_k": None}
        made = self.model.generate(
            input_ids=given.input_ids,
            attention_mask=given.attention_mask,
            max_new_tokens=self.config.max_tokens,
            pad_token_id=self.tokenizer.pad_token_id if self.tokenizer.pad_token_id is not None else ends,
            **settings,
        )
        return caption_of(self.tokenizer.decode(made[0, length:], skip_special_tokens=True), prompt)


def caption_of(answer: str, prompt: str) -> str:
    """The first paragraph of an answer; the prompt itself if that is empty or lost what is in quotes."""
    caption = " ".join(answer.strip().split("\n\n")[0].split("\nPrompt:")[0].split())
    if len(caption) > 1 and caption[0] == caption[-1] == '"' and '"' not in caption[1:-1]:
        caption = caption[1:-1].strip()
    wanted = quoted_text(prompt)
    return caption if caption and wanted in quoted_text(caption) else prompt
