"""A judge in this process: an ordinary model folder, without a server."""

from collections.abc import Mapping, Sequence
from functools import cached_property, partial

from wildcore import Environment, Family, Parameter, Prompt, UserError
from wildcore.architectures import built_in_families
from wildcore.inference import decode
from wildcore.models import LoadedModel, ModelRequest, encode, load_model, pick_device, read_shape
from wildcore_judge.parameters import JudgeParams
from wildcore_judge.store import VerdictStore, open_store
from wildcore_judge.verdict import THOUGHTS, Judgement, Reply, judged, unscored


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

    def judge(self, texts: Sequence[str], prompt_version: str, environment: Environment) -> dict[str, Judgement]:
        """Return the judgement of every text. If the model cannot be loaded, they have no verdict."""
        try:
            model = self.model
        except UserError as error:
            reason = str(_of_the_judge(error).within("the local judge cannot be loaded"))
            environment.progress.note(reason)
            return dict.fromkeys(texts, Judgement(reason=reason))
        who = {"weights": model.fingerprint, "dtype": str(model.dtype), "device": model.device.type}
        with open_store(environment.cache, who, prompt_version) as store:
            judgements = {text: Judgement(reply, known=True) for text in texts if (reply := store.get(text))}
            unknown = [text for text in texts if text not in judgements]
            environment.progress.note(
                f"judge {self.name}: {len(texts)} different answers to judge, {len(judgements)} of them known already"
            )
            if unknown:
                judgements |= self._ask(model, unknown, store, environment)
                environment.progress.note(f"judge {self.name}: {unscored(judgements.values())}")
            for note in store.notes():
                environment.progress.note(note)
        return judgements

    def _ask(
        self, model: LoadedModel, texts: Sequence[str], store: VerdictStore, environment: Environment
    ) -> dict[str, Judgement]:
        judgements: dict[str, Judgement] = {}
        with environment.progress.track("judging", len(texts)) as advance:
            for start in range(0, len(texts), self.params.batch_size):
                batch = texts[start : start + self.params.batch_size]
                judgements |= self._ask_batch(model, batch)
                for text in batch:
                    reply = judgements[text].reply
                    if reply and reply.verdict:
                        store.put(text, reply)
                advance(len(batch))
        return judgements

    def _ask_batch(self, model: LoadedModel, texts: Sequence[str]) -> dict[str, Judgement]:
        prompts = {text: _prompt(model, text) for text in texts}
        lengths = {text: len(encode(model.tokenizer, prompt)) for text, prompt in prompts.items()}
        longest = model.max_length
        too_long = [text for text in texts if longest is not None and lengths[text] >= longest]
        judgements = {
            text: Judgement(reason=f"the text has {lengths[text]} tokens, and the judge reads {longest}")
            for text in too_long
        }
        readable = {text: prompt for text, prompt in prompts.items() if text not in judgements}
        if readable:
            limits = [self.params.max_tokens] * len(readable)
            outputs = decode(model, list(readable.values()), limits, object_is_closed)
            for text, output in zip(readable, outputs, strict=True):
                reply = Reply(
                    text=output.text,
                    answered_by=self.name,
                    input_tokens=lengths[text],
                    output_tokens=len(output.token_ids),
                    cut_off=output.stop_reason in ("max-new-tokens", "context-full"),
                )
                judgements[text] = judged(reply)
        return judgements


def object_is_closed(row: int, text: str, token_count: int) -> bool:
    """End a reply with its JSON object, since a model not trained for chat would never stop. Thoughts are not part of the
    reply.
    """
    said = THOUGHTS.sub("", text).lstrip()
    return "}" in said and not said.startswith("<think>")


def _prompt(model: LoadedModel, text: str) -> Prompt:
    """Render a text as a user's message if the model has a chat template, else unchanged."""
    if not model.tokenizer.chat_template:
        return Prompt(text=text)
    message = [{"role": "user", "content": text}]
    chat = model.tokenizer.apply_chat_template(message, add_generation_prompt=True, tokenize=False)
    return Prompt(text=chat, separator="", special_tokens=False)


def _of_the_judge(error: UserError) -> UserError:
    """Name the metric's parameters in an error of the core that names the options for the edited model."""
    own = {"model": "local", "device": "device", "dtype": "dtype"}
    renamed = error.renamed({name: partial(Parameter, f"metric.judge.{key}") for name, key in own.items()})
    return renamed if renamed.about != error.about else renamed.within("metric judge")


def _families() -> Mapping[str, Family]:
    return {family.model_type: family for family in built_in_families()}
