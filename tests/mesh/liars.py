"""A relay that misbehaves as it is told to: a real websocket server of some lines."""

import json

from mesh.core.errors import InvalidReconciliation
from mesh.core.negentropy import IdSet, respond
from mesh.core.nip01 import Event
from mesh.core.relay.filter import matches_any, parse_filter
from tests.mesh.peers import as_object


class Liar:
    """Holds `events`; each knob is one way to be a bad relay. What it was asked is in `asked`."""

    def __init__(
        self,
        events=(),
        *,
        cap=500,
        exclusive=False,
        order=lambda rows: rows,
        hides=(),
        reconciles=None,
        early_eose=False,
        silent=(),
        extra=lambda name, number: (),
        drops_after=None,
        doorkeeper=False,
    ):
        self.events = {event.id: event for event in events}
        self.cap = cap
        self.exclusive = exclusive
        self.order = order
        self.hides = set(hides)
        self.reconciles = reconciles
        self.early_eose = early_eose
        self.silent = silent
        self.extra = extra
        self.drops_after = drops_after
        self.doorkeeper = doorkeeper
        self.asked = []
        self.sent = []
        self.sockets = {}
        self.connections = 0

    async def __call__(self, socket):
        self.connections += 1
        self.sockets[socket] = {}
        inside = not self.doorkeeper
        if self.doorkeeper:
            await socket.send(json.dumps(["AUTH", "who"]))
        try:
            async for frame in socket:
                verb, *items = json.loads(frame)
                self.asked.append((verb, items))
                if verb == "AUTH":
                    inside = True
                    await socket.send(json.dumps(["OK", items[0]["id"], True, ""]))
                elif verb in self.silent:
                    continue
                elif verb == "REQ" and not inside:
                    await socket.send(json.dumps(["CLOSED", items[0], "auth-required: who"]))
                else:
                    await self.handle(socket, verb, items)
        finally:
            del self.sockets[socket]

    async def handle(self, socket, verb, items):
        match verb, items:
            case "REQ", [name, *filters]:
                self.sockets[socket][name] = [parse_filter(one) for one in filters]
                await self.answer(socket, name)
            case "CLOSE", [name]:
                self.sockets[socket].pop(name, None)
            case ("NEG-OPEN", [name, _, message]) | ("NEG-MSG", [name, message]):
                await self.compare(socket, name, message)
            case "EVENT", [event]:
                await self.add(Event.from_object(event))
                await socket.send(json.dumps(["OK", event["id"], True, ""]))

    def stored(self, one):
        found = [
            event
            for event in self.events.values()
            if event.id not in self.hides
            and one.matches(event)
            and not (self.exclusive and event.created_at == one.until)
        ]
        found.sort(key=lambda event: (-event.created_at, event.id))
        return found[: min(one.rows_max, self.cap)]

    async def answer(self, socket, name):
        rows = {event.id: event for one in self.sockets[socket][name] for event in self.stored(one)}
        texts = [json.dumps(["EVENT", name, as_object(e)]) for e in self.order(list(rows.values()))]
        eose = json.dumps(["EOSE", name])
        texts = [eose, *texts] if self.early_eose else [*texts, eose]
        for text in [*self.extra(name, len(self.sent)), *texts]:
            self.sent.append(text)
            await socket.send(text)
            if self.drops_after is not None and len(self.sent) % self.drops_after == 0:
                await socket.close()

    async def compare(self, socket, name, message):
        if self.reconciles is None:
            await socket.send(json.dumps(["NOTICE", "unknown message"]))
            return
        held = self.reconciles(self.events.values())
        items = IdSet((event.created_at, bytes.fromhex(event.id)) for event in held)
        try:
            said = respond(items, bytes.fromhex(message)).hex()
        except InvalidReconciliation as error:
            await socket.send(json.dumps(["NEG-ERR", name, str(error)]))
            return
        await socket.send(json.dumps(["NEG-MSG", name, said]))

    async def add(self, event):
        """Take an event and hand it to those who asked."""
        self.events[event.id] = event
        for socket, names in list(self.sockets.items()):
            for name, filters in list(names.items()):
                if matches_any(filters, event):
                    await socket.send(json.dumps(["EVENT", name, as_object(event)]))

    def filters(self):
        """Every filter that it was asked for."""
        return [one for verb, items in self.asked if verb == "REQ" for one in items[1:]]
