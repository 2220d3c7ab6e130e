"""Chat templates: from messages to the text that a model was trained to see.

    rendering   messages through a template, in bounds (`render`)
    worker      the process that templates run in
    running     one rendering inside of it
    sandbox     Jinja as Hugging Face sets it up
    origin      texts that know which characters come from messages
    choosing    the template of a file, a named one, or one of the user's

Knows texts only: which of them are tokens is the tokenizer's business.
"""

from zigllm_cli.templates.choosing import Choice, choose, names
from zigllm_cli.templates.rendering import RefusedError, Rendered, render, render_traced

__all__ = ["Choice", "RefusedError", "Rendered", "choose", "names", "render", "render_traced"]
