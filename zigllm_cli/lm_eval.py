"""lm-eval's command line with the model `zigllm` in it.

    python -m zigllm_cli.lm_eval --model zigllm --model_args pretrained=model.gguf --tasks arc_easy

The harness has no way to find models of other packages by itself; this module is `lm_eval` after
one import. Everything behind its name is the harness's own: see `--help`.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec


def main() -> None:
    """Run the harness."""
    if find_spec("lm_eval") is None:
        print(
            "zigllm: the package lm-eval is missing; pip install 'zigllm-cli[eval]' brings it",
            file=sys.stderr,
        )
        sys.exit(2)
    from lm_eval.__main__ import cli_evaluate

    import_module("zigllm_cli.evaluate.harness")  # registers the model
    cli_evaluate()


if __name__ == "__main__":
    main()
