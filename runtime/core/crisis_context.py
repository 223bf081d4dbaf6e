"""Phrases that the crisis screen weighs, and those of what leaves: data for `runtime.core.crisis`.

Written as in `crisis_rules`: a rule, its phrases indented by two, what goes on deeper. Pinned.
"""

from typing import Final

HINTS: Final = r"""
goodbye:
  (goodbye|farewell|bye) (everyone|all|forever|my|world|guys|cruel|i|and i)
  (wrote|posted|typed|called|rang|texted|phoned|say~|said) {3}(goodbye|farewell)
  take care of (my|each other|<others>)
  thinking of you all
  (thank you|thanks) for everything
  (sorry|forgive me) {2}(for everything|everyone|to everyone|leaving|behind|mum|dad)
  forgive~ (you|me|people) {4}(leave~|go|gone|for this|for what)
  not {2}(your|her|his|their|anyones|my) fault
  not blame (yourself|<others>|each other)
  tell {3}<others> {2}(i (love~|am sorry)|goodbye)
  i love you
  want you to know
  (one|the|a) last (time|wish|goodbye|conversation|chat|message|day)
  (last|final) (letter|message|words|goodbye|post|note|will)
  (left|leave~|wrote) {2}(note~|letter~|behind|for good|forever)
absence:
  not be (back|here|around|there|coming back|able to)
  (after|when|once|before) (i am|i have|i will be|he is|she is) (gone|dead|not here|done it|not
    around)
  (before|when|if|let|just) (i go|me go|go)(?! (to|on|for|with|over|back|shopping|home|ahead|
    through) )
  i am gone(?= (by|soon|tonight|tomorrow|when|$))
  not (come~|be coming|be) back
  (check~|clock~) out
  not be around
  not {1}(come~|going|returning|be) (home|back)
  leave~ {1}(it all|this life|life|everyone|them all|her|him|everything)
  not stay
  be done with (it|this|everything|life)
  (exit|disappear|vanish|in the ground)
  (nothing|nobody) [1](keep~|kept|hold~|left) {1}(me|here)
  stay~ {1}alive
giving:
  (gave|give~|given|handed|sold|selling) {8}(away|everything|dog|cat|guitar|records|belongings|
    possessions|stuff)
  (found|find~) {3}home for {1}(dog|cat|pet~)
  (who|whoever) {3}(get~|have|has|take) my (stuff|things|dog|cat|guitar)
  affairs in order
means:
  (bought|buys|got|has|have|ordered|holding|my|his|her|own~|keep|dads|moms|mums) {2}(<gun>|weapon|
    shells)
  (whole|entire|all the|took|take~) {1}(pill~|packet|bottle)
  (cliff~|balcony|freight train|oncoming|motorway|platform|tracks|rails|bridge|ledge|rooftop|roof|
    edge of|railing|train line)
  (cut~|bleed~|blood|scars)
  (stop~|refuse~) {2}(eating|his|her|medication|pills|insulin)
  (bottle of|stack of|pile of|of my|too many) {1}(pills|vodka|sleeping)
act:
  (to|ill|will|am|before i|just) {2}(do|doing|end) (it|this)
  (go|going) through with it
  how {2}do it
  want to end it
time:
  tonight is the night
  (picked|set|decided|settled|chosen) [2](date|day)
  made (up my mind|my (peace|decision))
  decided
  everything is ready
  (this is it|do~ it now)
  (soon|finally) {2}be (free|over|at peace|gone|done)
  date {1}(circled|set|picked|marked)
  (finally|am|feel) {1}ready
  end~ (it|this|everything)
  (after|until|til) {2}(exams|birthday|christmas|sunday|that|holidays|anniversary|graduation)
  (last|final) (week|day~|hours|one)
  one (step|jump|push)
weariness:
  (nobody|anyone) {1}help me
  stop fighting
  no {1}(purpose|point|reason|energy|strength|way forward|way|future|hope)
  (disappointment|failure|ghost|drowning|sink|waste|mess|monster|in peace|at peace)
  not [1](want help|asking for help|need help|deserve help|see a way)
  (may|might) as well
  (sick|tired) of being
  not {1}(do|take|handle|stand|cope|keep doing|fight|go) {3}any more
  (lost all|lost|without|any) hope
  nothing [1](helps|matters|will ever|ever gets|gets better|works|left)
  (no more|end the|stop the|so much|too much|the) (pain|suffering)
  (stop|over|end|quiet) (permanently|forever|for good|finally)
  hate (my life|myself|being me|everything about me)
  (end of my rope|no way out|rock bottom|hopeless|pointless|worthless|useless|broken|numb)
  give~ up
  what is the point$
  <i> [2](done|finished|through) (fighting|trying|with everything|with everyone|with it all)
  (think|believe|know|maybe|guess|fear) {2}(they|he|she|everyone) {1}right
  (already|feel~) [1](dead|empty|nothing|numb)
  (tried|did) my best
  out of reasons
unwanted:
  nobody [1](needs|wants|cares|loves|likes|even|would) {1}(me|about|check|notice|know)
  (say~|said|tell~|told) {2}(kill yourself|kms|die)
  (burden|ruin everything|cost everyone|trouble (anybody|anyone)|worth nothing|hate me|in the way)
  (better off|happier) without <me>
  (lived|had) [1](long enough|my time|his time|her time|a good (life|run))
  not [2]be (happy|okay|loved|good enough|enough|normal)
  everyone {1}(leaves|left|hate~|abandons|forgot)
  nobody {3}(remember|look~|come|check|call~)
  (took|lost|losing) {1}(kids|children|job|house|wife|husband|everything)
  hurt my <others>
sorry:
  (i am|so|really) [1]sorry
  sorry (mum|dad|for everything|everyone|guys)
access:
  just in case
  know where
  where the
illness:
  (therapist|psychiatrist|psych ward|depression|depressed|bipolar|ptsd|borderline|my meds|mental
    hospital|relapse~|attempt~)
reunion:
  (be|join~|see|meet) [1](with )?(<me>|mum|dad|my \w+) (again|soon|in heaven|at last)
  (in heaven|other side|meet god|to heaven|to hell|god forgive|forgive me god|afterlife)
  (my|the) \w+ (is|are) (dead|gone)
  (can not forgive myself|want to go|want to go now|like to go now|ready to go)
"""
"""Each says little alone; two of different names are answered."""

ASIDE: Final = r"""
idioms:
  (for|by|until|of) the end everything
  die to {3}(boss|enemy|enemies|mob~|trap)
  (to|would|id|could) die for
  dead (tired|right about|lift~|line~|serious|wrong|end~|set|simple|certain|weight|letter~|lock~|
    zone~|batteries|battery|head~|pool~|language~|sea|gorgeous|last|on my feet|in the water)
  dying (to {1}(see|know|hear|try|meet|get|go|find)|for|breed|light|art|my hair|wool|industry)
  die (hard|casting?|cutting?|cut|rolls?|laughing|on (that|this) hill)
  do or die
  death (metal|star|valley|stranding|note|penalty|march|certificate|by (powerpoint|chocolate)|of a
    salesman|on the nile|spiral|rates?|eaters?|row|tax|taxes|benefits?)
  (scared|afraid|fear|frightened|terrified) of (death|dying)
  (not want to|not wish to|do not want him to|do not want her to) die
  not (suicidal|thinking (of|about) suicide)
  (roll~|throw|sided) {3}(die|dice)
  end it all with {3}(slide|note|chord|scene|song|speech|toast|chapter|joke|bang)
  (shot|shoot~) myself in the (foot|fot)
  (server|process|script|app|program|laptop|phone|battery|container|build|browser|job|pod|
    car){2}(want~|wanted) to die
  (take~|took) my life (back|in|into|seriously|savings|partner|story)
  pills (in|out of|from) {2}(classroom|cart|school|store|library|office)
  (run~|ran) suicide
  suicide (squad|squeeze|bomb~|bomber~|attack~|door~|mission|burn|gene|vest|king|girls|blonde|
    run~|drill~|pass|prevention|awareness|hotline|snail|soda|hill)
  (career|political|social|brand|corporate|economic) suicide
  assisted suicide
  (cut~|burn~|burnt|hurt|hit|bit|scratched) myself (shaving|cooking|on|at|while|when|in|doing|with
    a)
  be here any more this (meeting|party|job|class|lecture|place|town|city)
  (lethal|fatal|deadly) (dose|dosage|amount) {4}(dog~|cat~|rat~|mice|mouse|horse~|bees|nutmeg)
  (die~|dying|dead|died nearly) (of|from) {1}(embarrassment|laughter|laughing|boredom|cringe|
    shame|hunger|thirst|curiosity|heat|stress|old age)
  rather die than (eat|drink|wear|watch|use|listen|cook|support|buy|sing|dance|miss|write|work
    with)
  overdose (my|on) (cake|tv|news|code|coffee|pizza|soup|salad|dish|photo|sugar|caffeine|chocolate|
    carbs|cuteness)
  (died|lost|lose~|death|loss|dead|gone|passed) {5}(by|to|from|after) {3}suicide
  (took|taken) (his|her|their) own life
  going to kill me
  kill~ (it|time|the (process|lights|job|thread|server))
  hang (in there|out|up|on)
recovered:
  years ago
  (survived|surviving|survivor|recovery|recovered|sober|healed)
  (glad|grateful|thankful) {2}(i|to be alive)
  (therapy|treatment|counselling|medication) {1}(helped|saved|works)
  when i was (young|younger|a teen|a teenager|a kid|\d+)
  in my (teens|twenties|thirties|youth|past)
  clean (from|of|for|since)
  love my life
  better now
once:
  (tried|attempted|wanted|used|was going|almost|nearly|once) {1}(to )?(kill~|hurt|cut|harm|hang~)
    myself
  (tried|attempted|wanted|used|was going|almost|nearly) {1}(to )?(end my life|ended my life|take my
    life|take my own life|die|commit suicide|selfharm|suicide)
  (was|were|felt|been) {1}suicidal
  clean (from|of) {1}(selfharm|cutting|cutting myself)
  (my|a|the|of|from|surviving|survived|after) suicide attempts?
  attempted suicide
  (recover~|recovery) from {2}(selfharm|suicidal thoughts)
relapse:
  (again|this time|still (want|think)|back again|finish (it|the job)|relapsed|will|tonight|did not
    work)
named:
  (suicide|suicidal|suicidality)
  (self harm|self harming|selfharm|self injury|self injuring)
context:
  (theory|theories|prevent\w*|praventions?\w*|barriers?|memorial|lease|server|rates?|awareness|
    hotline|helpline|crisis line|statistics|article|news|laws?|bill|ministry|policy|coroner|ruled|
    history|books?|film|movie|song|sings|album|band|plot|theme|essay|research|study|studies|
    sociology|durkheim|warning signs|school|teacher|volunteer|recover~|recovery|survivor|
    surviving|survived|19\d\d|20\d\d|philosophy|myth|game|class|ethics|lemmings|charity|
    fundraiser|training|therapist|nurse)
denials:
  (not true|untrue|a lie|false|not the case|wrong to think|wrong) {13}(without you|worth living|
    miss you|better off dead|no hope|deserve to die|burden)
  (not|instead of|without|thinking about|thinking of|thoughts of|thought of|thoughts about|
    considering|urge to|urges to|want to|wanting to|feel like|tempted to|plan to|planning to|going
    to|about to|tried to|talk of|ideas of|danger of|decide to|if you|stop you from|might|help you|
    risk of) {2}(kill~|hurt~|harm~|hang~|end~|take~|cut~|drown|shoot) (yourself|your life|your own
    life)
  (not|avoid|nobody should|must not) {1}(take~|swallow|ingest|mix|drink|exceed|step|jump|walk|
    leave|run){14}(fatal|lethal|die|overdose|death|kill you|dangerous|bus|train|traffic|truck|
    asleep)
  not {2}(deserve|have|need|want you) to die
  (not|nobody) (a|the|your only|the only) {1}(burden|answer|choice|solution|way out)
  not {2}(help|tell|assist|give|talk|explain|show|share|discuss|provide) {8}(die|suicide|kill
    yourself|death|method~)
  suicide is not
  (not|no) (worthless|alone|hopeless)
  (call|seek|get|emergency|poison control) {10}(overdose|too many pills|fatal|lethal|dangerous)
  (overdose|too many pills|fatal|lethal|dangerous) {10}(call|seek|emergency|hospital|doctor|poison
    control|naloxone|treated)
  (opioid|paracetamol|drug|acetaminophen|reverse~|treat~) {2}overdose
help:
  (988|findahelpline com|lifeline|samaritans|crisis line|hotline|helpline|emergency number)
"""
"""Taken out of texts before the search, or weighed beside it."""

OUTPUT: Final = r"""
methods:
  <easy> {3}(way~|method~|means) {3}(<die>|suicide|kill <anybody>|end <whose> life)
  (quick|painless|peaceful|easy|best) [2](death|dying|suicide)<!compound>
  painlessly
  (methods?|way) (of suicide|to hang|for hanging)
  suicide methods
  (lethal|fatal|deadly) (dose|dosage|amount|quantity) {12}(is|are|would|around|about|between|\d+)
  (would|will|should|could|is|are|be|may) [3](fatal|lethal|deadly|enough to (die|kill)|suffice)(?!
    (error|exception|flaw|blow) )
  (to|can|could|would) (<lethal> yourself|end your life|take your life) {3}(take|tie|cut|use|get|
    buy|swallow|mix|jump|slit|inhale|drink|find|with|from|by|in)
  to overdose
  (tie|make~|tying|slip|around your) {3}(noose|neck)
  (take~|swallow~|ingest|drink|mix|consume|inject|inhale|use|combine|overdose of) {5}<drug>
    {12}(<fatal>|kill you|stop (breathing|your)|the heart|suffice|all over)
  <drug> {12}(stops? (your|the) (breathing|heart)|stop you from waking|not wake|enough to (die|
    kill)|would be enough|be (fatal|lethal)|most people use)
  (take|swallow) all {3}<drug>
  (buy|get|order|use) {2}(nembutal|pentobarbital|sodium nitrite|cyanide|poison|helium|fentanyl)
  (nembutal|pentobarbital) {4}(use|get|buy|order|is|works)
  <easy> (way|method) {1}is {4}(<means>|firearm|hanging|overdose|carbon|jump~)
  (<gun>|firearm) {1}(to|against|at|in) (the|your) (head|temple|mouth|heart|chin)
  aim {4}(gun|head|temple|heart|brain|skull|ear|foot|mouth|chin)
  (cut|slice|slit|open|slash) {4}(wrist~|vein~|forearm~|artery|throat)
  (artery|vein~|wrist|razor|blade) {3}bleeds?
  bleeds? out
  (hide|conceal) {3}(cuts|scars|bruises|wounds)
  (exhaust|carbon monoxide|charcoal|bleach|helium|nitrogen|plastic bag|chemicals|cleaners|bag over)
    {10}(unconscious|to kill|you die|dead|painless|asleep|not wake|kills you|closed room|is work)
  (jump~|jumpers|fall|drop) {8}(not survive|fatal|deadly|lethal|certain death|kill you|high enough)
  (jumpers|suicide (bridge|spot))
  (step|jump|lie|walk|throw yourself) {2}(in front of|under|before) {2}<vehicle>
  (not find you|finds? you) {3}(in time|until|before)
  (drown~|hang yourself|hanging) {5}(near you|deep|minutes|pockets|stones|door|belt|easy|quick)
  (suicide|goodbye|farewell) (note|letter) {8}(family|for you|your|leave)
  by the time {2}(find|read|get) {10}(dead|gone|not be here)
  (not eat|stop eating|skip all meals|starve~|without food) {12}(heart will stop|<die>|organs)
despair:
  you [3](should|must|ought|need|have|deserve|can|may|could|better|are free|are ready) [3](die|
    <lethal> yourself|<end>|end your life|not be alive|give up on life)
  nobody [2](would|will|ll|can|could) {1}(miss|mourn|care about|remember|blame|stop|notice) (you|
    if you|when you)
  (better|happier|relieved|glad|easier|richer|best) {3}(without you|(if|when|once) you [2](dead|
    gone|not|killed|die~|vanished))
  better off dead
  you [2](worthless|a burden|a waste|useless|not alive|nothing to live)
  you [3](nothing|no reason|no future|no one|nobody) {2}(to live|left to live|for you)
  your (life|existence) (is|not) {2}(over|not worth|worthless|pointless|meaningless|worth living|
    finished|nothing)
  your pain will not (end|stop|go away|ease)
  (ending your life|taking your life|suicide|dying|ending it|death) (is|would be|could be|might be|
    seems|would|will|may)(?: (?!not )\w+){0,4} (best|right|answer|only|rational|good|
    understandable|valid|way|reasonable|logical|brave|beautiful|solution|solve|relief|release|
    peace|freedom|escape|choice|option|free)<!compound>
  (i agree|you are right|makes sense|i understand|of course|reasonable|natural) {7}(die|no point|
    nothing left|life over|your life|better off|worthless|be dead|end it|suicide)(?! (call|line|
    hotline) )
  (right|ready|help <me>) {2}to (want to )?die
  no point [2](in )?(living|going on living|go on living|being alive)
  (ready|time|ok|okay|fine|allowed|free|let) [2](to )?(go|die|let go|leave this world) {6}(not
    {2}stop you|blame|peace|dying|for dying)
  not [2](try to )?stop you
  (die with me|(join|follow) me {2}(in|on) {2}(death|the afterlife|heaven|the grave|other side)|
    come and die|come {3}join me)
  no hope [1](left )?for you(?! (\w+ )?(laptop|phone|car|file) )
  (go|please|just|now|then|ahead and) [1](die|jump)(?! (to|in|into|over|on|ahead|back|cast|from|
    roll) )
  die now
  (then|so|yes|tonight) do it (tonight|now|already|today)(?! \w+ the )
  kill yourself(?= $)
imperative:
  <lethal> yourself
  (hurt|harm) yourself
  (end|take) your (own )?life
"""
"""Words about to leave; an "imperative" beside a line to call names what to call about."""
