"""Text and chats to token ids and back, so that a longer chat extends a shorter one's tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from threading import RLock
from typing import TYPE_CHECKING, Any

from agentspark.models.markers import Markers, any_of
from agentspark.models.messages import check_messages, strings_in
from agentspark.models.template import render, render_turns
from agentspark.models.text_stream import TextStream
from agentspark.models.turns import Turn, TurnMemory, make_turn

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_BYTES = tuple(f"<0x{value:02X}>" for value in range(256))


class ChatTokenizer:
    """A target's tokenizer and chat template. Safe to use from several threads.

    ``hf`` is transformers' tokenizer. ``remembered`` bounds how many generated texts keep their
    tokens for later chats.
    """

    def __init__(self, hf: PreTrainedTokenizerBase, *, remembered: int = 2048) -> None:
        self.hf = hf
        self._lock = RLock()  # the tokenizer keeps settings of a call in itself
        self._memory = TurnMemory(remembered)
        added = hf.added_tokens_decoder.items()
        self._control_ids = frozenset(index for index, token in added if token.special)
        controls = {token.content for _, token in added if token.special}
        # Tokens such as <tool_response> are no control tokens by name but the template writes
        # them: an assistant may spell them, others may not.
        marks = {token.content for _, token in added if not token.content.isspace()}
        self._controls = any_of(controls)
        self._marks = any_of(controls | {text for text in marks if text in str(hf.chat_template)})
        vocabulary = hf.get_vocab()
        bytewise = all(name in vocabulary for name in _BYTES)
        self._byte_ids = frozenset(vocabulary[name] for name in _BYTES) if bytewise else frozenset()
        self._newline = self._encode_start("\n", markup=False)
        # SentencePiece tokenizers put a space before a text; inside a chat there is none.
        self._adds_space = self._encode_start("\na", markup=False) != (
            self._newline + self._encode_start("a", markup=False)
        )

    def encode(self, text: str, *, markup: bool = False) -> list[int]:
        """Token ids of ``text``, with the start token if the model wants one.

        Control tokens spelled out in ``text`` stay plain text unless ``markup`` is set.
        """
        return self._encode_start(text, markup=markup, add_special_tokens=True)

    def decode(self, token_ids: Sequence[int]) -> str:
        """The text of ``token_ids``; control tokens have none."""
        return self._decode([token for token in token_ids if token not in self._control_ids])

    def stream(self) -> TextStream:
        """A new incremental detokenizer whose pieces add up to ``decode`` of all its tokens."""
        return TextStream(self._decode, skipped=self._control_ids, joined=self._byte_ids)

    def encode_chat(
        self, messages: Sequence[Mapping[str, Any]], *, add_generation_prompt: bool = True
    ) -> list[int]:
        """Token ids of a chat in the model's template.

        An assistant message whose text was generated after the very tokens that come before it
        here (see ``remember``) keeps its generated tokens, so that a chat that goes on extends the
        tokens of its beginning. Without such messages, and without control tokens typed in the
        texts, the ids are those of transformers' ``apply_chat_template``. Raises
        ``InvalidRequestError`` (``param="messages"``) for messages that cannot be rendered.
        """
        checked = check_messages(messages)
        markers = Markers(strings_in(checked))
        hidden = [
            {
                **markers.hide(message, self._controls if told else self._marks),
                "role": message["role"],
            }
            for message in checked
            for told in (message["role"] == "assistant",)
        ]
        with self._lock:
            known = [
                index
                for index, message in enumerate(checked)
                if message["role"] == "assistant" and message["content"] in self._memory
            ]
            chat = render_turns(self.hf, hidden, add_generation_prompt, known, markers)
            ids: list[int] = []
            pending = chat.pieces[0]
            for index, shown, after in zip(chat.turns, chat.shown, chat.pieces[1:], strict=True):
                found = self._recall(ids, pending, checked[index]["content"], markers)
                if found is None:
                    pending += shown + after
                else:
                    ids, turn = found
                    pending = markers.hide(turn.rest, self._controls) + self._behind(turn, after)
            return ids + self._encode_markup(pending, markers, first=not ids)

    def _recall(
        self, ids: list[int], pending: str, text: str, markers: Markers
    ) -> tuple[list[int], Turn] | None:
        """The tokens up to the end of ``text``, if it was generated after ``ids`` and ``pending``.

        White space that the template puts before an answer is no part of the prompt it answers.
        """
        for markup in dict.fromkeys((pending, pending.rstrip())):
            before = ids + self._encode_markup(markup, markers, first=not ids)
            turn = self._memory.get(before, text)
            if turn is not None:
                return [*before, *turn.token_ids], turn
        return None

    def _behind(self, turn: Turn, after: str) -> str:
        """``after``, without white space between the turn and the token it was ended with."""
        if turn.end is not None and not turn.rest:
            end = str(self.hf.convert_ids_to_tokens(turn.end))
            if after.lstrip().startswith(end):
                return after.lstrip()
        return after

    def remember(self, prompt_ids: Sequence[int], token_ids: Sequence[int], text: str) -> None:
        """Note that ``token_ids``, generated after ``prompt_ids``, were given out as ``text``.

        ``token_ids`` may end with the token that ended the turn; the template writes its own there.
        """
        turn = make_turn(token_ids, text, self.decode, self._control_ids)
        if turn is not None:
            with self._lock:
                self._memory.put(prompt_ids, text, turn)

    def end_token_ids(self) -> frozenset[int]:
        """Tokens that end an assistant's turn: the end token, and what the template closes with."""
        ends = set() if self.hf.eos_token_id is None else {int(self.hf.eos_token_id)}
        if self.hf.chat_template:
            word = "agentspark"
            asked = [{"role": "user", "content": "a"}, {"role": "assistant", "content": word}]
            _, _, tail = render(self.hf, asked, False).rpartition(word)
            first = self._encode_middle(tail.lstrip(), markup=True)[:1]
            ends.update(token for token in first if token in self._control_ids)
        return frozenset(ends)

    def _decode(self, token_ids: Sequence[int]) -> str:
        return str(
            self.hf.decode(
                list(token_ids), skip_special_tokens=False, clean_up_tokenization_spaces=False
            )
        )

    def _encode_markup(self, rendered: str, markers: Markers, *, first: bool) -> list[int]:
        """Token ids of markup in which typed control tokens are placeholders."""
        ids: list[int] = []
        for text, typed in markers.split_controls(rendered):
            encode = self._encode_start if first and not ids else self._encode_middle
            ids += encode(text, markup=not typed)
        return ids

    def _encode_start(
        self, text: str, *, markup: bool, add_special_tokens: bool = False
    ) -> list[int]:
        with self._lock:
            return list(
                self.hf.encode(
                    text,
                    add_special_tokens=add_special_tokens,
                    split_special_tokens=not markup,
                    verbose=False,
                )
            )

    def _encode_middle(self, text: str, *, markup: bool) -> list[int]:
        """Token ids of text that does not begin a sequence."""
        if not self._adds_space:
            return self._encode_start(text, markup=markup)
        ids = self._encode_start("\n" + text, markup=markup)
        if ids[: len(self._newline)] == self._newline:
            return ids[len(self._newline) :]
        return self._encode_start(text, markup=markup)
