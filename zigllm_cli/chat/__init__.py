"""A conversation with a model, without a terminal around it.

talk          turns: a question in, an answer out, the engine's memory kept between
conversation  the messages, and what can be done with them
log           each conversation as a file of JSON lines
prompting     messages to tokens, through the model's template
memory        which of these tokens the engine knows already, and what to do when it is full
thinking      what a model thinks, told from what it says
"""
