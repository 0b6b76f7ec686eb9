"""Which number format a device is given by default."""

from __future__ import annotations

from pathlib import Path

import pytest

from semimed_monai.engines import fastest_precision

X86 = "processor\t: 0\nmodel name\t: any\nflags\t\t: fpu sse2 avx2 {}\nbugs\t\t: bf16\n"
ARM = "processor\t: 0\nFeatures\t: fp asimd {}\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (X86.format("avx512f"), "fp32"),
        (X86.format("avx512f avx512_bf16"), "bf16"),
        (X86.format("amx_bf16 amx_tile"), "bf16"),
        (ARM.format("i8mm bf16"), "bf16"),
        (ARM.format("i8mm"), "fp32"),
        ("", "fp32"),
    ],
)
def test_a_processor_with_bf16_is_given_it(tmp_path: Path, text: str, expected: str) -> None:
    (tmp_path / "cpuinfo").write_text(text)
    assert fastest_precision("cpu", tmp_path / "cpuinfo") == expected
