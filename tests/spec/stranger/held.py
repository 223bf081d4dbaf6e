"""A file beside what its reader was shown before (bundle.md, "What is held")."""

from tests.spec.stranger.bundle import opened_head, read, signed_by
from tests.spec.stranger.codec import Refusal, demand
from tests.spec.stranger.container import MAGIC
from tests.spec.stranger.lineage import Lineage
from tests.spec.stranger.note import Head, parse_checkpoint
from tests.spec.stranger.reading import Ended, Result, Shown
from tests.spec.stranger.tree import continues, root


def beside(result: Result, file: Shown, held: bytes) -> Result:
    """Steps C: the good result of `file` by itself, unless one of them fails."""
    try:
        _compare(file, held)
    except Refusal as error:
        return Result("BROKEN", None, error.kind)
    except Ended as ended:
        return Result(ended.verdict, None, ended.kind)
    return result


def _compare(file: Shown, data: bytes) -> None:
    held = _bundle(data) if data.startswith(MAGIC) else _note(data, file)
    demand(held.ledger == file.ledger, "identity", "what is held is of another ledger")
    _check_heads(file, held)
    if held.lineage is not None and file.lineage is not None:
        _check_tenures(file.lineage, held.lineage)
    _check_leaves(file, held)
    if held.age <= file.age:
        for head in held.heads:
            _check_contained(file, head)
        return
    for head in file.heads:
        try:
            _check_contained(held, head)
        except Ended as ended:
            if ended.verdict != "INCOMPLETE":
                raise
    raise Ended("STALE", "stale")


def _bundle(data: bytes) -> Shown:
    """Step C1, of a file."""
    result, shown = read(data, None)
    if result.kind is not None and result.verdict != "INCOMPLETE":
        raise Ended(result.verdict, result.kind)
    if shown is None:
        raise Ended("INCOMPLETE", "missing")
    return shown


def _note(data: bytes, file: Shown) -> Shown:
    """Steps C1 and C2, of a note."""
    lineage = file.lineage
    assert lineage is not None
    try:
        note = parse_checkpoint(data)
    except Refusal as error:
        raise Refusal("checkpoint", str(error)) from error
    demand(note.ledger == file.ledger, "identity", "the note is of another ledger")
    if note.epoch > lineage.last.epoch:
        head = signed_by(note, lineage.last.keys["log"])
    else:
        head = opened_head(note, lineage)
    return Shown(ledger=note.ledger, epoch=note.epoch, heads=[head])


def _check_heads(file: Shown, held: Shown) -> None:
    """Step C3, heads."""
    if file.epoch == held.epoch:
        roots = {head.size: head.root for head in file.heads}
        if any(roots.get(head.size, head.root) != head.root for head in held.heads):
            raise Ended("DIVERGED", "diverged")


def _check_tenures(file: Lineage, held: Lineage) -> None:
    """Step C3, tenures."""
    for one in file.tenures:
        for two in held.tenures:
            handoffs = one.began == two.began == "handoff" and one.number == two.number
            epochs = one.began in ("epoch", "recovery") and two.began in ("epoch", "recovery")
            if one.epoch == two.epoch and (handoffs or epochs) and one.event != two.event:
                raise Ended("DIVERGED", "diverged")


def _check_leaves(file: Shown, held: Shown) -> None:
    """Step C4."""
    if file.whole and held.whole:
        if file.epoch == held.epoch:
            _check_one_history(file, held)
        return
    for position in file.leaves.keys() & held.leaves.keys():
        if file.leaves[position] != held.leaves[position]:
            raise Ended("REWRITTEN", "rewritten")


def _check_one_history(file: Shown, held: Shown) -> None:
    for position in range(min(len(file.leaves), len(held.leaves))):
        if file.leaves[position] != held.leaves[position]:
            raise Ended("DIVERGED", "diverged")


def _check_contained(newer: Shown, head: Head) -> None:
    """Step C5, for one head of the older one."""
    if head.epoch < newer.epoch:
        position = newer.records.get(head.epoch + 1)
        if position is None:
            raise Ended("INCOMPLETE", "missing")
        if position < head.size:
            raise Ended("REWRITTEN", "rewritten")
    if newer.whole or head.size == 0:
        leaves = [newer.leaves[position] for position in range(head.size)]
        if root(leaves) != head.root:
            raise Ended("REWRITTEN", "rewritten")
        return
    if not _led_to(newer, head):
        raise Ended("INCOMPLETE", "missing")


def _led_to(newer: Shown, head: Head) -> bool:
    """Step C5.3: whether some head goes on from `head`."""
    for mine in newer.heads:
        if mine.size == head.size:
            if mine.root != head.root:
                raise Ended("REWRITTEN", "rewritten")
            return True
        path = newer.consistencies.get((head.size, mine.size))
        if path is not None:
            try:
                continues(head.size, mine.size, path, head.root, mine.root)
            except Refusal as error:
                raise Ended("REWRITTEN", "rewritten") from error
            return True
    return False
