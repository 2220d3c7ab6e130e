"""GGUF back to a Hugging Face folder: `config.json`, safetensors, tokenizer files.

targets     which architectures, their names and their configs
tensors     the way back for every tensor
tokenizer   `tokenizer.model`, or `tokenizer.json`, with `tokenizer_config.json`
write       all of it into a folder
"""
