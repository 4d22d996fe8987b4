"""The separator of prompt and target, and the subject's last token, on both kinds of tokenizer."""

import string
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import processors

from wildcore import Prompt, Refused
from wildcore.models import IGNORE_INDEX, TokenisedPair, encode, pad, subject_span, target_labels, tokenise_pair
from wildcore.testing.tokenizers import byte_level_tokenizer, metaspace_tokenizer

KINDS = {
    "byte-level": byte_level_tokenizer(),
    "metaspace with prefix space": metaspace_tokenizer(prefix_space=True),
    "metaspace without prefix space": metaspace_tokenizer(prefix_space=False),
}
CPU = torch.device("cpu")
LETTERS = string.ascii_letters + string.digits + "éüñ'-."
WORDS = st.text(LETTERS, min_size=1, max_size=8)
TEXTS = st.lists(WORDS, min_size=1, max_size=6).map(" ".join)
SEVERAL = settings(max_examples=60, deadline=None)


@pytest.fixture(params=KINDS)
def tokenizer(request: pytest.FixtureRequest) -> Any:
    return KINDS[request.param]


def pieces(tokenizer: Any, ids: tuple[int, ...]) -> list[str]:
    return list(tokenizer.convert_ids_to_tokens(list(ids)))


def text_of(joined: TokenisedPair, index: int) -> str:
    start, end = joined.spans[index]
    return joined.text[start:end]


class TestJoin:
    def test_the_targets_tokens_decode_to_the_target(self, tokenizer: Any) -> None:
        for target in ("Paris", "Warsaw", "the Seine", "3.5 million", "J. S. Bach", "the café (old)"):
            joined = tokenise_pair(tokenizer, Prompt(text="Which river flows through it? A:"), target)
            assert tokenizer.decode(joined.target_ids).strip() == target
            assert tokenizer.decode(joined.token_ids, skip_special_tokens=True).strip() == joined.text

    def test_a_target_of_one_piece_is_one_token_with_its_space(self, tokenizer: Any) -> None:
        joined = tokenise_pair(tokenizer, Prompt(text="The metro of"), "Paris")
        (token,) = pieces(tokenizer, joined.target_ids)
        assert token in ("ĠParis", "▁Paris")

    def test_tokenising_the_target_alone_would_give_a_space_of_its_own(self) -> None:
        tokenizer = metaspace_tokenizer(prefix_space=True)
        assert pieces(tokenizer, tuple(tokenizer.encode("  Paris", add_special_tokens=False)))[0] == "▁"
        assert pieces(tokenizer, tokenise_pair(tokenizer, Prompt(text="of"), "  Paris").target_ids) == ["▁Paris"]

    @pytest.mark.parametrize("target", [" Paris", "Paris", "  Paris ", "\tParis\n"])
    def test_white_space_around_a_target_makes_no_difference(self, target: str, tokenizer: Any) -> None:
        prompt = Prompt(text="The metro of")
        assert tokenise_pair(tokenizer, prompt, target) == tokenise_pair(tokenizer, prompt, "Paris")
        assert tokenise_pair(tokenizer, prompt, target).text == "The metro of Paris"

    @pytest.mark.parametrize("space", [" ", "\n", "\n\n", "\t"])
    def test_a_prompt_that_ends_in_white_space_gets_no_second_separator(self, space: str, tokenizer: Any) -> None:
        joined = tokenise_pair(tokenizer, Prompt(text=f"The metro of{space}"), "Paris")
        assert joined.text == f"The metro of{space}Paris"
        assert tokenizer.decode(joined.target_ids).strip() == "Paris"

    def test_a_chat_prompt_is_read_on_without_a_space_and_without_special_tokens(self, tokenizer: Any) -> None:
        prompt = Prompt(text="<s>Q: Who?\nA:\n", separator="", special_tokens=False)
        joined = tokenise_pair(tokenizer, prompt, "Paris")
        assert joined.text == "<s>Q: Who?\nA:\nParis"
        assert list(joined.token_ids).count(tokenizer.bos_token_id) == 1
        assert tokenizer.decode(joined.target_ids).strip() == "Paris"
        assert tokenise_pair(tokenizer, Prompt(text="who]", separator=""), "Paris").text == "who]Paris"

    def test_closing_by_a_full_stop(self, tokenizer: Any) -> None:
        prompt = Prompt(text="The metro of")
        closed = tokenise_pair(tokenizer, prompt, "Paris", ending="stop")
        assert closed.text == "The metro of Paris."
        assert tokenizer.decode(closed.target_ids).strip() == "Paris."
        assert tokenise_pair(tokenizer, prompt, "the U.S.", ending="stop").text == "The metro of the U.S."

    def test_closing_by_the_end_of_sequence(self, tokenizer: Any) -> None:
        prompt = Prompt(text="The metro of")
        joined = tokenise_pair(tokenizer, prompt, "Paris")
        closed = tokenise_pair(tokenizer, prompt, "Paris", ending="end-of-sequence")
        assert closed.token_ids == (*joined.token_ids, tokenizer.eos_token_id)
        assert closed.prompt_length == joined.prompt_length
        assert len(closed.spans) == len(closed.token_ids)

    @SEVERAL
    @given(prompt=TEXTS, target=TEXTS)
    @pytest.mark.parametrize("kind", KINDS)
    def test_any_words(self, kind: str, prompt: str, target: str) -> None:
        tokenizer = KINDS[kind]
        joined = tokenise_pair(tokenizer, Prompt(text=prompt), target)
        assert joined.token_ids[: joined.prompt_length] == encode(tokenizer, Prompt(text=prompt))
        assert len(joined.target_ids) > 0
        assert len(joined.spans) == len(joined.token_ids)
        assert tokenizer.decode(joined.target_ids).strip() == target

    @SEVERAL
    @given(prompt=TEXTS, target=TEXTS)
    @pytest.mark.parametrize("kind", KINDS)
    def test_without_a_separator_every_character_of_the_target_is_in_its_tokens(
        self, kind: str, prompt: str, target: str
    ) -> None:
        joined = tokenise_pair(KINDS[kind], Prompt(text=prompt, separator=""), target)
        assert min(start for start, _ in joined.spans[joined.prompt_length :]) <= len(prompt)
        assert max(end for _, end in joined.spans) == len(prompt) + len(target)
        assert all(end <= len(prompt) for _, end in joined.spans[: joined.prompt_length])

    def test_an_empty_target_has_no_tokens(self, tokenizer: Any) -> None:
        joined = tokenise_pair(tokenizer, Prompt(text="The metro of"), " ")
        assert joined.target_ids == ()
        assert joined.token_ids == encode(tokenizer, Prompt(text="The metro of"))


class TestEncode:
    def test_a_prompt_starts_with_the_beginning_of_sequence_once(self, tokenizer: Any) -> None:
        ids = encode(tokenizer, Prompt(text="The metro of"))
        assert ids[0] == tokenizer.bos_token_id
        assert list(ids).count(tokenizer.bos_token_id) == 1
        assert encode(tokenizer, Prompt(text="The metro of", special_tokens=False)) == ids[1:]

    @pytest.mark.parametrize("closing", ["$A </s>", "<s> $A </s>", "<s> $A </s> </s>"])
    def test_a_closing_special_token_is_dropped(self, closing: str) -> None:
        tokenizer = byte_level_tokenizer()
        plain = encode(tokenizer, Prompt(text="The metro of", special_tokens=False))
        tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
            single=closing, special_tokens=[("<s>", 1), ("</s>", 2)]
        )
        beginning = (1,) if closing.startswith("<s>") else ()
        assert encode(tokenizer, Prompt(text="The metro of")) == beginning + plain
        joined = tokenise_pair(tokenizer, Prompt(text="The metro of"), "Paris")
        assert tokenizer.decode(joined.target_ids) == " Paris"
        closed = tokenise_pair(tokenizer, Prompt(text="The metro of"), "Paris", ending="end-of-sequence")
        assert closed.target_ids == (*joined.target_ids, 2)

    def test_a_special_token_that_the_prompt_itself_ends_with_is_kept(self, tokenizer: Any) -> None:
        assert encode(tokenizer, Prompt(text="The metro</s>"))[-1] == tokenizer.eos_token_id


class TestSubject:
    def at(self, tokenizer: Any, text: str, subject: str) -> str:
        """Return the text of the token that is the subject's last."""
        joined = tokenise_pair(tokenizer, Prompt(text=text), "Warsaw")
        return text_of(joined, joined.last_token_of(subject_span(text, subject)))

    def test_in_the_middle(self, tokenizer: Any) -> None:
        assert self.at(tokenizer, "Where was Marie Curie born?", "Marie Curie").strip() == "Curie"

    def test_at_the_start(self, tokenizer: Any) -> None:
        joined = tokenise_pair(tokenizer, Prompt(text="Paris is old"), "Warsaw")
        index = joined.last_token_of(subject_span(joined.text, "Paris"))
        assert 0 < index < joined.prompt_length
        assert joined.spans[index][1] == len("Paris")

    def test_at_the_end(self, tokenizer: Any) -> None:
        assert self.at(tokenizer, "The metro of Paris", "Paris").strip() == "Paris"

    def test_repeated_is_the_last_one(self, tokenizer: Any) -> None:
        text = "Paris in France and Paris in Texas"
        assert subject_span(text, "Paris") == (20, 25)
        joined = tokenise_pair(tokenizer, Prompt(text=text), "Warsaw")
        start, end = joined.spans[joined.last_token_of((20, 25))]
        assert start in (19, 20)
        assert end == 25

    def test_merging_with_what_follows_is_the_merged_token(self, tokenizer: Any) -> None:
        assert self.at(tokenizer, "Every Parisian knows it", "Paris").strip() == "Parisian"

    def test_a_character_of_several_tokens_is_at_its_last(self) -> None:
        tokenizer = KINDS["byte-level"]
        joined = tokenise_pair(tokenizer, Prompt(text="An old cafn\u00e9"), "Warsaw")
        index = joined.last_token_of(subject_span(joined.text, "cafn\u00e9"))
        assert joined.spans[index][1] == len("An old cafn\u00e9")
        assert joined.spans[index + 1][0] >= len("An old cafn\u00e9")

    def test_white_space_around_it_makes_no_difference(self, tokenizer: Any) -> None:
        assert subject_span("The metro of Paris is old", " Paris ") == (13, 18)
        assert self.at(tokenizer, "The metro of Paris is old", "Paris ").strip() == "Paris"

    @pytest.mark.parametrize("subject", ["Rome", "paris"])
    def test_absent_is_refused(self, subject: str) -> None:
        with pytest.raises(Refused, match=f"'{subject}' does not occur in the prompt 'The metro of Paris'"):
            subject_span("The metro of Paris", subject)

    @pytest.mark.parametrize("subject", ["", " ", None])
    def test_none_is_refused(self, subject: str | None) -> None:
        with pytest.raises(Refused, match="names no subject"):
            subject_span("The metro of Paris", subject)

    @SEVERAL
    @given(before=TEXTS, subject=TEXTS, after=TEXTS)
    @pytest.mark.parametrize("kind", KINDS)
    def test_the_token_covers_the_last_character(self, kind: str, before: str, subject: str, after: str) -> None:
        text = f"{before} {subject} {after}"
        span = subject_span(text, subject)
        joined = tokenise_pair(KINDS[kind], Prompt(text=text), "Warsaw")
        index = joined.last_token_of(span)
        start, end = joined.spans[index]
        assert start < span[1] <= end
        assert index < joined.prompt_length
        assert all(later >= span[1] for later, _ in joined.spans[index + 1 :])


ROWS = st.lists(st.lists(st.integers(1, 99), min_size=1, max_size=7), min_size=1, max_size=5)


class TestPad:
    @SEVERAL
    @given(rows=ROWS, side=st.sampled_from(["left", "right"]))
    def test_the_mask_marks_exactly_the_rows(self, rows: list[list[int]], side: str) -> None:
        ids, mask = pad(rows, 0, side, CPU)
        longest = max(map(len, rows))
        assert ids.shape == mask.shape == (len(rows), longest)
        for row, row_ids, row_mask in zip(rows, ids, mask, strict=True):
            assert row_ids[row_mask.bool()].tolist() == row
            assert row_mask.sum() == len(row)
            assert row_ids[~row_mask.bool()].eq(0).all()
            assert row_mask[-1 if side == "left" else 0] == 1
            assert row_mask.tolist() == sorted(row_mask.tolist(), reverse=side == "right")


class TestLabels:
    def test_each_target_token_is_the_label_of_the_position_before_it(self, tokenizer: Any) -> None:
        rows = [
            tokenise_pair(tokenizer, Prompt(text="The metro of"), "Paris"),
            tokenise_pair(tokenizer, Prompt(text="The capital of Canada, a country, is"), "the old Ottawa"),
        ]
        labels = target_labels(rows, CPU)
        assert labels.shape == (2, max(len(row.token_ids) for row in rows))
        for row, row_labels in zip(rows, labels.tolist(), strict=True):
            for position, label in enumerate(row_labels):
                predicts_target = row.prompt_length <= position + 1 < len(row.token_ids)
                assert label == (row.token_ids[position + 1] if predicts_target else IGNORE_INDEX)
