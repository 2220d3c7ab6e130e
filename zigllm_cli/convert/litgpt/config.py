"""model_config.yaml: the fields of litgpt's `Config`, and the same in the words of transformers."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

from zigllm_cli.convert.hf.config import Config
from zigllm_cli.errors import InputError, UnsupportedError, unreadable

MAX_BYTES = 1 << 20

DEFAULTS: dict[str, Any] = {
    "block_size": 4096,
    "n_layer": 16,
    "n_embd": 4096,
    "n_head": 32,
    "norm_class_name": "LayerNorm",
    "norm_eps": 1e-5,
    "parallel_residual": True,
    "rope_base": 10000,
    "rotary_percentage": 0.25,
    "bias": True,
    "mlp_class_name": "GptNeoxMLP",
}
"""What a file may leave out, and what it then is."""

UNUSUAL = (
    *("post_attention_norm", "post_mlp_norm", "latent_attention", "lm_head_bias"),
    *("attention_logit_softcapping", "final_logit_softcapping", "rope_interleave"),
)
"""What none of the models has that are converted."""

SCALED_AS_LLAMA3 = ("factor", "low_freq_factor", "high_freq_factor")


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file.

    Raises:
        InputError: it is damaged, or no mapping.
    """
    import yaml

    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError(f"{path} has more than {MAX_BYTES >> 20} MB, which no such file has")
        found = yaml.safe_load(path.read_text("utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError, ValueError):
        raise InputError(f"{path} is damaged: it is no YAML") from None
    except OSError as error:
        raise unreadable(path, error) from None
    if not isinstance(found, dict) or not all(isinstance(key, str) for key in found):
        raise InputError(f"{path} is damaged: it holds no settings")
    return found


class Shape(Config):
    """The numbers of a model, under litgpt's names."""

    @cached_property
    def queries(self) -> int:
        """Heads of queries."""
        return self._positive("n_head")

    @cached_property
    def groups(self) -> int:
        """Heads of keys and of values."""
        groups = self.whole("n_query_groups") or self.queries
        if groups < 1 or self.queries % groups:
            raise InputError(f"{self.path}: {self.queries} heads cannot share {groups} groups")
        return groups

    @cached_property
    def head(self) -> int:
        """Width of a head."""
        return self.whole("head_size") or self._positive("n_embd") // self.queries

    @cached_property
    def kind(self) -> str:
        """The class of transformers that is built like this.

        Raises:
            UnsupportedError: none that is converted.
        """
        norm = self.get("norm_class_name")
        known = {"RMSNorm": self._like_llama, "LayerNorm": self._like_pythia}
        if norm in known and not any(self.get(name) for name in UNUSUAL):
            found = known[norm]()
            if found:
                return found
        name = str(self.get("name") or "a model")
        raise UnsupportedError(
            f"{self.path} describes {name!r:.60}, which is not built like"
            " Llama, Mixtral, Qwen, Gemma 1 or Pythia: convert it to a Hugging Face folder with"
            " 'litgpt convert_from_litgpt' first"
        )

    def _like_llama(self) -> str | None:
        mlp, norms = self.get("mlp_class_name"), self.get("norm_qk")
        if self.get("parallel_residual"):
            return None
        if mlp == "LLaMAMoE" and not norms and not self.get("moe_intermediate_size"):
            return "MixtralForCausalLM"
        if mlp == "LLaMAMLP" and norms and self.get("norm_qk_type") in (None, "default"):
            return "Qwen3ForCausalLM"
        if mlp == "LLaMAMLP" and not norms:
            return "Qwen2ForCausalLM" if self.get("attn_bias") else "LlamaForCausalLM"
        if mlp == "GemmaMLP" and not norms and self.get("scale_embeddings"):
            return "GemmaForCausalLM"
        return None

    def _like_pythia(self) -> str | None:
        exact = self.get("gelu_approximate") in (None, "none")
        own_norms = self.get("bias") and not self.get("shared_attention_norm")
        is_neox = exact and own_norms and self.get("mlp_class_name") == "GptNeoxMLP"
        return "GPTNeoXForCausalLM" if is_neox and self.groups == self.queries else None

    def as_transformers(self, rows: int) -> Config:
        """What config.json would say.

        Args:
            rows: of the embedding table.
        """
        width = self._positive("n_embd")
        share = self.number("rotary_percentage")
        if self.kind != "GPTNeoXForCausalLM" and share != 1:
            raise UnsupportedError(f"{self.path}: a rotary_percentage of {share} is not converted")
        values = {
            "architectures": [self.kind],
            "vocab_size": rows,
            "num_hidden_layers": self._positive("n_layer"),
            "hidden_size": width,
            "intermediate_size": self.whole("intermediate_size") or 4 * width,
            "num_attention_heads": self.queries,
            "num_key_value_heads": self.groups,
            "head_dim": self.head,
            "max_position_embeddings": self._positive("block_size"),
            "rms_norm_eps": self.number("norm_eps"),
            "rope_theta": self.number("rope_base"),
            "rope_scaling": self._rope_scaling(),
            "num_local_experts": self.whole("n_expert") or None,
            "num_experts_per_tok": self.whole("n_expert_per_token") or None,
        }
        if self.kind == "GPTNeoXForCausalLM":
            del values["rms_norm_eps"], values["num_key_value_heads"], values["head_dim"]
            values["layer_norm_eps"] = self.number("norm_eps")
            values["rotary_pct"] = share
            values["use_parallel_residual"] = self.get("parallel_residual") is not False
        return Config(values, self.path)

    def _rope_scaling(self) -> dict[str, Any] | None:
        adjusted = self.get("rope_adjustments")
        ratio = self.number("rope_condense_ratio") or 1
        if adjusted is None:
            return None if ratio == 1 else {"rope_type": "linear", "factor": ratio}
        if not isinstance(adjusted, dict) or ratio != 1 or "beta_fast" in adjusted:
            raise UnsupportedError(f"{self.path}: these rope_adjustments are not converted")
        if set(adjusted) == {"factor"}:
            return {"rope_type": "linear", **adjusted}
        return {
            "rope_type": "llama3",
            **{name: adjusted.get(name) for name in SCALED_AS_LLAMA3},
            "original_max_position_embeddings": adjusted.get("original_max_seq_len"),
        }

    def _positive(self, name: str) -> int:
        number = self.need(name)
        if not 0 < number < 1 << 24:
            raise InputError(f"{self.path}: {name} is {number}, which is impossible")
        return number


def read_config(path: Path) -> Shape:
    """The numbers of a model.

    Raises:
        InputError: the file is damaged.
    """
    return Shape(DEFAULTS | read_yaml(path), path)
