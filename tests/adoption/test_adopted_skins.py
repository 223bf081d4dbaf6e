"""A skin that an adoption takes away: back with a rollback, unless the operator spoke since."""

import pytest

from genesis.core.adopting.layers import Version
from ledger.core import types
from ledger.core.event import Draft
from ledger.core.keys import Signer
from node.agent.adopted_skins import AdoptedSkins
from node.agent.skins import Wardrobe, sign_skin
from runtime.core.skins import installed
from runtime.journal import Journal
from tests.runtime.world import new_log

KEY = Signer(b"\x05" * 32)
OWL = 'name = "owl"\nversion = {}\nvoice = "Speak softly."\n'
ADOPTION = 7


@pytest.fixture
async def taken_away():
    """Skins and wardrobe of a log in which adoption 7 took the owl away."""
    with new_log() as log:
        journal = Journal(log)
        skins, wardrobe = AdoptedSkins(log=log, journal=journal, key=KEY), Wardrobe(journal)
        await wardrobe.add(sign_skin(OWL.format(1), KEY, now_s=1), accept=False, by="operator")
        away = Version.of({}, skins.documents())
        [worn] = skins.put_on(away, adoption=ADOPTION, now_s=2)
        facts = {"adoption": ADOPTION, "skins": [[worn.name, worn.before]]}
        kind = types.PATCH_ADOPTED.name
        log.append_now(Draft(type=kind, stream=types.ADOPTION_STREAM, payload=facts), worn.draft)
        assert installed(journal.state.entries) == []
        yield skins, wardrobe


async def test_it_is_back_with_its_authors_signature(taken_away):
    skins, wardrobe = taken_away
    [draft] = skins.take_off(ADOPTION)
    skins.log.append_now(draft)
    [owl] = wardrobe.installed()
    assert (owl.name, owl.author) == ("owl", KEY.public)
    assert skins.take_off(ADOPTION - 1) == []


async def test_it_stays_away_if_the_operator_took_another_one_away_since(taken_away):
    skins, wardrobe = taken_away
    await wardrobe.add(sign_skin(OWL.format(2), KEY, now_s=3), accept=False, by="operator")
    assert skins.take_off(ADOPTION) == []
    await wardrobe.remove("owl", by="operator")
    assert skins.take_off(ADOPTION) == []
