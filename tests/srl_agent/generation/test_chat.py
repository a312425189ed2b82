"""Chat templates: prompts, targets and completions of models that open <think>, know no system role, print the date."""

from datetime import date
from pathlib import Path
from typing import Any

import pytest
from transformers import AddedToken, PreTrainedTokenizerBase

from srl_agent.formats import get_format
from srl_agent.generation.chat import (
    Chat,
    chat_notes,
    make_chat,
    render_row,
    target_problem,
    template_problems,
)
from srl_agent.generation.types import ModelError
from srl_agent.models.load import load_chat, load_tokenizer
from srl_agent.rewards.functions import SimilarityReward
from tests.conftest import TEMPLATE

XML = get_format("xml")
PROMPT = [
    {"role": "system", "content": "Think, then act."},
    {"role": "user", "content": "Fix it."},
    {"role": "assistant", "content": "<function=submit>\n</function>"},
    {"role": "user", "content": "OBSERVATION:\nno"},
]
EXPERT = "<function=bash>\n<parameter=command>ls -l</parameter>\n</function>"
TARGET = f"<think>\nWhat is here?\n</think>\n\n{EXPERT}"

TURNS = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content.split('</think>')[-1] }}<|im_end|>\n{% endfor %}"
START = "{% if add_generation_prompt %}<|im_start|>assistant\nTHINK{% endif %}"
# As DeepSeek-R1's distillations: the answer begins inside a thought, and earlier thoughts are cut out.
OPENS = TURNS + START.replace("THINK", "<think>\n")
OPENS_ON_THE_LINE = TURNS + START.replace("THINK", "<think>")
# As Qwen3: thinking unless it is switched off; then an empty thought is there already.
SWITCH = TURNS + START.replace(
    "THINK", "{% if enable_thinking is defined and not enable_thinking %}<think>\n\n</think>\n\n{% endif %}"
)
# As Gemma 2, and as templates that drop what they do not know.
REFUSES_SYSTEM = (
    "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
)
DROPS_SYSTEM = TEMPLATE.replace("messages %}", "messages if message.role != 'system' %}", 1)
DATED = "<|im_start|>system\nToday: {{ strftime_now('%d %B %Y') }}<|im_end|>\n" + TEMPLATE


@pytest.fixture
def tokenizer(tiny_model: Path) -> PreTrainedTokenizerBase:
    return load_tokenizer(str(tiny_model))


def chat_of(tokenizer: PreTrainedTokenizerBase, template: str, **settings: Any) -> Chat:
    tokenizer.chat_template = template
    return make_chat(tokenizer, template_kwargs=settings)


def similarity(text: str) -> float | None:
    (score,) = SimilarityReward(action_format=XML)([PROMPT], [text], expert_action=[EXPERT])
    return score


def test_a_plain_template_is_rendered_as_the_tokenizer_does(tiny_model: Path) -> None:
    chat = load_chat(str(tiny_model))
    encoded: Any = chat.tokenizer.apply_chat_template(PROMPT, add_generation_prompt=True, return_dict=True)
    prompt = chat.prompt_ids(PROMPT)
    assert prompt == encoded["input_ids"]
    target = [*chat.tokenizer.encode(TARGET, add_special_tokens=False), chat.tokenizer.eos_token_id]
    assert chat.target_ids(prompt, TARGET) == target
    assert chat.text(prompt, target) == TARGET
    assert render_row(chat, PROMPT, TARGET).endswith(f"<|im_start|>assistant\n{TARGET}<|im_end|>")
    assert chat_notes(chat) == template_problems(chat, PROMPT, TARGET, XML) == []
    assert chat.batch_ids([PROMPT, PROMPT, PROMPT[:2]]) == [prompt, prompt, chat.prompt_ids(PROMPT[:2])]


@pytest.mark.parametrize("template", [OPENS, OPENS_ON_THE_LINE])
def test_a_template_that_opens_the_thought(tokenizer: PreTrainedTokenizerBase, template: str) -> None:
    chat = chat_of(tokenizer, template)
    row = render_row(chat, PROMPT, TARGET)
    assert row.count("<think>") == row.count("</think>") == 1
    assert row.endswith(f"<|im_start|>assistant\n{TARGET}<|im_end|>")
    prompt = chat.prompt_ids(PROMPT)
    judged = chat.text(prompt, chat.target_ids(prompt, TARGET))
    assert judged == TARGET
    assert similarity(judged) == 1.0
    assert template_problems(chat, PROMPT, TARGET, XML) == []
    assert any("opens <think>" in note for note in chat_notes(chat))
    # A whole solution, which may go without a thought, closes what the template opened.
    solution = chat.text(prompt, chat.target_ids(prompt, "1. **Add** 2"))
    assert solution.endswith("</think>\n\n1. **Add** 2")
    assert solution.count("<think>") == solution.count("</think>") == 1


def test_an_action_alone_does_not_go_with_an_opened_thought(tokenizer: PreTrainedTokenizerBase) -> None:
    alone = get_format("xml", thinks=False)
    problem = target_problem(chat_of(tokenizer, OPENS), PROMPT, EXPERT, alone)
    assert problem is not None
    assert "counts as malformed: a <think> tag" in problem
    assert "set steps.thoughts to expert or filler" in problem
    switched_off = chat_of(tokenizer, SWITCH, enable_thinking=False)
    assert template_problems(switched_off, PROMPT, EXPERT, alone) == []
    assert render_row(switched_off, PROMPT, EXPERT).endswith(f"<think>\n\n</think>\n\n{EXPERT}<|im_end|>")
    (doubled,) = template_problems(switched_off, PROMPT, TARGET, XML)
    assert "writes an empty <think> block and the target another one" in doubled


def test_arguments_of_the_template(tokenizer: PreTrainedTokenizerBase) -> None:
    unset, on = chat_of(tokenizer, SWITCH), chat_of(tokenizer, SWITCH, enable_thinking=True)
    assert unset.prompt_ids(PROMPT) == on.prompt_ids(PROMPT)
    assert unset.prompt_ids(PROMPT) != chat_of(tokenizer, SWITCH, enable_thinking=False).prompt_ids(PROMPT)
    with pytest.raises(ModelError, match=r"the chat template of .* reads no enable_thinkin: remove it"):
        chat_of(tokenizer, SWITCH, enable_thinkin=False)


@pytest.mark.parametrize("template", [REFUSES_SYSTEM + TEMPLATE, DROPS_SYSTEM])
def test_a_template_without_a_system_role(tokenizer: PreTrainedTokenizerBase, template: str) -> None:
    chat = chat_of(tokenizer, template)
    rendered = chat.render(PROMPT)
    assert rendered.startswith(
        "<|im_start|>user\nThink, then act.\n\nFix it.<|im_end|>\n<|im_start|>assistant\n"
    )
    assert any("has no system role" in note for note in chat_notes(chat))
    assert template_problems(chat, PROMPT, TARGET, XML) == []


def test_a_template_that_cannot_be_used(tokenizer: PreTrainedTokenizerBase) -> None:
    with pytest.raises(ModelError, match=r"refuses a user message with an answer: never; use a chat model"):
        chat_of(tokenizer, "{{ raise_exception('never') }}")
    with pytest.raises(ModelError, match="does not write plain text messages"):
        chat_of(tokenizer, "<|im_start|>")
    turns = "{% if messages|length > 3 %}{{ raise_exception('one question') }}{% endif %}" + TEMPLATE
    chat = chat_of(tokenizer, turns)
    with pytest.raises(
        ModelError, match=r"roles system, user, assistant, user: one question; choose another model"
    ):
        chat.prompt_ids(PROMPT)
    assert len(template_problems(chat, PROMPT, TARGET, XML)) == 1
    shouts = chat_of(
        tokenizer, TEMPLATE.replace("message['content']", "message['content']|replace('Fix', 'FIX')")
    )
    assert "does not write the user message as it is" in template_problems(shouts, PROMPT, TARGET, XML)[0]


def test_the_date_is_that_of_the_recipe_and_not_of_the_day(tokenizer: PreTrainedTokenizerBase) -> None:
    chat = chat_of(tokenizer, DATED)
    assert "Today: 01 January 2026" in chat.render(PROMPT)
    assert any("2026-01-01 (model.template_date)" in note for note in chat_notes(chat))
    assert "Today: 31 May 2027" in make_chat(tokenizer, today=date(2027, 5, 31)).render(PROMPT)


def test_a_target_ends_with_the_turn_and_not_with_another_end_token(
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    """A base model's tokenizer ends texts; its template ends turns with a token of its own."""
    tokenizer.add_special_tokens({"eos_token": "<|endoftext|>"})
    chat = make_chat(tokenizer)
    end = tokenizer.convert_tokens_to_ids("<|im_end|>")
    assert chat.turn_end == end != tokenizer.eos_token_id
    assert chat.target_ids(chat.prompt_ids(PROMPT), TARGET)[-1] == end
    silent = chat_of(tokenizer, TEMPLATE.replace("<|im_end|>", "\n\n"))
    assert silent.turn_end == tokenizer.eos_token_id
    tokenizer.eos_token = None
    with pytest.raises(
        ModelError, match="neither its chat template nor its tokenizer ends a turn: set eos_token"
    ):
        make_chat(tokenizer)


def test_a_tokenizer_without_an_end_token_gets_the_templates(tiny_model: Path, tmp_path: Path) -> None:
    tokenizer = load_tokenizer(str(tiny_model))
    tokenizer.eos_token = tokenizer.pad_token = None
    tokenizer.save_pretrained(tmp_path)
    loaded = load_tokenizer(str(tmp_path))
    assert loaded.eos_token == loaded.pad_token == "<|im_end|>"


def test_tags_of_the_format_are_text_even_if_the_tokenizer_calls_them_special(
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    tags = [AddedToken(tag, special=True) for tag in ("<think>", "</think>", "<|other|>")]
    tokenizer.add_tokens(tags, special_tokens=True)
    chat = chat_of(tokenizer, OPENS)
    prompt = chat.prompt_ids(PROMPT)
    target = chat.target_ids(prompt, TARGET)
    assert tokenizer.decode(target, skip_special_tokens=True) != TARGET
    assert chat.text(prompt, target) == TARGET
    assert chat.decode(tokenizer.encode("a<|other|>b", add_special_tokens=False)) == "ab"
