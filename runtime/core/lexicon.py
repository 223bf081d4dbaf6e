"""Words of English that a question is read by: those that say nothing, irregular forms, likenesses.

A stemmer joins "leaks" and "leaking"; it joins neither "bought" with "buy" nor "cellar" with
"basement". These tables do, for words of everyday life and of software. Other languages are
searched by stems, beginnings and misspellings alone: nothing here is needed for that.
"""

from typing import Final

_SILENT: Final = """
a about after again all also am an and any are as at be because been before being but by can could
did do does doing done down for from get give given go got had has have having he her here him his
how i if in into is it its just know let like me more most my no nor not now of off on one only or
other our out over own please s said say she should show so some such t tell than that the their
them then there these they this to too until up us was we were what when where which while who whom
whose why will with would yes you your yours ours much many long often happened become became
"""
SILENT: Final = frozenset(_SILENT.split())
"""In most texts: they tell nothing apart."""

_IRREGULAR: Final = """
be was were been; begin began begun; bite bit bitten; break broke broken; bring brought; build
built; buy bought; catch caught; choose chose chosen; come came; cost; cut; dig dug; draw drew
drawn; drink drank drunk; drive drove driven; eat ate eaten; fall fell fallen; feed fed; feel felt;
find found; fly flew flown; forget forgot forgotten; freeze froze frozen; grow grew grown; hang
hung; hear heard; hide hid hidden; hit; hold held; hurt; keep kept; lead led; learn learnt; leave
left; lend lent; lie lay lain; lose lost; make made; mean meant; meet met; pay paid; put; read;
ride rode ridden; ring rang rung; rise rose risen; run ran; see saw seen; sell sold; send sent;
shake shook shaken; shine shone; sing sang sung; sink sank sunk; sit sat; sleep slept; speak spoke
spoken; spend spent; stand stood; steal stole stolen; stick stuck; swim swam swum; swing swung;
take took taken; teach taught; tear tore torn; tell told; think thought; throw threw thrown;
understand understood; wake woke woken; wear wore worn; win won; write wrote written; child
children; person people; foot feet; tooth teeth; mouse mice; man men; woman women; leaf leaves;
knife knives; life lives; shelf shelves; half halves
"""
_ALIKE: Final = """
tap faucet; cellar basement; flat apartment; guarantee warranty; front entrance; price cost quote
euros paid; buy purchase order; repair fix mend; replace change exchange; remove take; doctor
physician; medicine drug tablet medication; ill sick illness; hurt injure sprain injury; accident
fall; allergic allergy; swallow eat; car vehicle; bicycle bike cycle; mower lawnmower; suitcase
luggage baggage; holiday vacation trip; refund reimburse; salary wage pay; insurance insurer; bank
account; invoice bill; password passphrase code; computer laptop machine; disk drive; phone
telephone number; database store sqlite; language rust python; chart diagram graph; measurement
reading; outage downtime failure fail stop; bug fault error defect; cause reason; cure remedy fix;
sensor probe; power current electricity draw; cold freeze; hot warm temperature; heating heater
boiler pump; oven stove; cake pie; recipe; vegetable; rain rainwater water; gutter drain; tree pear
apple; plant sow; prune cut; insect spider wasp; dog puppy; cat kitten; school class; teacher;
child kid; kindergarten nursery; daughter; son; mother mum; father dad; grandmother granny grandma;
sister; brother; friend; neighbour neighbor; wedding marriage marry; divorce marriage; birthday;
concert performance; choir sing voice; instrument; decide decision; want wish like; limit minutes;
antihistamine hay fever pollen; tired sleepy; hypertension blood pressure; glasses spectacles; vet
veterinarian; colour color; grey gray; parquet floor; apartment rent; town city; meeting
appointment; start begin; end finish; near beside; little small; big large; quick fast
"""


def _groups(text: str) -> list[list[str]]:
    return [group.split() for group in " ".join(text.split()).split(";") if group.split()]


def _table(text: str) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for group in _groups(text):
        for word in group:
            others = tuple(other for other in group if other != word)
            found[word] = (*found.get(word, ()), *others)
    return found


FORMS: Final = _table(_IRREGULAR)
"""Other forms of a word that no stemmer finds."""
ALIKE: Final = _table(_ALIKE)
"""Words that are said for the same thing, or close to it."""
