"""The tables of `ledger.db`, and every schema of them that was ever released.

Append-only by trigger: events, tiles, streams and keys never change and are never deleted; content
can only be erased. Streams have a small number each.
"""

from typing import Final

from ledger.migrations import History

APPLICATION_ID: Final = 0x54494D59
SCHEMA_VERSION: Final = 1

SCHEMA: Final = """
create table stream (
    number integer primary key, id blob not null unique check (length(id) = 16)
) strict;
create table event (
    position integer primary key,
    stream integer not null references stream (number),
    sequence integer not null,
    envelope blob not null,
    salt blob not null,
    payload blob not null,
    content_salt blob,
    content blob
) strict;
create unique index event_by_stream on event (stream, sequence);
create table idempotency (
    key blob primary key, position integer not null
) strict, without rowid;
create table tile (
    level integer not null, number integer not null, root blob not null, hashes blob not null
) strict;
create unique index tile_by_number on tile (level, number, root);
create trigger event_stays before delete on event
    begin select raise(abort, 'events are never deleted'); end;
create trigger event_same before update on event
    when old.position is not new.position or old.stream is not new.stream
        or old.sequence is not new.sequence or old.envelope is not new.envelope
        or old.salt is not new.salt or old.payload is not new.payload
        or new.content is not null or new.content_salt is not null
    begin select raise(abort, 'events never change; content can only be erased'); end;
create trigger tile_stays before delete on tile
    begin select raise(abort, 'tiles are never deleted'); end;
create trigger tile_same before update on tile
    begin select raise(abort, 'tiles never change'); end;
create trigger stream_stays before delete on stream
    begin select raise(abort, 'streams are never deleted'); end;
create trigger stream_same before update on stream
    begin select raise(abort, 'streams never change'); end;
create trigger key_stays before delete on idempotency
    begin select raise(abort, 'idempotency keys are never deleted'); end;
create trigger key_same before update on idempotency
    begin select raise(abort, 'idempotency keys never change'); end;
"""

HISTORY: Final = History(
    application=APPLICATION_ID,
    version=SCHEMA_VERSION,
    steps={},
    kept={
        1: {
            "events": "select position, envelope, salt, payload, content_salt, content"
            " from event order by position",
            "streams": "select position, id, sequence from event"
            " join stream on number = stream order by position",
            "keys": "select key, position from idempotency order by key",
            "tiles": "select level, number, root, hashes from tile order by level, number, root",
        }
    },
)
"""Every released schema of `ledger.db`; a file of each is in tests/vectors/stores."""
