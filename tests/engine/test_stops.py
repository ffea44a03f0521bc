"""Stop strings across the borders of pieces."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from agentspark.engine.stops import StopMatcher


def run(stops: list[str], pieces: list[str]) -> tuple[str, str | None]:
    matcher = StopMatcher(stops)
    text = ""
    for piece in pieces:
        text += matcher.push(piece)
        assert not any(stop in text for stop in stops)
        if matcher.stopped is not None:
            return text, matcher.stopped
    return text + matcher.flush(), matcher.stopped


def test_a_stop_string_over_three_pieces_is_never_emitted() -> None:
    matcher = StopMatcher(["<end>"])
    assert matcher.push("hello <e") == "hello "
    assert matcher.push("n") == ""
    assert matcher.push("d> more") == ""
    assert matcher.stopped == "<end>"
    assert matcher.push("again") == ""


def test_a_false_start_is_released() -> None:
    matcher = StopMatcher(["<end>"])
    assert matcher.push("a <en") == "a "
    assert matcher.push("ter>") == "<enter>"
    assert matcher.push("<") == ""
    assert matcher.flush() == "<"
    assert matcher.stopped is None


def test_the_first_to_complete_wins_and_of_those_the_longest() -> None:
    assert run(["abcd", "bc"], ["xabcd"]) == ("xa", "bc")
    assert run(["abcd", "bc"], list("xabcd")) == ("xa", "bc")
    assert run(["bc", "abc"], ["xabc"]) == ("x", "abc")


def test_overlapping_starts() -> None:
    assert run(["aab"], list("aaab")) == ("a", "aab")
    assert run(["\n\n"], ["a\n", "b\n", "\nc"]) == ("a\nb", "\n\n")


def test_no_stops_hold_nothing_back() -> None:
    assert run([], ["a", "b"]) == ("ab", None)


@given(
    st.lists(st.text("ab", min_size=1, max_size=4), max_size=3),
    st.text("ab", max_size=30),
    st.lists(st.integers(0, 30), max_size=8),
)
def test_cutting_the_text_changes_nothing(stops: list[str], text: str, cuts: list[int]) -> None:
    borders = sorted({0, len(text), *(c for c in cuts if c < len(text))})
    pieces = [text[i:j] for i, j in pairwise(borders)]
    emitted, stopped = run(stops, pieces)
    assert (emitted, stopped) == run(stops, list(text))
    if stopped is None:
        assert emitted == text
        assert not any(stop in text for stop in stops)
    else:
        assert text.startswith(emitted + stopped)
