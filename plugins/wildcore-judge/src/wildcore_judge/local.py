"""A judge in this process: an ordinary model folder, without a server."""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial

from jinja2 import TemplateError

from wildcore import Environment, Family, Parameter, Prompt, UserError
from wildcore.architectures import built_in_families
from wildcore.inference import decode
from wildcore.models import (
    LoadedModel,
    ModelRequest,
    encode,
    load_model,
    pick_device,
    read_shape,
    reads_clock,
    recorded_clock,
    render_chat,
)
from wildcore.thoughts import MARKER_TOKENS, begins_thought, split_thought
from wildcore_judge.forms import Letters, ends_with_an_object
from wildcore_judge.longer import LongerReplies, longer
from wildcore_judge.parameters import JudgeParams
from wildcore_judge.prompt import GradingPrompt
from wildcore_judge.store import VerdictStore, open_store
from wildcore_judge.verdict import Judgement, Reply, judged, quoted, unscored

MOST_FAILURES = 3
"""Texts in whose rendering the chat template may exceed its limits, each perhaps after seconds, before no more are rendered."""


class LocalJudge:
    """A model that is loaded when the first answer is to be judged. It decodes greedily, so no text is asked twice."""

    def __init__(self, params: JudgeParams) -> None:
        self.params = params
        self.name = params.local or ""
        self._request = ModelRequest(name=self.name, dtype=params.dtype, device=params.device)

    def prepare(self, environment: Environment) -> None:
        """Raise ``UserError`` if the model or device does not exist."""
        try:
            pick_device(self.params.device)
            read_shape(self._request, _families())
        except UserError as error:
            raise _of_the_judge(error) from error

    @cached_property
    def model(self) -> LoadedModel:
        """The judge itself."""
        return load_model(self._request, _families())

    def judge(self, texts: Sequence[str], prompt: GradingPrompt, environment: Environment) -> dict[str, Judgement]:
        """Return the judgement of every text. If the model cannot be loaded, they have no verdict."""
        try:
            model = self.model
        except UserError as error:
            reason = str(_of_the_judge(error).within("the local judge cannot be loaded"))
            environment.progress.note(reason)
            return dict.fromkeys(texts, Judgement(why=reason))
        model.clock = environment.clock
        clock = _clock(model)
        who = {"weights": model.fingerprint, "dtype": str(model.dtype), "device": model.device.type}
        who |= {"clock": clock} if clock else {}
        with open_store(environment.cache, who, prompt.version, prompt.letters) as store:
            judgements = {text: Judgement(reply, known=True) for text in texts if (reply := store.get(text))}
            unknown = [text for text in texts if text not in judgements]
            environment.progress.note(
                f"judge {self.name}: {len(texts)} different answers to judge, {len(judgements)} of them known already"
            )
            if unknown:
                round_of_questions = LocalQuestioning(model, self.params, prompt.letters, clock)
                with environment.progress.track("judging", len(unknown)) as advance:
                    judgements |= round_of_questions.ask_all(unknown, store, advance)
                if account := round_of_questions.longer_replies.account():
                    environment.progress.note(f"judge {self.name}: {account}")
                environment.progress.note(f"judge {self.name}: {unscored(judgements.values())}")
            for note in store.notes():
                environment.progress.note(note)
        return judgements


class LocalQuestioning:
    """One round of questions to a loaded model. A reply that was cut off is asked for once more, with more tokens.

    ``clock`` is the time that the model's chat template reads (None: it reads none).
    """

    def __init__(self, model: LoadedModel, params: JudgeParams, letters: Letters, clock: str | None = None) -> None:
        self.model = model
        self.params = params
        self.letters = letters
        self.clock = clock
        self.template_problems: list[str] = []
        self.longer_replies = LongerReplies(params.max_tokens, trials=1)

    def ask_all(
        self, texts: Sequence[str], store: VerdictStore, advance: Callable[[int], None]
    ) -> dict[str, Judgement]:
        """Return the judgement of every text. Verdicts are stored after each batch."""
        judgements: dict[str, Judgement] = {}
        for start in range(0, len(texts), self.params.batch_size):
            batch = texts[start : start + self.params.batch_size]
            replies = self._ask_batch(batch, judgements)
            for text, reply in replies.items():
                judgements[text] = judged(reply)
                if reply.verdict:
                    store.put(text, reply)
            advance(len(batch))
        return judgements

    def _ask_batch(self, texts: Sequence[str], judgements: dict[str, Judgement]) -> dict[str, Reply]:
        """Return the reply to each text that the model can read; the others have their judgement at once."""
        prompts = {text: prompt for text in texts if (prompt := self._prompt(text, judgements))}
        lengths = {text: len(encode(self.model.tokenizer, prompt)) for text, prompt in prompts.items()}
        longest = self.model.max_length
        for text in list(prompts):
            if longest is not None and lengths[text] >= longest:
                why = f"the text has {lengths[text]} tokens, and the judge reads {longest}"
                judgements[text] = Judgement(why=why)
                del prompts[text]
        replies = self._decode(prompts, lengths, self.params.max_tokens)
        self._ask_for_longer(replies, prompts, lengths)
        return replies

    def _prompt(self, text: str, judgements: dict[str, Judgement]) -> Prompt | None:
        """Render a text. None: the chat template does not, and the text has its judgement."""
        if len(self.template_problems) >= MOST_FAILURES:
            judgements[text] = Judgement(why=self.template_problems[-1])
            return None
        try:
            return _prompt(self.model, text)
        except TemplateError as refusal:
            judgements[text] = Judgement(
                why="the judge's chat template refuses the text", said=quoted(str(refusal), 80)
            )
        except UserError as error:
            self.template_problems.append(str(error.within("the text cannot be given to the judge")))
            judgements[text] = Judgement(why=self.template_problems[-1])
        return None

    def _ask_for_longer(
        self, replies: dict[str, Reply], prompts: Mapping[str, Prompt], lengths: Mapping[str, int]
    ) -> None:
        """Ask again where a reply was cut off: first about one text, and about the others if that helped."""
        cut = [text for text, reply in replies.items() if reply.cut_off and self._has_room(lengths[text])]
        while cut and self.longer_replies.are_worthwhile:
            part = cut if self.longer_replies.clear else cut[:1]
            cut = cut[len(part) :]
            again = self._decode({text: prompts[text] for text in part}, lengths, longer(self.params.max_tokens))
            for text, reply in again.items():
                self.longer_replies.count(reply.verdict is not None)
                replies[text] = reply if reply.verdict else replies[text]

    def _has_room(self, length: int) -> bool:
        """Return whether the model's context is long enough for more than the first reply."""
        longest = self.model.max_length
        return longest is None or length + self.params.max_tokens < longest

    def _decode(self, prompts: Mapping[str, Prompt], lengths: Mapping[str, int], max_tokens: int) -> dict[str, Reply]:
        begun = [begins_thought(prompt.text) for prompt in prompts.values()]
        outputs = decode(self.model, list(prompts.values()), [max_tokens] * len(prompts), ObjectIsClosed(begun))
        replies = {}
        for text, output, thinks in zip(prompts, outputs, begun, strict=True):
            said = with_markers(self.model, output.token_ids)
            replies[text] = Reply(
                text=said,
                only_thoughts=not split_thought(said, begun=thinks).ended,
                answered_by=self.params.local,
                input_tokens=lengths[text],
                output_tokens=len(output.token_ids),
                cut_off=output.stop_reason in ("max-new-tokens", "context-full"),
                letters=self.letters,
                clock=self.clock,
            )
        return replies


class ObjectIsClosed:
    """Ends a reply with its JSON object, since a model not trained for chat would never stop. Thoughts are not part of the
    reply; ``begun`` says of each row whether its prompt begins one.
    """

    def __init__(self, begun: Sequence[bool]) -> None:
        self.begun = begun

    def __call__(self, row: int, text: str, token_count: int) -> bool:
        """Return whether the row's reply is complete."""
        return text.rstrip().endswith(("}", "```")) and ends_with_an_object(split_thought(text, self.begun[row]).reply)


def with_markers(model: LoadedModel, token_ids: Sequence[int]) -> str:
    """Return the text of tokens without special ones, apart from those that mark thoughts."""
    tokenizer = model.tokenizer
    special = set(tokenizer.all_special_ids) - {tokenizer.convert_tokens_to_ids(marker) for marker in MARKER_TOKENS}
    return str(tokenizer.decode([token for token in token_ids if token not in special]))


def _prompt(model: LoadedModel, text: str) -> Prompt:
    """Render a text as a user's message if the model has a chat template, else unchanged.

    Raises ``UserError`` and ``TemplateError`` as ``render_chat`` does.
    """
    if not model.tokenizer.chat_template:
        return Prompt(text=text)
    chat = render_chat(model, [{"role": "user", "content": text}])
    return Prompt(text=chat, separator="", special_tokens=False)


def _clock(model: LoadedModel) -> str | None:
    """Return the time that the model's chat template reads, as it is recorded. None: it reads none, or there is no template."""
    try:
        return recorded_clock(model) if model.tokenizer.chat_template and reads_clock(model) else None
    except UserError:  # several templates, of which none is the default: each text says so
        return None


def _of_the_judge(error: UserError) -> UserError:
    """Name the metric's parameters in an error of the core that names the options for the edited model."""
    own = {"model": "local", "device": "device", "dtype": "dtype"}
    renamed = error.renamed({name: partial(Parameter, f"metric.judge.{key}") for name, key in own.items()})
    return renamed if renamed.about != error.about else renamed.within("metric judge")


def _families() -> Mapping[str, Family]:
    return {family.model_type: family for family in built_in_families()}
