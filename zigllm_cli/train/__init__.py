"""Training: a small model from a text, as a GGUF file.

vocabulary  characters or byte-level BPE, made from the text
pairs       the merges of byte-pair encoding
"""
