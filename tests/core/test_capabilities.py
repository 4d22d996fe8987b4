"""A command is run again under the instruction sets that the processor has besides its own."""

import sys
from pathlib import Path

import pytest

from wildcore.testing import capabilities as module
from wildcore.testing.capabilities import capabilities, limited_to, main

WRITE = (
    "import os, sys; open(sys.argv[1], 'a').write(os.environ['ATEN_CPU_CAPABILITY'] + ' '); sys.exit(int(sys.argv[2]))"
)


@pytest.mark.parametrize(("status", "run"), [(0, "default avx2 "), (3, "default ")])
def test_a_command_is_run_under_each_but_the_last_until_it_fails(
    status: int, run: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "capabilities", lambda: ("default", "avx2", "avx512"))
    assert main([sys.executable, "-c", WRITE, str(tmp_path / "out"), str(status)]) == status
    assert (tmp_path / "out").read_text() == run


@pytest.mark.parametrize(
    ("own", "all_of_them"),
    [
        ("AVX512", ("default", "avx2", "avx512")),
        ("AVX2", ("default", "avx2")),
        ("DEFAULT", ("default",)),
        ("SVE256", ("sve256",)),
    ],
)
def test_no_processor_is_asked_for_what_it_lacks(
    own: str, all_of_them: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module.torch.backends.cpu, "get_cpu_capability", lambda: own)
    assert capabilities() == all_of_them


def test_a_capability_is_asked_for_by_its_name() -> None:
    assert limited_to("default")["ATEN_CPU_CAPABILITY"] == "default"
    assert limited_to("avx2") == {"ATEN_CPU_CAPABILITY": "avx2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"}
