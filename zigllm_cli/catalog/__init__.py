"""What a model argument may be, and what the user has written down about models.

names    a path, an alias, `builtin`: which file is meant
entries  models.toml: aliases with their settings
adding   new aliases, written into models.toml
hub      models of the Hugging Face hub
folders  where the user's files of each kind lie
"""

from zigllm_cli.catalog.entries import (
    ModelEntry,
    load_entries,
    read_models_toml,
    search_places,
    use_models_file,
)
from zigllm_cli.catalog.folders import config_folder, state_folder
from zigllm_cli.catalog.names import BUILTIN, complete_model, entry_of, resolve

__all__ = [
    "BUILTIN",
    "ModelEntry",
    "complete_model",
    "config_folder",
    "entry_of",
    "load_entries",
    "read_models_toml",
    "resolve",
    "search_places",
    "state_folder",
    "use_models_file",
]
