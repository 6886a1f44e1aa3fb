"""Rewriting by a language model: real loading code on a tiny random checkpoint."""

from pathlib import Path

import pytest
import torch

from src.core.errors import UserError
from src.inference.prompt_rewriting import (
    EXAMPLES,
    INSTRUCTION,
    LanguageModelRewriter,
    RewriteConfig,
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
    return LanguageModelRewriter(RewriteConfig(by="model", path=str(path), **({"max_tokens": 12} | changes)))  # type: ignore[arg-type]


def test_captions_are_the_models_likeliest_words_and_repeat(checkpoint: Path) -> None:
    model = model_of(checkpoint)
    captions = model(["red star", "blue ring moves"])
    assert captions == model(["red star", "blue ring moves"])
    assert captions[0] != captions[1]
    given = model.tokenizer(model.request("red star"), return_tensors="pt").input_ids
    for _ in range(12):  # one word after the other, by hand
        given = torch.cat([given, model.model(given).logits[:, -1:].argmax(-1)], 1)
    words = model.tokenizer.decode(given[0, -12:].tolist(), skip_special_tokens=True)
    assert captions[0] == extract_caption(words, "red star")
    assert len(captions[0].split()) == 12


def test_the_model_is_asked_in_the_papers_manner(checkpoint: Path, tmp_path: Path) -> None:
    model = model_of(checkpoint)
    asked = model.request("red star")
    assert asked.startswith(INSTRUCTION)
    assert asked.endswith("Prompt: red star\nCaption:")
    assert all(f"Prompt: {short}\nCaption: {caption}" in asked for short, caption in EXAMPLES)
    model.tokenizer.chat_template = CHAT
    chat = model.request("red star")
    assert chat.startswith(f"<system>{INSTRUCTION}<user>{EXAMPLES[0][0]}<assistant>{EXAMPLES[0][1]}")
    assert chat.endswith("<user>red star<assistant>")
    (tmp_path / "own.txt").write_text("Be brief.\n")
    other = model_of(checkpoint, instruction=str(tmp_path / "own.txt"))
    assert other.request("red star").startswith("Be brief.\n\nPrompt:")
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


def test_text_in_quotes_may_not_be_lost() -> None:
    assert extract_caption('A sign with "open" on it.', 'sign "open"') == 'A sign with "open" on it.'
    assert extract_caption("A sign with opening hours.", 'sign "open"') == 'sign "open"'


def test_no_back_end_leaves_prompts_alone() -> None:
    assert make_rewriter(RewriteConfig(), pictures=False) is None


def test_mistakes_are_named(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"=600: with the request's \d+ tokens more than the 640"):
        model_of(checkpoint, max_tokens=600)(["star"])
    with pytest.raises(UserError, match=r"rewrite.instruction=none.txt: no such file"):
        model_of(checkpoint, instruction="none.txt")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(UserError, match="cannot be loaded") as error:
        model_of(tmp_path)
    assert "\n" not in str(error.value)
    for wrong in ({"by": "bounce", "path": "x"}, {"by": "model"}, {"max_tokens": 0}):
        with pytest.raises(ValueError, match=r"by=model|max_tokens must be"):
            RewriteConfig(**wrong)  # type: ignore[arg-type]


def test_the_world_has_other_words_for_pictures() -> None:
    by = make_rewriter(RewriteConfig(by="bounce"), pictures=True)
    assert by is not None
    assert by(["red star\nmoves", "a cat"]) == ["A picture of a red star.", "a cat"]
