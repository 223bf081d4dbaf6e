"""Attacks on a home whose node is stopped: its database, SOUL.md, and the guard outside it."""

import shutil
from dataclasses import replace

from ledger.core.codec import encode
from ledger.core.event import Draft
from ledger.core.types import LINEAGE_STREAM
from tests.node.test_node_damage import flip, tampered
from tests.scorecard.rows import (
    FACTS,
    GUARD,
    KIT,
    LEDGER,
    LOG_KEY,
    NO_KEY,
    NOBODY,
    WITNESS,
    Row,
    Scene,
    Told,
    as_ledger,
    noted,
)
from tests.spec import agent

ROOF, KETTLE, SECRET, REDACTION, JAM = range(FACTS + 1, FACTS + 6)
BROKEN, INCOMPLETE, PENDING = "BROKEN", "INCOMPLETE", "UNBROKEN-PENDING"
OTHER_WORDS = encode({"text": "the roof is fine"}).hex()
ROLLED_BACK = "released to the world"
NOT_THOSE = "are not those that were released"
WHOLE = "all of it written anew with the log's key"


def other_words(told):
    draft = replace(told[KETTLE].draft, content={"text": "the kettle is red"})
    told[KETTLE] = replace(told[KETTLE], draft=draft)


# ---- edit, insert, delete, reorder ---------------------------------------------------------------


def edit_content_in_place(scene: Scene):
    tampered(scene.home, f"update event set content = x'{OTHER_WORDS}' where position = {ROOF}")


def edit_payload_in_place(scene: Scene):
    payload = encode({"author": "mallory"}).hex()
    tampered(scene.home, f"update event set payload = x'{payload}' where position = {ROOF}")


def edit_event_and_commitments(scene: Scene):
    """A whole event of the attacker's, valid by itself, in the place of a fact inside a tile."""
    ledger = agent.Ledger()
    for number in range(3):
        draft = agent.genesis_draft() if not number else agent.fact(number + 7)
        ledger.add(draft, ts_ms=agent.BORN_MS + number)
    envelope, salt, payload = (value.hex() for value in ledger.records[2][1:4])
    tampered(
        scene.home,
        f"update event set envelope = x'{envelope}', salt = x'{salt}', payload = x'{payload}'"
        " where position = 2",
    )


def edit_and_reseal(scene: Scene):
    scene.retell(other_words)


def edit_tile(scene: Scene):
    tampered(scene.home, "update tile set hashes = zeroblob(8192) where level = 0 and number = 0")


def insert_in_place(scene: Scene):
    tampered(
        scene.home,
        f"insert into event select {JAM + 1}, stream, 7000, envelope, salt, payload,"
        f" content_salt, content from event where position = {ROOF}",
    )


def insert_and_reseal(scene: Scene):
    scene.retell(lambda told: told.insert(JAM, replace(told[ROOF], ts_ms=told[JAM].ts_ms)))


def delete_in_place(scene: Scene):
    tampered(scene.home, f"delete from event where position = {KETTLE}")


def delete_and_reseal(scene: Scene):
    def delete(told):
        payload = told[REDACTION].draft.payload | {"targets": [SECRET - 1]}
        draft = replace(told[REDACTION].draft, payload=payload)
        told[REDACTION] = replace(told[REDACTION], draft=draft)
        del told[KETTLE]

    scene.retell(delete)


def reorder_in_place(scene: Scene):
    tampered(
        scene.home,
        f"update event set position = -1 where position = {ROOF}",
        f"update event set position = {ROOF} where position = {KETTLE}",
        f"update event set position = {KETTLE} where position = -1",
    )


def reorder_and_reseal(scene: Scene):
    def swap(told):
        one, other = told[ROOF], told[KETTLE]
        told[ROOF] = replace(other, ts_ms=one.ts_ms)
        told[KETTLE] = replace(one, ts_ms=other.ts_ms)

    scene.retell(swap)


def hide_from_its_stream(scene: Scene):
    """The events are whole, but the node no longer finds this one where it looks for it."""
    tampered(
        scene.home,
        f"insert into stream values (99, x'{'99' * 16}')",
        f"update event set stream = 99, sequence = 0 where position = {ROOF}",
    )


def squat_an_idempotency_key(scene: Scene):
    """A step to come would be answered with an event that never carried its key."""
    tampered(scene.home, f"insert into idempotency values (x'{'ab' * 16}', {ROOF})")


# ---- truncate, roll back -------------------------------------------------------------------------


def truncate_in_place(scene: Scene):
    tampered(scene.home, f"delete from event where position >= {JAM}")


def truncate_and_rebuild(scene: Scene):
    scene.rewrite(scene.records()[:JAM])


def truncate_the_redaction(scene: Scene):
    """Two questions fail at once; each has its own line."""
    scene.rewrite(scene.records()[:REDACTION])


def truncate_what_was_never_released(scene: Scene):
    size = scene.log_size
    scene.live("said and not yet released", release=False)
    scene.rewrite(scene.records()[:size])


def restore_an_old_ledger(scene: Scene):
    old = scene.home.ledger.read_bytes()
    scene.live("said after the backup")
    for left in scene.home.path.glob("ledger.db*"):
        left.unlink()
    scene.home.ledger.write_bytes(old)


def roll_back_the_whole_machine(scene: Scene):
    root = scene.home.path.parent
    shutil.copytree(root, root.with_name("snapshot"))
    scene.live("said after the snapshot")
    released = as_ledger(scene.records())
    shutil.rmtree(root)
    root.with_name("snapshot").rename(root)
    return released


# ---- rewrite -------------------------------------------------------------------------------------


def rewrite_without_the_guard(scene: Scene):
    scene.retell(other_words)


def rewrite_and_sign_the_guard(scene: Scene):
    scene.retell(other_words)
    scene.sign_guard()


def rewrite_what_was_never_released(scene: Scene):
    scene.live("said and not yet released", release=False)

    def change(told):
        told[-1] = replace(told[-1], draft=noted("never said"))

    scene.retell(change)


def append_while_it_is_stopped(scene: Scene):
    scene.retell(lambda told: told.append(Told(noted("never said"), told[-1].ts_ms)))


# ---- keys, SOUL ----------------------------------------------------------------------------------


def other_genesis(told, **changes):
    draft = Draft(
        type="genesis.born", stream=bytes(16), payload={**agent.genesis_payload(), **changes}
    )
    told[0] = Told(draft, told[0].ts_ms)


def swap_a_key_in_genesis(scene: Scene):
    keys = {**agent.genesis_payload()["keys"], "log": agent.STRANGER.public}
    scene.retell(lambda told: other_genesis(told, keys=keys))


def be_born_again_with_the_same_soul(scene: Scene):
    """The thief holds every key and forges the guard: another ledger id is all that tells."""
    payload = agent.genesis_payload(created_ms=agent.BORN_MS + 1)
    scene.retell(lambda told: other_genesis(told, **payload))
    scene.sign_guard()


def be_born_again_without_a_guard(scene: Scene):
    payload = agent.genesis_payload(created_ms=agent.BORN_MS + 1)
    scene.retell(lambda told: other_genesis(told, **payload))


def begin_an_epoch(scene: Scene, **more):
    draft = agent.epoch_record(as_ledger(scene.records()), **more)
    draft = replace(draft, stream=LINEAGE_STREAM)
    scene.retell(lambda told: told.append(Told(draft, told[-1].ts_ms)))


def recover_with_another_key(scene: Scene):
    begin_an_epoch(scene, by=agent.STRANGER)


def recover_without_the_guard(scene: Scene):
    """The kit alone: the guard still names the epoch before."""
    begin_an_epoch(scene)


def recover_to_another_history(scene: Scene):
    begin_an_epoch(scene, kept_root=bytes(32))
    scene.sign_guard(epoch=1)


def swap_soul(scene: Scene):
    scene.home.soul.write_text("I am somebody else.\n")


# ---- time ----------------------------------------------------------------------------------------


def backdate_one_event(scene: Scene):
    def earlier(told):
        told[JAM] = replace(told[JAM], ts_ms=agent.BORN_MS)

    scene.retell(earlier)


def backdate_everything(scene: Scene):
    def earlier(told):
        told[:] = [replace(one, ts_ms=one.ts_ms - 10**10) for one in told]
        told[0] = replace(told[0], ts_ms=agent.BORN_MS - 10**10)

    scene.retell(earlier)
    scene.sign_guard()


# ---- content, bits -------------------------------------------------------------------------------


def drop_content(scene: Scene):
    """No trigger is in the way: this is how a redaction erases, without the redaction."""
    tampered(
        scene.home,
        f"update event set content = null, content_salt = null where position = {KETTLE}",
    )


def put_redacted_content_back(scene: Scene):
    """From a copy that was made before the redaction."""

    def back(told):
        told[SECRET] = replace(told[SECRET], erased=False)

    scene.retell(back)
    scene.sign_guard()


def flip_a_bit_of_the_database(scene: Scene):
    flip(scene.home, b"marmalade")


# ---- the guard -----------------------------------------------------------------------------------


def remove_the_guard(scene: Scene):
    scene.guard.unlink()


def flip_a_bit_of_the_guard(scene: Scene):
    data = bytearray(scene.guard.read_bytes())
    data[-9] ^= 1
    scene.guard.write_bytes(data)


def sign_the_guard_with_another_key(scene: Scene):
    ledger = as_ledger(scene.records()[:JAM])
    scene.guard.write_bytes(ledger.head(by=agent.STRANGER).encode())


def put_an_older_guard_back(scene: Scene):
    old = scene.guard.read_bytes()
    scene.live("said after it")
    scene.guard.write_bytes(old)


def row(make, attack, by, verdict, says, *, question="", start="", means=NO_KEY, to="home", witnessed=""):  # fmt: skip
    return Row(attack=attack, to=to, means=means, by=by, verdict=verdict, says=says,
               question=question, start=start, witnessed=witnessed, make=make)  # fmt: skip


ROWS = [
    row(edit_content_in_place, "edit the content of an event in place", LEDGER, BROKEN, f"event {ROOF}: ", question="integrity", start="StoreDamaged"),
    row(edit_payload_in_place, "edit a payload in place", LEDGER, BROKEN, f"event {ROOF}: ", question="integrity", start="StoreDamaged"),
    row(edit_event_and_commitments, "edit an event with its commitments, not the tree", LEDGER, BROKEN, "tile 0 of level 0", question="integrity", start="StoreDamaged"),
    row(edit_and_reseal, "edit an event, seal all after it anew, mend every tile", GUARD, BROKEN, NOT_THOSE, question="freshness", start="RolledBack"),
    row(edit_tile, "edit a tile of the tree", LEDGER, BROKEN, "tile 0 of level 0", question="integrity"),
    row(insert_in_place, "insert a copy of an event in place", LEDGER, BROKEN, f"event {JAM + 1}: ", question="integrity", start="StoreDamaged"),
    row(insert_and_reseal, "insert an event, seal all after it anew", GUARD, BROKEN, NOT_THOSE, question="freshness", start="RolledBack"),
    row(delete_in_place, "delete an event in place", LEDGER, BROKEN, f"event {KETTLE} is missing", question="integrity", start="StoreDamaged"),
    row(delete_and_reseal, "delete an event, seal all after it anew", GUARD, BROKEN, ROLLED_BACK, question="freshness", start="RolledBack"),
    row(reorder_in_place, "reorder two events in place", LEDGER, BROKEN, f"event {ROOF}: ", question="integrity", start="RolledBack"),
    row(reorder_and_reseal, "reorder two events, seal all after them anew", GUARD, BROKEN, NOT_THOSE, question="freshness", start="RolledBack"),
    row(hide_from_its_stream, "file an event under another stream", LEDGER, BROKEN, f"event {ROOF} is filed", question="integrity"),
    row(squat_an_idempotency_key, "give an idempotency key to another event", LEDGER, BROKEN, "idempotency key", question="integrity"),
    row(truncate_in_place, "truncate the tail in place", GUARD, BROKEN, ROLLED_BACK, question="freshness", start="RolledBack"),
    row(truncate_and_rebuild, "truncate the tail, mend the tree", GUARD, BROKEN, ROLLED_BACK, question="freshness", start="RolledBack"),
    row(truncate_the_redaction, "truncate the tail with a redaction in it", GUARD, BROKEN, ROLLED_BACK, question="completeness, freshness", start="RolledBack"),
    row(truncate_what_was_never_released, "truncate a tail that was never released", NOBODY, PENDING, "continues the last released head"),
    row(restore_an_old_ledger, "restore an old backup of the ledger", GUARD, BROKEN, ROLLED_BACK, question="freshness", start="RolledBack"),
    row(roll_back_the_whole_machine, "roll the whole machine back, guard included", WITNESS, PENDING, "a whole machine rolled back with its guard", witnessed="it releases nothing"),
    row(rewrite_without_the_guard, "rewrite everything, guard out of reach", GUARD, BROKEN, NOT_THOSE, question="freshness", start="RolledBack", means=LOG_KEY),
    row(rewrite_and_sign_the_guard, "rewrite everything before anything left the machine, guard included", NOBODY, PENDING, WHOLE, means=LOG_KEY),
    row(rewrite_what_was_never_released, "rewrite a tail that was never released", NOBODY, PENDING, "who wrote the last 1 events"),
    row(append_while_it_is_stopped, "append events while the node is stopped", NOBODY, PENDING, "who wrote the last 1 events"),
    row(swap_a_key_in_genesis, "swap a key in genesis", LEDGER, BROKEN, "genesis: ", question="identity", start="UnprovenKey"),
    row(be_born_again_without_a_guard, "swap keys: another genesis with the same SOUL, guard out of reach", GUARD, BROKEN, "is missing", question="freshness", start="GuardMissing", means=LOG_KEY),
    row(be_born_again_with_the_same_soul, "swap keys: another genesis with the same SOUL, guard included", NOBODY, PENDING, "compare the ledger id", means=LOG_KEY),
    row(recover_with_another_key, "recover with another key", LEDGER, BROKEN, "recovery key", question="integrity", start="InvalidEvent"),
    row(recover_without_the_guard, "recover, guard out of reach", GUARD, BROKEN, "the guard is of", question="freshness", start="RolledBack", means=KIT),
    row(recover_to_another_history, "recover, keeping another history", LEDGER, "REWRITTEN", "keeps another history", question="integrity", start="StoreDamaged", means=KIT),
    row(swap_soul, "swap SOUL.md", LEDGER, BROKEN, "SOUL.md", question="identity", start="SoulChanged"),
    row(backdate_one_event, "backdate one event", LEDGER, BROKEN, "is before its predecessor's", question="integrity", start="RolledBack"),
    row(backdate_everything, "backdate everything before anything left the machine", NOBODY, PENDING, "when: nothing here is compared with Bitcoin", means=LOG_KEY),
    row(drop_content, "drop content silently", LEDGER, INCOMPLETE, "is MISSING", question="completeness"),
    row(put_redacted_content_back, "put redacted content back", LEDGER, BROKEN, "is still here", question="completeness", means=LOG_KEY),
    row(flip_a_bit_of_the_database, "corrupt one bit of ledger.db", LEDGER, BROKEN, "checksum", question="integrity", start="StoreDamaged"),
    row(remove_the_guard, "remove the guard, or copy the home elsewhere", GUARD, BROKEN, "is missing", question="freshness", start="GuardMissing", to="guard"),
    row(flip_a_bit_of_the_guard, "corrupt one bit of the guard", GUARD, BROKEN, "is damaged", question="freshness", start="GuardMissing", to="guard"),
    row(sign_the_guard_with_another_key, "sign a shorter guard with another key", GUARD, BROKEN, "is damaged", question="freshness", start="GuardMissing", to="guard"),
    row(put_an_older_guard_back, "put an older guard back, ledger as it is", NOBODY, PENDING, "who wrote the last 1 events", to="guard"),
]  # fmt: skip
"""Every attack on a home."""
