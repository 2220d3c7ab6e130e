"""The families: which class of transformers is converted by which class of this folder."""

from __future__ import annotations

from importlib import import_module

from zigllm_cli.convert.hf.config import Config
from zigllm_cli.convert.hf.family import Family
from zigllm_cli.errors import UnsupportedError

FAMILIES = {
    "LlamaForCausalLM": "llama.Llama",
    "LLaMAForCausalLM": "llama.Llama",
    "LlamaModel": "llama.Llama",
    "MistralForCausalLM": "llama.Llama",
    "MistralModel": "llama.Llama",
    "MixtralForCausalLM": "llama.Mixtral",
    "ArceeForCausalLM": "llama.Arcee",
    "SmolLM3ForCausalLM": "llama.SmolLM3",
    "SeedOssForCausalLM": "llama.SeedOss",
    "GraniteForCausalLM": "granite.Granite",
    "GraniteMoeForCausalLM": "granite.GraniteMoe",
    "GraniteMoeSharedForCausalLM": "granite.GraniteMoe",
    "QWenLMHeadModel": "qwen.Qwen",
    "Qwen2ForCausalLM": "qwen.Qwen2",
    "Qwen2Model": "qwen.Qwen2",
    "Qwen2MoeForCausalLM": "qwen.Qwen2Moe",
    "Qwen3ForCausalLM": "qwen.Qwen3",
    "Qwen3Model": "qwen.Qwen3",
    "Qwen3MoeForCausalLM": "qwen.Qwen3Moe",
    "GemmaForCausalLM": "gemma.Gemma",
    "Gemma2ForCausalLM": "gemma.Gemma2",
    "Gemma3ForCausalLM": "gemma.Gemma3",
    "Gemma3ForConditionalGeneration": "gemma.Gemma3",
    "PhiForCausalLM": "phi.Phi2",
    "Phi3ForCausalLM": "phi.Phi3",
    "GPT2LMHeadModel": "gpt2.GPT2",
    "GPT2Model": "gpt2.GPT2",
    "GPTBigCodeForCausalLM": "gpt2.StarCoder",
    "GPTJForCausalLM": "gpt2.GPTJ",
    "GPTNeoForCausalLM": "gpt2.GPTNeo",
    "GPTNeoXForCausalLM": "gptneox.GPTNeoX",
    "BloomForCausalLM": "bloom.Bloom",
    "BloomModel": "bloom.Bloom",
    "FalconForCausalLM": "falcon.Falcon",
    "RWForCausalLM": "falcon.Falcon",
    "MPTForCausalLM": "mpt.MPT",
    "MptForCausalLM": "mpt.MPT",
    "StableLmForCausalLM": "stablelm.StableLM",
    "StableLMEpochForCausalLM": "stablelm.StableLM",
    "Starcoder2ForCausalLM": "starcoder2.StarCoder2",
    "MambaForCausalLM": "mamba.Mamba",
    "FalconMambaForCausalLM": "mamba.Mamba",
    "Mamba2ForCausalLM": "mamba.Mamba2",
    "CohereForCausalLM": "cohere.CommandR",
    "Cohere2ForCausalLM": "cohere.Cohere2",
    "DeepseekV2ForCausalLM": "deepseek.DeepSeek2",
    "DeepseekV3ForCausalLM": "deepseek.DeepSeek2",
    "Ernie4_5ForCausalLM": "ernie.Ernie45",
    "Ernie4_5_ForCausalLM": "ernie.Ernie45",
    "Exaone4ForCausalLM": "exaone.Exaone4",
    "Glm4ForCausalLM": "glm.Glm4",
    "GptOssForCausalLM": "gpt_oss.GptOss",
    "HunYuanDenseV1ForCausalLM": "hunyuan.HunYuanDense",
    "NemotronForCausalLM": "nemotron.Nemotron",
    "OlmoForCausalLM": "olmo.Olmo",
    "Olmo2ForCausalLM": "olmo.Olmo2",
    "Olmo3ForCausalLM": "olmo.Olmo2",
    "OlmoeForCausalLM": "olmo.Olmoe",
    "BertModel": "bert.Bert",
    "BertForMaskedLM": "bert.Bert",
    "BertForSequenceClassification": "bert.Bert",
    "CamembertModel": "bert.Bert",
    "DistilBertModel": "bert.DistilBert",
    "DistilBertForMaskedLM": "bert.DistilBert",
    "RobertaModel": "bert.Roberta",
    "RobertaForSequenceClassification": "bert.Roberta",
    "XLMRobertaModel": "bert.Roberta",
    "XLMRobertaForSequenceClassification": "bert.Roberta",
    "NomicBertModel": "nomic.NomicBert",
}
"""Class named in config.json to MODULE.CLASS."""


def family_of(config: Config) -> Family:
    """The family of a folder.

    Raises:
        UnsupportedError: none converts it.
    """
    name = config.model_class
    if name not in FAMILIES:
        kind = config.get("model_type")
        raise UnsupportedError(
            f"{config.path} describes a model of class {name or kind or '(none)'!r}, which is not "
            "converted; 'zigllm inspect --architectures' lists what can be run"
        )
    module, _, family = FAMILIES[name].partition(".")
    found = getattr(import_module(f"{__name__}.{module}"), family)(config)
    assert isinstance(found, Family)
    return found
