"""Runs a command under the other instruction sets of this processor: ``python -m wildcore.testing.capabilities COMMAND``.

With each of them torch sums in a different order, so results differ in their last digits as they do between processors.
"""

import os
import subprocess
import sys
from collections.abc import Sequence

import torch

CAPABILITIES = ("default", "avx2", "avx512")
"""Instruction sets that torch can be restricted to; each includes the earlier ones."""


def capabilities() -> tuple[str, ...]:
    """Return the instruction sets that this processor has, its best last; if it has none of them, only its own."""
    own = torch.backends.cpu.get_cpu_capability().lower()
    return CAPABILITIES[: CAPABILITIES.index(own) + 1] if own in CAPABILITIES else (own,)


def limited_to(capability: str) -> dict[str, str]:
    """Return the environment variables that restrict torch, and its matrix product library, to a capability."""
    products = {"MKL_ENABLE_INSTRUCTIONS": "AVX2"} if capability == "avx2" else {}
    return {"ATEN_CPU_CAPABILITY": capability, **products}


def main(command: Sequence[str]) -> int:
    """Run ``command`` under each capability except the processor's best; return the first exit status that is not 0."""
    for capability in capabilities()[:-1]:
        print(f"{' '.join(command)} (torch held to {capability})", flush=True)
        done = subprocess.run(command, env=os.environ | limited_to(capability), check=False)
        if done.returncode:
            return done.returncode
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
