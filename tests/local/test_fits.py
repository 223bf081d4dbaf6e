"""The verdict about a machine of 2 GB."""

import pytest

from runtime.core.fits import MIB, MODEL_MIB_MAX, Figures, judge

FIGURES = {
    "load_s": 1.0, "prompt_tokens_per_s": 30.0, "reply_tokens_per_s": 9.0,
    "peak_bytes": 950 * MIB, "runs": 3, "threads": 1, "context_tokens": 4096,
}  # fmt: skip


@pytest.mark.parametrize(
    ("peak_mib", "pace", "fits", "fast"),
    [
        (950, 9.0, True, True),
        (MODEL_MIB_MAX, 5.0, True, True),
        (MODEL_MIB_MAX + 1, 5.0, False, True),
        (1944, 3.5, False, False),
        (300, 4.99, True, False),
    ],
)
def test_memory_and_pace_decide_and_both_numbers_are_named(peak_mib, pace, fits, fast):
    changes = {"peak_bytes": peak_mib * MIB, "reply_tokens_per_s": pace}
    verdict = judge(Figures(**(FIGURES | changes)))
    assert (verdict.fits, verdict.fast, verdict.good) == (fits, fast, fits and fast)
    room, speed = verdict.reasons
    assert str(peak_mib) in room
    assert str(MODEL_MIB_MAX) in room
    assert f"{pace:.1f} tokens/s" in speed
