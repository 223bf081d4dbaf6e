"""What of a talk is carried over: each exchange once, in order, the delivered answer, no more."""

from types import SimpleNamespace

from ledger.core.event import Cause
from runtime.core.carrying import EXCHANGES_MAX, Heard, carried_key, exchanges, passed_key

GATEWAY, HOME, NEXT, OWN = (letter * 32 for letter in (b"g", b"h", b"n", b"o"))


class Ledger:
    """Events of one log, as far as this looks at them."""

    def __init__(self, id_):
        self.id, self.events = id_, []

    def add(self, kind, ts_ms, text, **payload):
        at = len(self.events)
        id_ = self.id[:16] + at.to_bytes(16, "big")
        content = None if text is None else {"text": text}
        self.events.append(
            SimpleNamespace(
                position=at, id=id_, type=kind, ts_ms=ts_ms, payload=payload, content=content,
                cause=Cause(position=at, id=id_),
            )
        )  # fmt: skip
        return self.events[-1]

    def asked(self, ts_ms, text, *, of=None, screen="pass", author="ann"):
        by = {} if of is None else {"passed_by": {"ledger": GATEWAY, "position": 0, "id": of.id}}
        return self.add("message.received", ts_ms, text, screen=screen, author=author, **by)

    def said(self, ts_ms, text, message, *, by=None, **more):
        told = {} if by is None else {"answered_by": {"ledger": by}}
        return self.add("message.sent", ts_ms, text, message=message.position, author="ann",
                        **told, **more)  # fmt: skip

    def heard(self, held=()):
        return Heard(ledger=self.id, events=tuple(self.events), held=frozenset(held))


def words(found):
    return [(one.role, one.text) for one in found]


def talk():
    """Two messages through a gateway: the first its home answered, the second a successor."""
    gateway, home, following = Ledger(GATEWAY), Ledger(HOME), Ledger(NEXT)
    first = gateway.asked(10, "one")
    home.said(12, "yes, one", home.asked(11, "one", of=first))
    gateway.said(13, "yes, one", first, by=HOME)
    second = gateway.asked(20, "two")
    home.said(29, "two, too late", home.asked(21, "two", of=second))
    following.said(24, "yes, two", following.asked(23, "two", of=second))
    gateway.said(25, "yes, two", second, by=NEXT)
    return gateway, home, following


def test_a_message_in_three_ledgers_is_one_exchange():
    found = exchanges([one.heard() for one in talk()], OWN)
    assert words(found) == [
        ("user", "one"), ("assistant", "yes, one"), ("user", "two"), ("assistant", "yes, two"),
    ]  # fmt: skip
    assert [one.ledger for one in found][-1] == GATEWAY, "it says which answer was delivered"
    again = exchanges([one.heard() for one in reversed(talk())], OWN)
    assert words(again) == words(found)


def test_the_old_home_is_told_what_the_successor_said_and_not_its_own_words():
    gateway, _, following = talk()
    found = exchanges([gateway.heard(), following.heard()], HOME)
    assert ("assistant", "yes, two") in words(found)
    assert ("assistant", "yes, one") not in words(found)


def test_a_gateway_is_told_nothing_that_it_heard_itself():
    _, home, following = talk()
    assert exchanges([home.heard(), following.heard()], GATEWAY) == []


def test_without_the_gateway_the_ledgers_of_the_homes_will_do():
    _, home, following = talk()
    found = exchanges([home.heard(), following.heard()], OWN)
    assert [one.text for one in found][:3] == ["one", "yes, one", "two"]


def test_withheld_and_erased_words_are_not_carried():
    home = Ledger(HOME)
    home.said(2, "fixed words", home.asked(1, "met the screen", screen="crisis"))
    home.said(4, "an answer", home.asked(3, None))
    home.asked(5, "of one who is held", author="bob")
    assert words(exchanges([home.heard(held=["bob"])], OWN)) == [("assistant", "an answer")]


def test_the_newest_are_carried_and_keys_are_one_a_side():
    home = Ledger(HOME)
    for number in range(EXCHANGES_MAX + 5):
        home.said(10 * number + 1, f"yes {number}", home.asked(10 * number, str(number)))
    found = exchanges([home.heard()], OWN)
    assert len(found) == 2 * EXCHANGES_MAX
    assert found[0].text == "5"
    assert len({one.key for one in found}) == len(found)
    assert carried_key(found[0].message, "user") == found[0].key != passed_key(found[0].message)


def test_how_far_words_may_travel_goes_with_them():
    home = Ledger(HOME)
    home.said(2, "near", home.asked(1, "near?"), reach="local")
    assert [one.reach for one in exchanges([home.heard()], OWN)] == [None, "local"]


def test_junk_in_a_payload_is_passed_over():
    home = Ledger(HOME)
    home.add("message.received", 1, "words", screen="pass", author=7)
    home.add("message.received", 1, "words", screen="pass", author="a", passed_by={"id": 3})
    home.add("message.sent", 2, "words", message="no")
    home.add("message.sent", 2, "words", message=99)
    home.add("message.sent", 3, "an answer", message=1, answered_by=7)
    found = words(exchanges([home.heard()], OWN))
    assert found == [("user", "words"), ("assistant", "an answer")]


def test_a_message_that_waits_for_its_answer_is_not_carried():
    gateway = Ledger(GATEWAY)
    gateway.asked(1, "being handed on")
    assert exchanges([gateway.heard()], OWN) == []
