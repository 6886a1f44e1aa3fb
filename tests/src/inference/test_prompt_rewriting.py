"""Rewriting by a language model: the real loading code on a tiny random checkpoint."""

from pathlib import Path

import pytest
import torch

from src.core.errors import UserError
from src.inference.config import RewriteConfig
from src.inference.prompt_rewriting import (
    EXAMPLES,
    INSTRUCTION,
    LanguageModelRewriter,
    extract_caption,
    make_rewriter,
)

transformers = pytest.importorskip("transformers")
CHAT = (
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama of one layer and a tokenizer of words that knows those of the instruction."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    path = tmp_path_factory.mktemp("llama")
    torch.manual_seed(0)
    texts = " ".join([INSTRUCTION, *(word for pair in EXAMPLES for word in pair), "red star blue ring moves"])
    split = pre_tokenizers.Whitespace()
    words = ["<unk>", "<s>", "</s>", *sorted({word for word, _ in split.pre_tokenize_str(texts)})]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = split
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    ).save_pretrained(path)
    config = transformers.LlamaConfig(
        vocab_size=len(words), hidden_size=32, intermediate_size=32, num_hidden_layers=2,
        num_attention_heads=2, max_position_embeddings=640, bos_token_id=1, eos_token_id=2,
        initializer_range=0.5,
    )  # fmt: skip
    transformers.LlamaForCausalLM(config).save_pretrained(path)
    # Chat checkpoints ask for sampling; captions must not depend on chance all the same.
    sampling = {"do_sample": True, "temperature": 2.0, "top_p": 0.9, "top_k": 30}
    transformers.GenerationConfig(eos_token_id=2, **sampling).save_pretrained(path)
    return path


def model_of(path: Path, **changes: object) -> LanguageModelRewriter:
    return LanguageModelRewriter(
        RewriteConfig(backend="model", path=str(path), **({"max_tokens": 12} | changes))
    )  # type: ignore[arg-type]


def test_captions_are_greedy_and_repeat(checkpoint: Path) -> None:
    model = model_of(checkpoint)
    captions = model(["red star", "blue ring moves"])
    assert captions == model(["red star", "blue ring moves"])
    assert captions[0] != captions[1]
    ids = model.tokenizer(model.build_request("red star"), return_tensors="pt").input_ids
    for _ in range(12):  # greedy decoding by hand
        ids = torch.cat([ids, model.model(ids).logits[:, -1:].argmax(-1)], 1)
    text = model.tokenizer.decode(ids[0, -12:].tolist(), skip_special_tokens=True)
    assert captions[0] == extract_caption(text, "red star")
    assert len(captions[0].split()) == 12


def test_request_contains_instruction_and_examples(checkpoint: Path, tmp_path: Path) -> None:
    model = model_of(checkpoint)
    request = model.build_request("red star")
    assert request.startswith(INSTRUCTION)
    assert request.endswith("Prompt: red star\nCaption:")
    assert all(f"Prompt: {short}\nCaption: {caption}" in request for short, caption in EXAMPLES)
    model.tokenizer.chat_template = CHAT
    chat = model.build_request("red star")
    assert chat.startswith(f"<system>{INSTRUCTION}<user>{EXAMPLES[0][0]}<assistant>{EXAMPLES[0][1]}")
    assert chat.endswith("<user>red star<assistant>")
    (tmp_path / "own.txt").write_text("Be brief.\n")
    other = model_of(checkpoint, instruction=str(tmp_path / "own.txt"))
    assert other.build_request("red star").startswith("Be brief.\n\nPrompt:")
    assert other(["red star"]) != model_of(checkpoint)(["red star"])


@pytest.mark.parametrize(
    ("answer", "caption"),
    [
        (" A star\nmoves.\n\nNote: done.", "A star moves."),
        ('"A star moves."', "A star moves."),
        ("A star.\nPrompt: more", "A star."),
        ("  \n\n", "star"),
    ],
)
def test_the_first_paragraph_is_the_caption(answer: str, caption: str) -> None:
    assert extract_caption(answer, "star") == caption


def test_quoted_text_must_survive() -> None:
    assert extract_caption('A sign with "open" on it.', 'sign "open"') == 'A sign with "open" on it.'
    assert extract_caption("A sign with opening hours.", 'sign "open"') == 'sign "open"'


def test_no_back_end_keeps_prompts() -> None:
    assert make_rewriter(RewriteConfig(), images=False) is None


def test_errors_name_the_setting(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"=600: with the request's \d+ tokens more than the 640 positions"):
        model_of(checkpoint, max_tokens=600)(["star"])
    with pytest.raises(UserError, match=r"rewrite.instruction=none.txt: no such file"):
        model_of(checkpoint, instruction="none.txt")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(UserError, match="cannot be loaded") as error:
        model_of(tmp_path)
    assert "\n" not in str(error.value)
    for wrong in ({"backend": "bounce", "path": "x"}, {"backend": "model"}, {"max_tokens": 0}):
        with pytest.raises(ValueError, match=r"backend=model|max_tokens must be"):
            RewriteConfig(**wrong)  # type: ignore[arg-type]


def test_bounce_rules_word_images_differently() -> None:
    rewrite = make_rewriter(RewriteConfig(backend="bounce"), images=True)
    assert rewrite is not None
    assert rewrite(["red star\nmoves", "a cat"]) == ["A picture of a red star.", "a cat"]
