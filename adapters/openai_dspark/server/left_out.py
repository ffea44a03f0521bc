"""Tools that a request has and the model is not offered, because nobody here could run them."""

from __future__ import annotations

from fastapi import Request

from openai_dspark.server.errors import ApiError
from openai_dspark.server.facts import facts_of

_WHY = {
    "custom": "custom tools are called through /v1/responses: describe it as a function here",
    "mcp_servers": "this server calls no others: leave it out",
    "web_search_options": "this server does not search the web: leave it out",
    "lark": "a grammar of the syntax lark cannot be enforced: give a regex, or no format",
}
_HOSTED = "'{kind}' is nothing that this server runs or its model knows: leave it out"
_OPTION = ", or start the server with --leave-out-tools, which leaves such tools out"


class LeftOut:
    """Takes note of such tools where they may be left out, and refuses them where not."""

    def __init__(self, *, allowed: bool) -> None:
        self._allowed = allowed
        self.kinds: list[str] = []

    def add(self, kind: str, param: str, why: str | None = None) -> None:
        """Leave out the tool that ``param`` is; ``ApiError`` 400 where that is not allowed.

        ``why`` it cannot be offered is its ``kind`` unless that is said.
        """
        if not self._allowed:
            reason = _WHY.get(why or kind, _HOSTED.format(kind=kind))
            raise ApiError(400, f"{param}: {reason}{_OPTION}.", param=param)
        if kind not in self.kinds:
            self.kinds.append(kind)

    def note(self, request: Request) -> None:
        """Say it in the log, and to the client in the answer's head."""
        if self.kinds:
            facts = facts_of(request)
            facts.left_out = tuple(self.kinds)
            facts.log["left_out_tools"] = self.kinds
