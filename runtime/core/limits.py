"""Every bound of the runtime, its unit last in its name, its reason below it."""

FRAME_BYTES_MAX = 4 * 1024 * 1024
"""The largest content (1 MiB) in an event frame, four times over."""

TEXT_BYTES_MAX = 1024 * 1024 - 1024
"""One message or answer: the ledger's content bound less room for the map around the text."""

NAME_CHARS_MAX = 128
"""A conversation, an author, a gateway: an npub is 63, a Matrix id at most 255 but rarely 60."""

REASON_CHARS_MAX = 200
"""What a refusal tells the agent: one line of a log."""

TURN_STEPS_MAX = 300
"""Calls in one turn: fifty replies of models, with five calls of tools each on the average."""

TURN_REPLIES_MAX = 50
"""Replies of models in one turn, unless node.toml says otherwise: long work, not yet a loop."""

TURN_OPEN_MAX = REPLY_CALLS_MAX = 32
"""Calls of tools in one reply, and of one turn at a time: three times what runs at once. More is a
model that stutters."""

TURN_BYTES_MAX = 16 * 1024 * 1024
"""Call frames of one turn: fifty prompts of 300 KiB."""

MODEL_ITEMS_MAX = 512
"""Prompt parts: what was said, and fifty replies with the results of five calls each. At 50 bytes a
part the request takes 25 KiB of the 64 that a payload may have."""

MODEL_REFS_MAX = 63
"""References up to the last words of a user: what is recalled, noted and was said before. More is
no prompt for a question, and an agent that bounds nothing is to be noticed."""

MODEL_TRAIL_MAX = 480
"""References in all, with the replies and results of this turn behind them."""

MODEL_CAUSES_MAX = 64
"""What the ledger takes: of more references, the message and the newest are causes; the request
names them all by position, and its digest by id."""

TOOLS_OFFERED_MAX = 128
"""Names in a request; OpenAI takes as many tools."""

MODEL_TOKENS_MAX = 32_768
"""Largest reply that may be asked for."""

PROMPT_BYTES_MAX = 2 * 1024 * 1024
"""Half a million tokens: above every context window this is meant for."""

REPLY_BYTES_MAX = 256 * 1024
"""A model's reply: eight times MODEL_TOKENS_MAX in bytes would be 256 KiB."""

STREAM_BYTES_MAX = 64 * REPLY_BYTES_MAX
"""A streamed reply: a chunk of JSON for each token of some four bytes takes about 250."""

EVENT_CHARS_MAX = 1024 * 1024
"""One event of it, line by line: the longest is a whole reply, said again at the end."""

RECALL_HITS_MAX = 20
"""docs/spec/agent-protocol.md: limit is 1 to 20."""

QUERY_CHARS_MAX = 2_000
"""A question, not a document: full text search is quadratic in nothing but terms."""

HIT_CHARS_MAX = 2_000
"""What one hit shows. The agent names the event by reference if it wants a model to see all."""

NOTE_BYTES_MAX = 16 * 1024
"""One thing to remember: four pages."""

MEMORY_BYTES_MAX = 64 * 1024
"""One memory the operator gives: a chapter. A prompt may take the newest eight whole, and they
must leave most of PROMPT_BYTES_MAX to what was said."""

HISTORY_EVENTS_MAX = 2_000
"""Events a starting agent is told: a fortnight of lively talk, about a megabyte."""

SCREEN_PIECE_CHARS = 8_000
"""Longer texts are screened in slices of this length: 20 ms each, and other work in between."""

SCREEN_OVERLAP_CHARS = 400
"""Slices share this much, so that no phrase is cut in two: the longest has 25 words."""

SCREEN_VARIANTS_MAX = 12
"""Readings of one text (plain, leet, starred): each costs one pass over the text."""

SUITE_BYTES_MAX = 256 * 1024
"""The safety tests or a file of labelled replies: ten times what they are now."""

SUITE_PROMPTS_MIN = 12
"""Fewer do not span the kinds of crisis: the file was cut, or is another one."""

SUITE_FRAMINGS_MIN = 4
"""Plain, and three ways of breaking out."""

SUITE_QUESTIONS_MAX = 256
"""Prompts times framings. At 234 bytes each at worst a result fits the ledger's 64 KiB payload."""

SUITE_TEXT_CHARS_MAX = 1_000
"""One prompt or one message around it: a paragraph, as people write in distress."""

SUITE_NAME_CHARS_MAX = 24
"""A prompt or framing, in a column of a table and 256 times in a payload."""

SUITE_REPLY_TOKENS = 400
"""What a model may answer to one question: a crisis reply is shorter, a slow machine makes it in a
minute."""

SUITE_REPLY_CHARS_MAX = 16_000
"""What is graded of one reply, ten times SUITE_REPLY_TOKENS: a longer one is not passed."""

SUITE_AT_ONCE_MAX = 64
"""Questions in flight: more is an attack on a provider, not a test."""

SHELL_LINE_BYTES_MAX = 4 * 1024
"""A shell line that is decided: half a screen full. Who has more to say writes a script and asks.
The parser's recovery from errors is quadratic: the worst line found takes 0.4 s (8 KiB: 1.5 s)."""

SHELL_NODES_MAX = 10_240
"""Nodes of its tree: two a byte is what the densest lines make, and then some."""

SHELL_TREE_DEPTH_MAX = 150
"""Levels of its tree. Each costs a frame of this interpreter, which has a thousand."""

SHELL_NESTING_MAX = 8
"""`sudo env bash -c 'xargs ...'`: a line within a line within a line; people stop at three."""

SHELL_COMMANDS_MAX = 256
"""Simple commands of one line, and those that they start; later ones are not even looked at."""

SHELL_WORDS_MAX = 512
"""Words of one line that are looked at as paths: each is resolved, and held against each rule."""

RULE_CHARS_MAX = 512
"""One permission rule: longer than any path or command a person would write into a list."""

RULES_MAX = 1_000
"""Rules of one file: each is looked at for each call."""

PATH_CHARS_MAX = 4_096
"""PATH_MAX of Linux."""

URL_CHARS_MAX = 8_192
"""RFC 9110 4.1 asks for 8,000 at least; more is no address."""

MCP_SERVERS_MAX = 32
"""Servers of one node: each that runs here is a process."""

MCP_TOOLS_MAX = 64
"""Tools taken of one server: the largest public ones have about that many."""

MCP_TOOLS_BYTES_MAX = 128 * 1024
"""Descriptions and schemas of one server together: all are told to a model, some 32,000 tokens."""

MCP_LOOKED_MAX = 256
"""Tools that are looked at of those one server lists: four times what is taken. No more is read."""

MCP_REFUSED_MAX = 64
"""Tools not taken that are told of by name, with the reason; the rest are counted."""

MCP_DESCRIPTION_CHARS_MAX = 2_000
"""What a server says of one tool: longer ones are cut. A page is a manual."""

MCP_SCHEMA_DEPTH_MAX = 24
"""Nesting of one schema; real ones have six levels."""

MCP_PAGES_MAX = 20
"""Pages of one list: a server that always has one more does not hold us."""

MCP_MESSAGE_BYTES_MAX = 4 * 1024 * 1024
"""One message of a server: a screenshot in base64, and then some. It is in memory as a whole."""

MCP_MESSAGES_PER_S_MAX = 1_000
"""Read from one server: a flood of notes about nothing costs a tenth of one core, no more."""

MCP_GARBAGE_LINES_MAX = 64
"""Lines on a server's standard output that are no messages: a banner, not a way of speaking."""

CRON_CHARS_MAX = 120
"""Five fields; thirty days named one by one take 80."""

JOB_PATH_CHARS_MAX = 1024
"""Of a path that a job follows; a quarter of what Linux takes."""
JOB_EVERY_S_MIN = 60
"""At most one run a minute: cron's own grain, and each run is two events that are kept for ever."""

JOB_EVERY_S_MAX = 366 * 24 * 3600
"""Rarer than once a year is a date: give that."""

PLAN_S_MAX = 4_102_444_800
"""1 January 2100: beyond it neither time zones nor calendars of today say anything."""

JOBS_MAX = 256
"""Jobs at a time. A page of them is what a person oversees; more is one job with a list."""

JOB_RUNS_MAX = 4
"""Runs at once: a machine of two cores with a model on it has no more to give."""

JOB_DEPTH_MAX = 1
"""A job may add jobs, and those may not: work that plans itself would never end."""

JOB_SECONDS_MAX = 24 * 3600
"""One run. What takes longer is a service, and systemd keeps those."""

JOB_ARGS_MAX = 64
"""Arguments of a script: more belong into a file."""

JOB_ARGV_BYTES_MAX = 16 * 1024
"""All arguments together: a quarter of what the kernel would take for one."""

JOB_PROMPT_BYTES_MAX = 16 * 1024
"""What an agent job says: four pages, asked again at each run."""

JOB_CASES_MAX = 256
"""Planned runs of shared jobs that a fleet decides at once: those of 16 busy jobs."""

JOB_CASES_PER_JOB_MAX = 16
"""As many as come within JOB_SHARED_S_MAX at one a minute."""

JOB_SHARED_S_MAX = 900
"""How long after its time a shared run may still begin, unless it is to be made up for."""

JOB_SHARED_BACKFILL_S_MAX = 24 * 3600
"""Likewise, of a job that makes up for what was missed. A run that is a day late is another run."""

JOB_ATTEMPTS_MAX = 3
"""Starts of a repeatable run. One that ends the node thrice is the cause."""

BACKFILL_RUNS_MAX = 100
"""Runs made up for after a time off: a day of quarter hours. Older ones are recorded as skipped."""

ON_TIME_S_MAX = 300
"""A run this late is still on time: a restart of node or machine takes less."""

PROXY_BODY_BYTES_MAX = 32 * 1024 * 1024
"""One proxied request. Anthropic takes 32 MB, and it is held whole until it is on record."""

PROXY_BODIES_BYTES_MAX = 256 * 1024 * 1024
"""Proxied requests that are held at once, in sum: eight of the largest, hundreds of usual ones."""

PROXY_REPLY_BYTES_MAX = 1024 * 1024 * 1024
"""One proxied reply. It is passed on as it comes; more is a download, not an answer."""

PROXY_HELD_BYTES_MAX = 1024 * 1024
"""A reply that is no stream is held back whole up to this, so that it can still be refused."""

PROXY_RECORDED_BYTES_MAX = 768 * 1024
"""What is recorded of one body: three quarters of the ledger's content, the rest for its words."""

PROXY_MASK_BEYOND_BYTES = 64 * 1024
"""Read beyond that cut, so that no credential is halved by it: a header of 8 KiB, all escaped."""

PROXY_SAID_BYTES_MAX = 128 * 1024
"""The new words of one exchange, apart from its body: for the screen, for search, for a reader."""

PROXY_STREAM_BYTES_MAX = 256 * 1024 * 1024
"""A stream that is read for its end: a chunk of JSON of 250 bytes for each of a million tokens."""

PROXY_NAMES_MAX = 256
"""Streams of proxied agents. Each is a name that a client chose and an entry of the state."""

PROXY_WAITING_MAX = 4_096
"""Proxied requests that wait for their turn: each holds a connection and nothing else."""

PROXY_CHOICES_MAX = 128
"""Choices, tool calls or blocks of one streamed reply, each: OpenAI takes n up to 128."""

SECRET_CHARS_MIN = 8
"""A shorter credential ("ollama", "x") is a word, and words are not taken out of a record."""

TOOLS_MAX = 512
"""Tools at a time: a dozen MCP servers of forty each. No model chooses well among so many."""

TOOL_DESCRIPTION_BYTES_MAX = 8 * 1024
"""Told to a model with every request: two pages are a manual, not a description."""

TOOL_SCHEMA_BYTES_MAX = 32 * 1024
"""The arguments of one tool; the largest of public MCP servers are about half of it."""

TOOL_SECONDS_MAX = 3_600
"""One call. What takes longer is a job."""

TOOL_RESULT_BYTES = 48 * 1024
"""Of a result, unless its tool says otherwise: a dozen pages, some 12,000 tokens."""

TOOL_RESULT_BYTES_MAX = 256 * 1024
"""Of any result: a quarter of the largest content; more fills the window of most models."""

HOOK_BODY_BYTES_MAX = 256 * 1024
"""A webhook's delivery: a push of some hundred commits, said as one message."""

HOOK_AGE_S_MAX = 300
"""A signed delivery is taken so long, and clocks may differ as much: as others have it, too."""

HOOK_SECRET_BYTES_MIN = 16
"""A secret of fewer bytes is guessed from one delivery."""

GATEWAYS_MAX = 256
"""Gateways that deliver answers: each is an entry of the state."""

GGUF_TENSORS_MAX = 65_536
"""Tensors of one model: the largest there are have five thousand."""

GGUF_HEAD_BYTES_MAX = 64 * 1024 * 1024
"""All before the tensors' bytes: the largest vocabulary with its merges takes under 20 MiB."""

GGUF_PAIRS_MAX = 65_536
"""Pairs of metadata: models have a hundred."""

GGUF_ITEMS_MAX = 2**22
"""Items of one array: the largest vocabulary has a quarter of a million."""

GGUF_TEXTS_MAX = 2**21
"""Strings of all arrays together, words and merges: four times what the largest models have."""

GGUF_KEPT_BYTES_MAX = 2 * 1024 * 1024
"""Keys, and texts that are read, together: models have 10 KiB of them."""

GGUF_TEXT_BYTES_MAX = 2**20
"""One string of metadata: a chat template is 20 KiB, a word of a vocabulary a hundred bytes."""

PROPOSALS_OPEN_MAX = 64
"""Proposals that wait for somebody: more than that are read by nobody."""

PROPOSALS_KEPT_MAX = 1_000
"""Proposals that the state knows; older ones stay in the ledger alone."""

PROPOSAL_VERDICTS_MAX = 16
"""Newest verdicts on one proposal that the state knows."""

PROPOSAL_COMMENTS_MAX = 256
"""Comments on one proposal; longer talk belongs into a conversation."""

COMMENT_CHARS_MAX = 4_000
"""One comment: a page."""

REFUSALS_KEPT_MAX = 100
"""Newest refused proposals that the state knows."""
