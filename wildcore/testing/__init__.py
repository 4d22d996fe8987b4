"""For plugin authors: tiny networks, tokenizers trained in place, and what every editor must satisfy.

Needs neither files nor a network. ``wildcore.testing.conformance.check_editor`` is the place to start.
"""
