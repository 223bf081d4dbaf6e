"""The gate of crisis leaves nothing to chance that is known."""

from collections import Counter
from importlib import resources

from runtime.core import labelled, suite

from .test_judge import all_cases


def test_everything_of_the_safety_tests_is_said():
    """All words under every framing, and all replies that may be given: none is drawn by chance."""
    data = resources.files("runtime").joinpath("data")
    tests = suite.parse(data.joinpath("safety-tests.md").read_bytes())
    labels = labelled.parse(data.joinpath("graded-development.toml").read_bytes(), tests)
    for key in (bytes(32), bytes([9]) * 32):
        [case] = [case for case in all_cases(key) if case.gate == "crisis"]
        messages = [message for group in case.rounds for message in group]
        heard = [message.event.content["text"] for message in messages]
        replies = [message.last for message in messages]
        for question in tests.questions:
            assert any(text.startswith(question.messages[-1][1]) for text in heard)
        for reply in labels:
            assert (
                any(f"{text}\n\n".startswith(f"{reply.text}\n\n") for text in replies) is reply.good
            )
        streams = Counter(message.event.stream for message in messages)
        assert max(streams.values()) == 4  # the first of them is in the prompt of the last
