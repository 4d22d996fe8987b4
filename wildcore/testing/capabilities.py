"""Runs a command under the other instruction sets of this processor: ``python -m wildcore.testing.capabilities COMMAND``.

With each of them torch sums in another order, so that results differ in their last digits as they do from processor to processor.
"""

import os
import subprocess
import sys
from collections.abc import Sequence

import torch

CAPABILITIES = ("default", "avx2", "avx512")
"""What torch can be told to use, each with what the earlier ones have."""


def capabilities() -> tuple[str, ...]:
    """Return those that this processor has, its own last; of one that has none of them, its own alone."""
    own = torch.backends.cpu.get_cpu_capability().lower()
    return CAPABILITIES[: CAPABILITIES.index(own) + 1] if own in CAPABILITIES else (own,)


def limited_to(capability: str) -> dict[str, str]:
    """Return the environment variables that hold torch, and the library of its matrix products, to a capability."""
    products = {"MKL_ENABLE_INSTRUCTIONS": "AVX2"} if capability == "avx2" else {}
    return {"ATEN_CPU_CAPABILITY": capability, **products}


def main(command: Sequence[str]) -> int:
    """Run ``command`` under each capability but the processor's own; return the first exit status that is not 0."""
    for capability in capabilities()[:-1]:
        print(f"{' '.join(command)} (torch held to {capability})", flush=True)
        done = subprocess.run(command, env=os.environ | limited_to(capability), check=False)
        if done.returncode:
            return done.returncode
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
