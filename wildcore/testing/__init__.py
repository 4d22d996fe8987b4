"""For plugin authors: tiny networks, tokenizers trained in place, and the checks that every editor must pass.

Needs neither files nor network access. Start with ``wildcore.testing.conformance.check_editor``.
"""
