"""Rewrite user prompts in the style of training captions (Movie Gen, sec. 3.4.1).

Two back ends: a causal language model from a local directory, with an instruction in the paper's manner
(information in a standard order, simple words, not too much detail of motion) and examples in the context;
and the rules of the Bounce world, which need no model.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from src.core.errors import UserError
from src.inference.config import RewriteConfig
from src.models.text.frozen_encoder import quoted_text
from src.runs.steps import capture_output

Rewriter = Callable[[list[str]], list[str]]  # prompts to captions, one each, deterministic

INSTRUCTION = """\
Rewrite a user's prompt as the caption of one short video.
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


def make_rewriter(config: RewriteConfig, *, images: bool) -> Rewriter | None:
    """Return the back end that a config names, or None for unchanged prompts.

    Args:
        images: rewrite into captions of images, not of videos.

    Raises:
        UserError: the language model cannot be loaded.
    """
    if config.backend == "model":
        return LanguageModelRewriter(config)
    if config.backend == "bounce":
        return lambda prompts: rewrite_by_bounce_rules(prompts, config.wording, images)
    return None


def rewrite_by_bounce_rules(prompts: list[str], wording: str, images: bool) -> list[str]:
    """Rewrite by the rules of the Bounce world, in a process of its own: `src` does not import `data`."""
    args = ["data.bounce.prompt_rewriter", f"wording={wording}", f"image={str(images).lower()}"]
    lines = "".join(" ".join(prompt.split()) + "\n" for prompt in prompts)
    return capture_output(args, lines).split("\n")[: len(prompts)]


class LanguageModelRewriter:
    """A causal language model and its tokenizer, decoded greedily: equal prompts give equal captions.

    Raises:
        UserError: transformers is not installed, the directory has no such checkpoint, or the instruction
            file is missing.
    """

    def __init__(self, config: RewriteConfig) -> None:
        try:
            import transformers  # an optional dependency
        except ImportError as error:
            raise UserError("rewrite.backend=model needs the package transformers (extra `text`)") from error
        if not (Path(config.path) / "config.json").is_file():
            raise UserError(f"rewrite.path={config.path}: not a checkpoint directory (config.json not found)")
        self.config, self.instruction = config, INSTRUCTION
        if config.instruction:
            if not Path(config.instruction).is_file():
                raise UserError(f"rewrite.instruction={config.instruction}: no such file")
            self.instruction = Path(config.instruction).read_text(encoding="utf-8").strip()
        transformers.utils.logging.disable_progress_bar()
        source: dict[str, Any] = {"pretrained_model_name_or_path": config.path, "local_files_only": True}
        try:
            model: Any = transformers.AutoModelForCausalLM.from_pretrained(**source, dtype="auto")
            self.tokenizer: Any = transformers.AutoTokenizer.from_pretrained(**source)
        except (OSError, ValueError, KeyError) as error:
            detail = " ".join(str(error).split())[:200]
            raise UserError(f"rewrite.path={config.path}: cannot be loaded: {detail}") from error
        self.model = model.eval().requires_grad_(False)

    def __call__(self, prompts: list[str]) -> list[str]:
        return [self._rewrite(prompt) for prompt in prompts]

    def build_request(self, prompt: str) -> str:
        """Return the model's input for a prompt, in its own chat format if it has one."""
        if self.tokenizer.chat_template:
            turns = [{"role": "system", "content": self.instruction}]
            for short, caption in (*EXAMPLES, (prompt, "")):
                turns += [{"role": "user", "content": short}, {"role": "assistant", "content": caption}]
            chat = self.tokenizer.apply_chat_template(turns[:-1], tokenize=False, add_generation_prompt=True)
            assert isinstance(chat, str)
            return chat
        examples = "".join(f"Prompt: {short}\nCaption: {caption}\n\n" for short, caption in EXAMPLES)
        return f"{self.instruction}\n\n{examples}Prompt: {prompt}\nCaption:"

    @torch.no_grad()
    def _rewrite(self, prompt: str) -> str:
        is_chat = bool(self.tokenizer.chat_template)  # its template adds the special tokens itself
        inputs = self.tokenizer(
            self.build_request(prompt), return_tensors="pt", add_special_tokens=not is_chat
        )
        length = inputs.input_ids.shape[1]
        max_length = getattr(self.model.config, "max_position_embeddings", None)
        if max_length is not None and length + self.config.max_tokens > max_length:
            raise UserError(
                f"rewrite.max_tokens={self.config.max_tokens}: with the request's {length} tokens more than "
                f"the {max_length} positions of {self.config.path}"
            )
        pad, end = self.tokenizer.pad_token_id, self.tokenizer.eos_token_id
        # The checkpoint's own generation settings may sample; captions must not depend on chance.
        greedy = {"do_sample": False, "num_beams": 1, "temperature": None, "top_p": None, "top_k": None}
        output = self.model.generate(
            input_ids=inputs.input_ids,
            attention_mask=inputs.attention_mask,
            max_new_tokens=self.config.max_tokens,
            pad_token_id=pad if pad is not None else end,
            **greedy,
        )
        return extract_caption(self.tokenizer.decode(output[0, length:], skip_special_tokens=True), prompt)


def extract_caption(answer: str, prompt: str) -> str:
    """Return the answer's first paragraph; the prompt itself if that is empty or lost its quoted text."""
    caption = " ".join(answer.strip().split("\n\n")[0].split("\nPrompt:")[0].split())
    if len(caption) > 1 and caption[0] == caption[-1] == '"' and '"' not in caption[1:-1]:
        caption = caption[1:-1].strip()
    return caption if caption and quoted_text(prompt) in quoted_text(caption) else prompt
