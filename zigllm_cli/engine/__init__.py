"""The engine: tokens in, logits out, and what turns these into text.

    runner      evaluates batches of tokens with a model's plan
    session     one sequence: evaluate, go back, fork, save
    generation  one sequence as text
    batching    many sequences together
    threads     how many threads to run with

Only the runner knows kernels; the others know tokens, logits and slots.
"""
