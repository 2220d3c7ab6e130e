"""Looking into a model file: what it is, what it holds, what is wrong with it, how two differ.

Every module answers with plain dataclasses whose fields are also the keys of the JSON documents.
Nothing here prints or knows a terminal; only `values` and what builds on it import numpy.

    summary    the facts of one screen           values      tensors as numbers, chunk by chunk
    memory     weights and cache in bytes        statistics  one tensor in numbers
    listing    keys, tensors, tokens             expected    what each architecture needs
    tokens     tokenizer kind, special tokens    check       everything that is wrong
    diff       what differs between two files    formats     metadata values as text and JSON
"""
