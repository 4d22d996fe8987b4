"""Shared pieces of editors that fine-tune a model on the target. A helper library: it offers nothing by itself."""
