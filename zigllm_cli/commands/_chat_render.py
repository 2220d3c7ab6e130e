"""`zigllm chat --render`: the prompt that would be sent, and what its tokens come from."""

from __future__ import annotations

import sys
from pathlib import Path

from zigllm_cli.chat.prompting import Prompter
from zigllm_cli.commands._output import colour_wanted, print_json, printable_lines, talk, write

SCHEMA = "zigllm.render/1"

BRIGHT, PLAIN = "\x1b[36m", "\x1b[0m"


def render(prompter: Prompter, messages: list[dict[str, object]], *, json: bool) -> None:
    """Print the prompt on stdout and the counts on stderr; contents are coloured."""
    rendered = prompter.render(messages)
    ids = prompter.encode(rendered)
    vocabulary = prompter.tokenizer.vocabulary
    special = [token for token in ids if vocabulary.is_hidden(token)]
    content = sum(stop - start for start, stop in rendered.content)
    if json:
        print_json(
            {
                "schema": SCHEMA,
                "template": prompter.choice.name,
                "text": rendered.text,
                "content": [list(span) for span in rendered.content],
                "ids": ids,
                "tokens": len(ids),
                "special": len(special),
                "marks_lost": rendered.lost,
            }
        )
        return
    is_terminal = sys.stdout.isatty()
    place = 0
    for start, stop in rendered.content if colour_wanted(sys.stdout) else ():
        write(printable_lines(rendered.text[place:start]))
        write(f"{BRIGHT}{printable_lines(rendered.text[start:stop])}{PLAIN}")
        place = stop
    rest = rendered.text[place:]
    write(printable_lines(rest) if is_terminal else rest)
    if is_terminal:
        write("\n")
    sys.stdout.flush()
    talk(
        f"template {prompter.choice.name}: {len(ids)} tokens, {len(special)} of them special; "
        f"{len(rendered.text)} characters, {content} of them from the messages"
    )
    if prompter.folded:
        talk("the template takes no system prompt: it stands before the first question")
    if rendered.lost:
        talk("the template hides which text is whose; contents were searched for")


def messages_of(path: Path) -> list[dict[str, object]]:
    """The messages of a file, or of standard input for `-`."""
    from zigllm_cli.chat.conversation import check_messages
    from zigllm_cli.commands._chat_commands import read_messages
    from zigllm_cli.errors import InputError

    if str(path) != "-":
        return read_messages(path)
    import json

    try:
        return check_messages(json.load(sys.stdin), "standard input")
    except ValueError as error:
        raise InputError(f"standard input is not JSON: {error}") from None
