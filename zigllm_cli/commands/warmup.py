"""`zigllm warmup`: compile a model's kernels before they are needed."""

from __future__ import annotations

from time import perf_counter

from zigllm_cli.commands._engine import EngineRequest, KvTypeOption, open_model
from zigllm_cli.commands._options import ModelOption
from zigllm_cli.commands._output import talk


def warmup(model: ModelOption = None, kv_type: KvTypeOption = "f16") -> None:
    """Compile the kernels that a model needs on this CPU, so that it starts at once later.

    They are kept in $ZIGLLM_CACHE, by default zigllm in the user's cache folder, and used by
    every model with the same types of weights.

    [bold]Examples[/bold]

      zigllm warmup -m model.gguf

      zigllm warmup -m model.gguf --kv-type q8_0
    """
    from zigllm_cli.commands._engine import CompileNotice
    from zigllm_cli.jit import cache, compile_missing, compiled_here

    started = perf_counter()
    opened = open_model(EngineRequest(model, kv_type=kv_type))
    if opened.is_encoder:
        kernels = opened.embeddings.kernels()
    else:
        runner = opened.runner()
        kernels = runner.kernels()
        runner.close()
    compile_missing(kernels, CompileNotice())
    seconds, new = perf_counter() - started, len(set(kernels) & compiled_here())
    talk(f"{len(kernels)} kernels, {new} of them new ({seconds:.1f} s), in {cache.folder()}")
