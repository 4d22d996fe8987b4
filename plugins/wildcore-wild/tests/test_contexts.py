"""What stands around a question."""

from datetime import datetime

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


SWITCHED = TEMPLATE + "{% if enable_thinking is defined and not enable_thinking %}<think></think>{% endif %}"


def test_arguments_reach_the_chat_template(model: LoadedModel) -> None:
    model.tokenizer.chat_template = SWITCHED
    without = Chat(ChatParams(template_arguments={"enable_thinking": False})).render("Who?", model).text
    assert without == Chat(ChatParams()).render("Who?", model).text + "<think></think>"


def test_an_argument_that_the_template_does_not_read_is_refused(model: LoadedModel) -> None:
    model.tokenizer.chat_template = SWITCHED
    with pytest.raises(UserError, match=r"reads no argument 'enable_thought'; did you mean 'enable_thinking'\?"):
        Chat(ChatParams(template_arguments={"enable_thought": False})).render("Who?", model)


@pytest.mark.parametrize("name", ["messages", "add_generation_prompt", "tokenize", "strftime_now"])
def test_the_conversation_itself_is_not_an_argument(name: str) -> None:
    with pytest.raises(ValidationError, match=f"{name} is set by the context itself"):
        ChatParams(template_arguments={name: 1})


def test_one_of_several_templates_is_chosen_by_its_name(model: LoadedModel) -> None:
    model.tokenizer.chat_template = {"default": TEMPLATE, "brief": "{{ messages[0]['content'] }}"}
    assert Chat(ChatParams()).render("Who?", model).text == "<s>[user] Who? [assistant]\n"
    assert Chat(ChatParams(template="brief")).render("Who?", model).text == "Who?"
    with pytest.raises(UserError, match=r"context chat: .* has no template 'long'; choose one of brief, default"):
        Chat(ChatParams(template="long")).render("Who?", model)
    model.tokenizer.chat_template = {"brief": TEMPLATE, "tool_use": TEMPLATE}
    with pytest.raises(
        UserError, match="several chat templates, and none is the default; choose one of brief, tool_use"
    ):
        Chat(ChatParams()).render("Who?", model)
    model.tokenizer.chat_template = TEMPLATE
    with pytest.raises(UserError, match="has one chat template, which has no name"):
        Chat(ChatParams(template="brief")).render("Who?", model)


def test_a_template_that_reads_the_clock_is_given_the_models(model: LoadedModel) -> None:
    model.tokenizer.chat_template = "{{ strftime_now('%d %b %Y') }}: {{ messages[0]['content'] }}"
    model.clock = datetime(2024, 7, 26)
    assert Chat(ChatParams()).render("Who?", model).text == "26 Jul 2024: Who?"
