"""A release that is held: the log takes events, and nothing leaves that did not before."""

import pytest

from ledger.core.errors import Refused
from ledger.release import Release
from tests.ledger.makers import message, open_log
from tests.spec import agent


def test_nothing_new_is_released_and_everything_is_appended(tmp_path):
    with open_log() as log:
        log.append_now(agent.genesis_draft())
        release = Release.begin(log, tmp_path / "state", agent.LOG)
        log.append_now(message("one"))
        first = release.head()
        guard = release.guard.read()
        release.hold("nobody answered")
        log.append_now(message("two"))
        assert release.head() == first
        assert release.last_head(first.size) == first
        with pytest.raises(Refused, match="nobody answered"):
            release.last_head(log.size)
        assert release.guard.read() == guard
        assert log.size > first.size
        release.let_go()
        assert release.head().size == log.size
        assert release.guard.read() != guard
