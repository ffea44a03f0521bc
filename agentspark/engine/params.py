"""What a caller may ask of one request besides its sampling: how to speed up, how to label."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from agentspark.sampling.params import is_whole, unusable

Speculation = Literal["auto", "dspark", "suffix", "off"]
Verify = Literal["auto", "full"] | int

SPECULATIONS: tuple[str, ...] = ("auto", "dspark", "suffix", "off")


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestOptions:
    """What acceleration a request uses; two arms of a comparison differ in nothing else.

    ``speculation``: where drafts come from (``auto`` is every source the engine has, the drafter
    as long as its pass pays; ``dspark`` its drafter alone, of whatever family, always).
    ``verify``: ``auto`` lets the scheduler choose, ``full`` verifies whole proposals, a number
    verifies at most that many drafts a round. ``share_prefix``: whether cached keys and values are
    used and left. ``cache_salt``: those, and the tokens that earlier turns of a chat were generated
    as, are found only by requests with the same salt. (Requests that share no prefix find these
    tokens too: both arms of a comparison must get the same prompts.)
    """

    speculation: Speculation = "auto"
    verify: Verify = "auto"
    share_prefix: bool = True
    cache_salt: str | None = None

    @property
    def automatic(self) -> bool:
        """Whether the engine may do without its drafter where that is faster."""
        return self.speculation == "auto" and self.verify == "auto"

    def validate(self) -> None:
        """Raise ``InvalidRequestError`` for the first field that cannot be served."""
        if self.speculation not in SPECULATIONS:
            raise unusable("speculation", self.speculation, "one of " + ", ".join(SPECULATIONS))
        named = isinstance(self.verify, str) and self.verify in ("auto", "full")
        if not (named or (is_whole(self.verify) and self.verify >= 0)):
            raise unusable("verify", self.verify, "'auto', 'full' or a whole number from 0")
        if not isinstance(self.share_prefix, bool):
            raise unusable("share_prefix", self.share_prefix, "True or False")
        if not isinstance(self.cache_salt, str | None):
            raise unusable("cache_salt", self.cache_salt, "None or a string")


@dataclass(frozen=True, slots=True, kw_only=True)
class Labels:
    """Where a model call stands in its agent's work; copied into its trace record."""

    run: str | None = None
    step: int | None = None
    step_name: str | None = None
    step_kind: str | None = None
    parent: str | None = None
    arm: str | None = None

    def validate(self) -> None:
        """Raise ``InvalidRequestError`` for the first field that no record could hold."""
        for name in ("run", "step_name", "step_kind", "parent", "arm"):
            if not isinstance(getattr(self, name), str | None):
                raise unusable(name, getattr(self, name), "None or a string")
        if self.step is not None and not is_whole(self.step):
            raise unusable("step", self.step, "None or a whole number")
