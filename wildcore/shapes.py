"""Sizes of the models that publications experiment with, by which presets recognise them."""

from wildcore.params import ModelShape

GPT2_MEDIUM = ModelShape("gpt2", 24, 1024, 50257)
GPT2_LARGE = ModelShape("gpt2", 36, 1280, 50257)
GPT2_XL = ModelShape("gpt2", 48, 1600, 50257)
GPT_J_6B = ModelShape("gptj", 28, 4096, 50400)
GPT_NEOX_20B = ModelShape("gpt_neox", 44, 6144, 50432)
LLAMA_2_7B = ModelShape("llama", 32, 4096, 32000)
LLAMA_3_8B = ModelShape("llama", 32, 4096, 128256)
"""Llama 3.1 too."""
LLAMA_3_2_3B = ModelShape("llama", 28, 3072, 128256)
MISTRAL_7B = ModelShape("mistral", 32, 4096, 32000)
"""Up to version 0.2."""
MISTRAL_7B_V0_3 = ModelShape("mistral", 32, 4096, 32768)
QWEN_2_5_7B = ModelShape("qwen2", 28, 3584, 152064)
"""Qwen2-7B too."""
PHI_4 = ModelShape("phi3", 40, 5120, 100352)
