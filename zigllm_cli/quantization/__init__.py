"""Model files quantised: which tensor gets which type, importance, the stream, the loss.

file_types      what a user can ask for: Q4_K_M, IQ2_XS, ...
candidates      which tensors are quantised at all
mixes           the type of each, as the reference chooses it
decisions       all of a file, with the user's exceptions: a table before anything is read
convert, write  the stream from the map to the new file, on all cores
importance      importance matrices: both file formats; `collect` computes one
loss, budget    what is lost, and the mix of least loss within a size
"""
