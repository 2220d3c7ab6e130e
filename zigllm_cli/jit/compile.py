"""From a Numba function to object code that stands alone.

Numba's own cache looks only at the file that a function stands in, so a kernel made of imported
parts could be stale; and its compiled functions speak Numba's calling convention. Here the
function gets a plain C entry, and the object code is taken out and kept by `cache`.
"""

from __future__ import annotations

from typing import Any


def object_code(function: Any, symbol: str) -> bytes:
    """Compile `function(args, thread, threads)` of three int64 to an object file.

    Args:
        function: an `njit` dispatcher that cannot raise (`error_model="numpy"`, no arrays).
        symbol: the name of the C function in the object file.
    """
    import llvmlite.binding as llvm
    from llvmlite import ir
    from numba import types
    from numba.core.compiler_lock import global_compiler_lock

    llvm.initialize_native_asmparser()  # `pause` is inline assembly
    signature = (types.int64, types.int64, types.int64)
    with global_compiler_lock:
        function.compile(signature)
        compiled = function.overloads[signature]
        library = compiled.library.codegen.create_library(symbol)
        library.enable_object_caching()
        module = library.create_ir_module(symbol)
        word = ir.IntType(64)
        entry = ir.Function(module, ir.FunctionType(ir.VoidType(), [word] * 3), symbol)
        builder = ir.IRBuilder(entry.append_basic_block())
        context = compiled.target_context
        context.call_conv.call_function(
            builder,
            context.declare_function(module, compiled.fndesc),
            compiled.signature.return_type,
            compiled.signature.args,
            entry.args,
        )
        builder.ret_void()
        library.add_ir_module(module)
        library.add_linking_library(compiled.library)
        library.finalize()
        return bytes(library._get_compiled_object())
