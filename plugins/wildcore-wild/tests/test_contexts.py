"""What stands around a question."""

import pytest
from pydantic import ValidationError
from wildcore_wild.contexts import Chat, QAInstruction
from wildcore_wild.parameters import ChatParams, QAInstructionParams

from wildcore import UserError
from wildcore.models import LoadedModel, encode, tokenise_pair
from wildcore.testing.networks import tiny_model

SYSTEM = "You are a helpful assistant."
TEMPLATE = (
    "<s>{% for message in messages %}[{{ message.role }}] {{ message.content }} {% endfor %}"
    "{% if add_generation_prompt %}[assistant]\n{% endif %}"
)


@pytest.fixture
def model() -> LoadedModel:
    return tiny_model("llama")


def test_the_published_instruction_character_for_character(model: LoadedModel) -> None:
    prompt = QAInstruction(QAInstructionParams()).render("Where was Marie Curie born?", model)
    assert prompt.text == "Please answer the question:\n\nQ: Where was Marie Curie born?\nA:"
    assert (prompt.separator, prompt.special_tokens) == (" ", True)


@pytest.mark.parametrize("question", ["{", "{}", "{question}", "{0!r:>{1}}", "100 % of {x} and \\n?"])
def test_a_question_with_braces_is_kept_as_it_is(question: str, model: LoadedModel) -> None:
    prompt = QAInstruction(QAInstructionParams()).render(question, model)
    assert prompt.text == "Please answer the question:\n\nQ: " + question + "\nA:"


def test_a_template_of_ones_own_must_hold_the_question(model: LoadedModel) -> None:
    own = QAInstructionParams(template='{"q": "{question}"}')
    assert QAInstruction(own).render("Who?", model).text == '{"q": "Who?"}'
    with pytest.raises(ValidationError, match=r"must contain \{question\}"):
        QAInstructionParams(template="Q: {Question}")


def test_chat_without_a_template_says_what_to_do(model: LoadedModel) -> None:
    with pytest.raises(UserError, match="tiny-llama has no chat template; use context 'qa-instruction'"):
        Chat(ChatParams()).render("Who?", model)


def test_chat_puts_the_question_as_the_makers_of_the_model_say(model: LoadedModel) -> None:
    model.tokenizer.chat_template = TEMPLATE
    prompt = Chat(ChatParams()).render("Who {is} it?", model)
    assert prompt.text == "<s>[user] Who {is} it? [assistant]\n"
    ids = encode(model.tokenizer, prompt)
    assert list(ids).count(model.tokenizer.bos_token_id) == 1
    assert ids[0] == model.tokenizer.bos_token_id
    assert tokenise_pair(model.tokenizer, prompt, "Paris").text == "<s>[user] Who {is} it? [assistant]\nParis"


def test_chat_puts_a_system_message_before_the_question(model: LoadedModel) -> None:
    model.tokenizer.chat_template = TEMPLATE
    text = Chat(ChatParams(system=SYSTEM)).render("Who?", model).text
    assert text == "<s>[system] You are a helpful assistant. [user] Who? [assistant]\n"


def test_chat_may_let_the_sequence_begin_twice(model: LoadedModel) -> None:
    model.tokenizer.chat_template = TEMPLATE
    once, twice = (Chat(ChatParams(add_special_tokens=again)).render("Who?", model) for again in (False, True))
    assert once.text == twice.text
    begin = model.tokenizer.bos_token_id
    assert encode(model.tokenizer, twice) == (begin, *encode(model.tokenizer, once))


@pytest.mark.parametrize(
    ("template", "problem"),
    [
        (
            "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
            "{{ messages[0]['content'] }}",
            "refuses the system message: System role not supported",
        ),
        (
            "{% for m in messages if m['role'] == 'user' %}{{ m['content'] }}{% endfor %}",
            "leaves the system message out",
        ),
    ],
    ids=["refused", "left out"],
)
def test_a_template_without_a_system_role_is_not_passed_over(model: LoadedModel, template: str, problem: str) -> None:
    model.tokenizer.chat_template = template
    with pytest.raises(UserError, match=f"chat template of tiny-llama {problem}; leave context.system out"):
        Chat(ChatParams(system=SYSTEM)).render("Who?", model)
    assert Chat(ChatParams()).render("Who?", model).text == "Who?"


def test_a_template_that_refuses_every_message_says_why(model: LoadedModel) -> None:
    model.tokenizer.chat_template = "{{ raise_exception('tools only') }}"
    with pytest.raises(UserError, match="refuses a message: tools only; use context 'qa-instruction'"):
        Chat(ChatParams()).render("Who?", model)
