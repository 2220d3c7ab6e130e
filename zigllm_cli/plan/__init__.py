"""A forward pass as data.

A model file does not run anything: it describes the operations of one step, in order, as a
`Plan`. `lowering` turns the description into kernel addresses and argument blocks that threads
run in one go; `interpreter` runs the same description in NumPy, as the oracle of tests.

    operations  what there is: Product, RmsNorm, Rope, Attention, ...
    plan        the builder that a model file calls
    lowering    operations -> calls of kernels
    interpreter operations -> NumPy
"""
