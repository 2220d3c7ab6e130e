"""Checkpoints of other programs to GGUF.

A source is read in two steps. `source.find_source` says what kind of thing a path is, by looking
into it; the module of that kind turns it into a `Conversion`: metadata and tensors that know how to
read themselves. From there on all sources are alike: `types` decides the type of every tensor,
`write` writes the file piece by piece, `verify` reads it back.

How a new source joins: a module (or a package) with two functions,

    recognises(path) -> bool           # by content, not by name alone; cheap; raises only OSError
    read(path, options) -> Conversion  # reads no weights: tensors do that when it is their turn

and its name in `source.SOURCES`. `read` fills a `Keys` with hyper-parameters and tokenizer under
GGUF's names, makes one `SourceTensor` per tensor, and hands both to `Conversion.make`, which adds
what every file has (`general.*`). What only one kind of source needs to be told is a field of
`Options`. A source that is known but not converted is refused by such a module too, with an
UnsupportedError whose sentence says what to do instead. Nothing here imports torch or transformers,
and nothing in a source is run.
"""
