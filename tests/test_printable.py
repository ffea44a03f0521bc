"""Text from files must not steer a terminal."""

from __future__ import annotations

import pytest

from agentspark.cli.console import say, say_error
from agentspark.printable import printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x07", r"\x1b[31mred\x07"),
        ("a\rb\x9bc\x7f", r"a\rb\x9bc\x7f"),
        ("exe\u202egnp", r"exe\u202egnp"),
        ("two\n\tlines, ümläut, 漢字, 👩‍💻", "two\n\tlines, ümläut, 漢字, 👩‍💻"),
    ],
)
def test_control_characters_are_shown(text, shown):
    assert printable(text) == shown


def test_notes_and_errors_do_not_obey_control_characters(capsys):
    say("a\x1b[31m [bold]b[/]")
    say_error("c\x1b]0;title\x07")

    assert capsys.readouterr().err == "a\\x1b[31m [bold]b[/]\nerror: c\\x1b]0;title\\x07\n"
