"""How good a model is: perplexity, divergence from another model, multiple choice.

    text -> tokens (`text`) -> windows (`windows`) -> figures of each chunk (`scoring`, `chunks`)
         -> sums (`totals`) -> a report

A chunk's figures depend on its tokens and the model alone: not on the other chunks of its batch,
nor on the number of threads. So chunks can be evaluated in any order, on any machine, in pieces
(`records`: a file that grows chunk by chunk), and give the same sums to the last digit.
"""
