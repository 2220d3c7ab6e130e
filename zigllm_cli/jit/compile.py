"""From a Numba function to object code that stands alone.

Numba's own cache looks only at the file that a function stands in, so a kernel made of imported
parts could be stale; and its compiled functions speak Numba's calling convention. Here the
function's LLVM IR gets a plain C entry, and becomes an object file in which nothing but that
entry has a name. Numba numbers the functions of a process: in objects of two processes the same
name can stand for different functions, and a loader would keep only the first.
"""

from __future__ import annotations

from typing import Any

from zigllm_cli.simd.isa import target


def object_code(function: Any, symbol: str) -> bytes:
    """Compile `function(args, thread, threads)` of three int64 to an object file.

    Args:
        function: an `njit` dispatcher that cannot raise (`error_model="numpy"`, no arrays).
        symbol: the name of the C function in the object file.
    """
    module, machine = _compiled(function, symbol)
    return bytes(machine.emit_object(module))


def assembly(function: Any, symbol: str) -> str:
    """As `object_code`, but as text to read."""
    module, machine = _compiled(function, symbol)
    return str(machine.emit_assembly(module))


def _compiled(function: Any, symbol: str) -> tuple[Any, Any]:
    """The optimised LLVM module of a function, and the machine to emit it for."""
    import llvmlite.binding as llvm
    from numba import types
    from numba.core.compiler_lock import global_compiler_lock

    llvm.initialize_native_asmparser()  # `opaque` is inline assembly
    signature = (types.int64, types.int64, types.int64)
    with global_compiler_lock:
        function.compile(signature)
        compiled = function.overloads[signature]
        module = llvm.parse_assembly(_entry(compiled, symbol))
        module.link_in(compiled.library._get_module_for_linking(), preserve=True)
    for part in (*module.functions, *module.global_variables):
        if not part.is_declaration and part.name != symbol:
            part.linkage = "internal"
    cpu, features = target()
    machine = llvm.Target.from_triple(llvm.get_process_triple()).create_target_machine(
        cpu=cpu, features=features, opt=3, codemodel="jitdefault", jit=True
    )
    passes = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(speed_level=3))
    passes.getModulePassManager().run(module, passes)
    module.verify()
    return module, machine


def _entry(compiled: Any, symbol: str) -> str:
    """LLVM IR of a C function that calls a function that Numba has compiled."""
    from llvmlite import ir

    context = compiled.target_context
    module = context.create_module(symbol)
    word = ir.IntType(64)
    entry = ir.Function(module, ir.FunctionType(ir.VoidType(), [word] * 3), symbol)
    builder = ir.IRBuilder(entry.append_basic_block())
    context.call_conv.call_function(
        builder,
        context.declare_function(module, compiled.fndesc),
        compiled.signature.return_type,
        compiled.signature.args,
        entry.args,
    )
    builder.ret_void()
    return str(module)
