"""The suffix source: what it finds, for whom, and within which bounds."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentspark.drafting import ngrams
from agentspark.drafting.ngrams import SEPARATOR, NgramTable
from agentspark.drafting.suffix import SuffixSource
from agentspark.drafting.suffix_index import SharedTokens, SuffixIndex

tokens = st.lists(st.integers(0, 3), max_size=60)


def filled(token_ids: list[int]) -> NgramTable:
    table = NgramTable()
    table.extend(token_ids)
    return table


def test_the_longest_match_is_continued() -> None:
    table = filled([1, 2, 3, 50, 51, 9, 2, 3, 60, 61, 8, 1, 2, 3])
    match = table.find([1, 2, 3], 2)
    assert match is not None
    assert (match.token_ids, match.length) == ([50, 51], 3)


def test_of_equal_matches_the_most_frequent_then_the_latest_wins() -> None:
    table = filled([7, 8, 1, 0, 7, 8, 1, 0, 7, 8, 2, 0])
    match = table.find([9, 7, 8], 1)
    assert match is not None
    assert (match.token_ids, match.votes, match.found) == ([1], 2, 3)
    match = filled([7, 8, 1, 0, 7, 8, 2, 0]).find([9, 7, 8], 1)
    assert match is not None
    assert (match.token_ids, match.votes, match.found) == ([2], 1, 2)


def test_periodic_text_is_continued_beyond_the_end() -> None:
    match = filled([1, 2, 3] * 4).find([1, 2, 3] * 4, 8)
    assert match is not None
    assert match.token_ids == [1, 2, 3, 1, 2, 3, 1, 2]


def test_nothing_to_match() -> None:
    assert NgramTable().find([1, 2], 4) is None
    assert filled([1, 2, 3]).find([5, 6], 4) is None
    assert filled([1, 2, 3]).find([2, 3], 4) is None  # only the end itself
    assert filled([1, 2, 3]).find([3], 4) is None


def test_no_match_reaches_across_a_separator() -> None:
    table = filled([1, 2, SEPARATOR, 3, 4, 5])
    assert table.find([1, 2], 4) is None
    match = filled([9, 1, 2, 7, SEPARATOR, 3]).find([9, 1, 2], 4)
    assert match is not None and match.token_ids == [7]


def naive_longest(text: list[int], tail: list[int]) -> int:
    """Longest match of the tail's end that has a continuation, as the table counts lengths."""
    best = 0
    for length in ngrams._LENGTHS:
        if length > len(tail):
            break
        for end in range(length - 1, len(text) - 1):
            if text[end - length + 1 : end + 1] == tail[-length:]:
                best = length
    return best


@settings(max_examples=200)
@given(tokens, tokens, st.integers(1, 20))
def test_what_is_found_is_there(text: list[int], tail: list[int], max_tokens: int) -> None:
    match = filled(text).find(tail, max_tokens)
    if match is None:
        assert naive_longest(text, tail) == 0
        return
    assert len(match.token_ids) == max_tokens
    assert 1 <= match.votes <= match.found
    # Overlapping itself, the text goes on as proposed from some occurrence of the matched end.
    gram = tail[-match.length :]
    ends = [
        end
        for end in range(len(text) - 1)
        if text[max(0, end - match.length + 1) : end + 1] == gram
    ]
    assert any(
        [(text[end + 1 :] * max_tokens)[i] for i in range(max_tokens)] == match.token_ids
        for end in ends
    )


@settings(max_examples=100)
@given(st.lists(st.integers(0, 30), max_size=80), st.integers(2, 6))
def test_rare_ngrams_give_the_longest_match(text: list[int], length: int) -> None:
    tail = text[-length:]
    match = filled(text).find(tail, 3)
    most = max((text.count(t) for t in set(text)), default=0)
    if most <= 12:  # fewer occurrences than the look-up follows
        assert (match.length if match else 0) == naive_longest(text, tail)


@given(
    st.lists(st.integers(0, 50_000), min_size=1, max_size=400),
    st.lists(st.integers(0, 400), max_size=5),
)
def test_indexing_in_bulk_or_in_pieces_is_the_same(text: list[int], cuts: list[int]) -> None:
    whole, pieces = NgramTable(), NgramTable()
    whole._extend_bulk(text)
    borders = sorted({0, len(text), *(c for c in cuts if c < len(text))})
    for i, j in pairwise(borders):
        pieces.extend(text[i:j])
    assert whole.tokens == pieces.tokens
    assert whole._heads == pieces._heads
    assert whole._previous == pieces._previous


def test_memory_stays_bounded_and_recent_tokens_are_found() -> None:
    index = SuffixIndex(capacity=200)
    generator = random.Random(0)
    for start in range(0, 5000, 10):
        index.extend([generator.randrange(1000) for _ in range(7)] + [2000 + start, 3001, 3002])
        assert len(index) <= 400
    assert index.generation > 10
    match = index.propose([2000 + 4900, 3001], 1)
    assert match is not None and match.token_ids == [3002]
    assert index.propose([2000, 3001], 1) is None
    index.extend(list(range(1000)))
    assert len(index) <= 400
    assert index.propose([5, 6], 0) is None


def test_a_match_over_the_border_of_generations() -> None:
    index = SuffixIndex(capacity=128)
    phrase = [900, 901, 902, 903]
    index.extend([*range(126), *phrase[:2]])  # full after this
    index.extend([*phrase[2:], 5])
    match = index.propose(phrase, 1)
    assert match is not None and (match.token_ids, match.length) == ([5], 4)


def test_shared_tokens_index_a_growing_conversation_once() -> None:
    shared = SharedTokens(capacity=10_000)
    conversation = list(range(1000))
    shared.add(conversation)
    size = len(shared.index)
    shared.add(conversation)
    assert len(shared.index) - size < 64 + 32 + 2
    size = len(shared.index)
    shared.add([*conversation, 5000, 5001, 5002])
    assert len(shared.index) - size < 64 + 32 + 5
    match = shared.index.propose([997, 998, 999], 3)
    assert match is not None and match.token_ids == [5000, 5001, 5002]


def text_of(seed: int, n: int = 300) -> list[int]:
    generator = random.Random(seed)
    return [generator.randrange(20_000) for _ in range(n)]


def test_a_request_copies_from_its_own_prompt_and_output() -> None:
    prompt = text_of(1)
    session = SuffixSource().open([*prompt, *prompt[100:108]])
    proposal = session.propose(5)
    assert proposal.token_ids == prompt[108:113]
    assert proposal.source == "suffix" and proposal.deterministic
    assert all(b <= a for a, b in zip(proposal.survival, proposal.survival[1:], strict=False))
    said = text_of(2, 40)
    session.extend(said)
    session.extend(said[:6])
    assert session.propose(4).token_ids == said[6:10]
    assert session.propose(4, after=said[6:8]).token_ids == said[8:12]


def test_tokens_before_the_first_proposal_are_known_too() -> None:
    said = text_of(3, 30)
    for scope in (None, "run"):
        session = SuffixSource().open([1, 2, 3], scope)
        session.extend(said)
        session.extend(said[4:8])
        assert session.propose(3).token_ids == said[8:11]


def test_siblings_of_a_scope_share_and_others_do_not() -> None:
    source = SuffixSource()
    prompt, said = text_of(4), text_of(5, 50)
    first = source.open(prompt, ("salt", "run"))
    first.propose(1)
    first.extend(said)
    first.close()
    for scope, found in ((("salt", "run"), said[6:10]), (("other", "run"), []), (None, [])):
        session = source.open([*text_of(6, 50), *said[:6]], scope)
        assert session.propose(4).token_ids == found


def test_a_private_request_leaves_nothing_behind() -> None:
    source = SuffixSource()
    session = source.open(text_of(7), None)
    session.propose(1)
    session.close()
    assert source.open(text_of(7)[:20], "run").propose(4).token_ids == []


def test_scopes_are_bounded_and_can_be_forgotten() -> None:
    source = SuffixSource(scopes=2)
    text = text_of(8)
    for name in ("a", "b", "c"):
        session = source.open(text, name)
        session.propose(1)
        session.close()
    assert source.open(text[:20], "a").propose(2).token_ids == []  # dropped: least recently used
    assert source.open(text[:20], "c").propose(2).token_ids == text[20:22]
    source.forget("c")
    assert source.open(text[:20], "c").propose(2).token_ids == []


def test_only_what_is_copied_out_of_the_prediction_counts_as_it() -> None:
    prompt, prediction = text_of(12, 40), text_of(13, 20)
    source = SuffixSource()

    def after(tokens: list[int], drafts: int, predicted: list[int] = prediction) -> list[int]:
        session = source.open(prompt, None, predicted)
        session.extend(tokens)
        proposal = session.propose(drafts)
        places = session.predicted(proposal)
        return [proposal.token_ids[place] for place in places]

    assert after(prediction[:4], 8) == prediction[4:12]
    assert after(prediction[:15], 8) == prediction[15:]  # and then it repeats itself
    # The prompt's end is copied, up to the prediction behind it.
    assert after(prompt[20:24], 8) == []
    assert after(prompt[30:35], 8) == prediction[:3]
    assert after(prompt[2:6], 8) == []
    assert after(prediction[:4], 8, []) == []
    # An index that dropped its oldest tokens still knows where the others are.
    long = [*text_of(14, 100), *prediction]
    short = SuffixSource(capacity=96).open(prompt, None, long)
    short.extend(prediction[:6])
    assert list(short.predicted(short.propose(8))) == list(range(8))


def test_survival_is_learned_from_what_was_kept() -> None:
    source = SuffixSource()
    text = text_of(9)
    session = source.open([*text, *text[50:60]])
    first = session.propose(8)
    for kept in (8, 0):
        for _ in range(100):
            session.learn(first, 8, kept)
        last = session.propose(8)
        assert (last.survival[0] > first.survival[0]) == (kept == 8)
    session.learn(source.open([1]).propose(4), 0, 0)  # an empty proposal teaches nothing


def test_a_long_match_is_trusted_more_at_first() -> None:
    text = text_of(10)
    source = SuffixSource()
    short = source.open([*text, *text_of(11, 40), *text[50:52]]).propose(4)
    long = source.open([*text, *text_of(11, 40), *text[40:60]]).propose(4)
    assert long.expected_accepted > short.expected_accepted


@pytest.mark.parametrize("n", [0, 1])
def test_tiny_contexts_propose_nothing(n: int) -> None:
    assert SuffixSource().open([1] * n).propose(4).token_ids == []
