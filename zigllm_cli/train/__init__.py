"""Training: small models from a text to a GGUF file, on the CPU, with hand-written gradients.

settings        hyper-parameters; `recipes/`: readable lists of them
tasks/          what is learned: texts, names, puzzles
vocabulary      characters or byte-level BPE, made from the text; `pairs`: its merges
kernels/        what runs natively: one module per operation, its forward and its backward pass
tape, values    the operations of one pass in order, so that gradients go the way back
shape, models/  the models, one readable file each, in the words of the tape
parameters      everything that is learned, in one array
network         gradients of a batch on several threads, AdamW's step; `microgpt`: in one call
trainer         the loop; `schedule`, `checkpoint`
initial, lora   going on from a file, and adapters
export          the GGUF file
"""
