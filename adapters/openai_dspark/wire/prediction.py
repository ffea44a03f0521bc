"""Text that a caller expects to see in the answer, such as the file that is being edited."""

from __future__ import annotations

from typing import Literal

from openai_dspark.wire.body import Body
from openai_dspark.wire.text import Text


class Prediction(Body):
    """The predicted text."""

    type: Literal["content"]
    content: Text
