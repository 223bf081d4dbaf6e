"""Consensus-critical: every reducer of the runtime, in the order in which they fold an event.

One list, so that the state a journal folds and the state that is attested cannot differ. And which
parts of the state each writes, so that a replay that differs can say whose entries do.
"""

from typing import Final

from ledger.core.state import Owners, Reducer
from runtime.core.adoptions import reduce_adoptions
from runtime.core.agenda import reduce_agenda
from runtime.core.approving import reduce_approvals
from runtime.core.cases import reduce_cases
from runtime.core.contexts import reduce_contexts
from runtime.core.delivered import reduce_delivered
from runtime.core.jobs import reduce_jobs
from runtime.core.memories import reduce_memories
from runtime.core.proposals import reduce_proposals
from runtime.core.proxied import reduce_proxied
from runtime.core.routed import reduce_routed
from runtime.core.skills import reduce_skills
from runtime.core.skins import reduce_skins
from runtime.core.spending import reduce_spending
from runtime.core.spoken import reduce_tested
from runtime.core.talks import reduce_talks
from runtime.core.tally import reduce_tally
from runtime.core.todos import reduce_todos

REDUCERS: Final[tuple[Reducer, ...]] = (
    reduce_agenda,
    reduce_tested,
    reduce_spending,
    reduce_jobs,
    reduce_cases,
    reduce_tally,
    reduce_skins,
    reduce_contexts,
    reduce_proxied,
    reduce_approvals,
    reduce_todos,
    reduce_delivered,
    reduce_memories,
    reduce_talks,
    reduce_skills,
    reduce_proposals,
    reduce_routed,
    reduce_adoptions,
)

OWNERS: Final[Owners] = {
    **dict.fromkeys(
        ("pending", "turn", "conversation", "holds", "hold", "recent", "parked"),
        (reduce_agenda,),
    ),
    "withheld": (reduce_agenda, reduce_memories, reduce_talks, reduce_skills),
    **dict.fromkeys(("routed", "unsettled", "duplicates"), (reduce_routed,)),
    "tested": (reduce_tested,),
    "spent": (reduce_spending,),
    **dict.fromkeys(("jobs", "job", "on", "runs", "run"), (reduce_jobs,)),
    **dict.fromkeys(("cases", "case", "held"), (reduce_cases,)),
    **dict.fromkeys(
        ("tally", "tallies", "streak", "streaks", "alarm", "alarms", "beat", "report"),
        (reduce_tally,),
    ),
    **dict.fromkeys(("skins", "skin", "worn"), (reduce_skins,)),
    **dict.fromkeys(("contexts", "context", "context_allowed"), (reduce_contexts,)),
    **dict.fromkeys(("proxied", "proxied.open"), (reduce_proxied,)),
    **dict.fromkeys(("approvals", "approval"), (reduce_approvals,)),
    "todo": (reduce_todos,),
    **dict.fromkeys(("gateways", "delivered"), (reduce_delivered,)),
    **dict.fromkeys(("memories", "memory", "about", "source"), (reduce_memories,)),
    **dict.fromkeys(
        ("talk", "asked", "restless", "summed", "summary"),
        (reduce_talks,),
    ),
    **dict.fromkeys(
        ("skills", "skill", "skill-source", "skill-key", "worked", "deeds"), (reduce_skills,)
    ),
    **dict.fromkeys(
        ("proposals", "proposal", "proposed-on", "proposed-as", "patch-refusals"),
        (reduce_proposals,),
    ),
    **dict.fromkeys(("adoption", "architectures", "settled", "taken"), (reduce_adoptions,)),
}
"""Parts of the state (`ledger.core.state.part_of`), and who writes them."""
