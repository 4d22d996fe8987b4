"""Shared by editors that fine-tune a model on the target. This is a helper library: it offers nothing by itself."""
