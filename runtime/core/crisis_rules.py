"""The phrases of the crisis screen: data for `runtime.core.crisis`, which says how they are read.

One phrase a line, an indented line goes on with the one above. A phrase is matched against
lower-case words with single spaces, without apostrophes ("dont"), with repeated letters collapsed
on both sides; it begins and ends at a word. `{n}` stands for up to n words in between, `<name>` for
one of the words of that list. The rest is regular expression. Pinned, like the screen.
"""

from typing import Final

INVISIBLE: Final = frozenset({"Mn", "Me", "Cf", "Cc"})
"""Unicode categories dropped: combining marks (strike-through), zero-width and direction marks."""

WORDS: Final = {
    "i": r"""
i|im|ive|id|ill|ima|me|my
""",
    "subject": r"""
i|im|ive|id|ill|i am|i have|i will|i would
""",
    "me": r"""
myself|my self|meself|mself|me self
""",
    "anybody": r"""
themselves|themself|himself|herself|oneself|ones self|yourself|urself|your self
""",
    "harm": r"""
kill|killing|kil|murder|murdering|hang|hanging|shoot|shooting|drown|drowning|
stab|stabbing|starve|starving|poison|poisoning|unalive|unaliving|off|offing|
hurt|hurting|harm|harming|cut|cutting|burn|burning|end|ending|asphyxiate|
suffocate|electrocute|destroy
""",
    "drug": r"""
pills?|tablets?|tylenol|paracetamol|acetaminophen|ibuprofen|aspirin|advil|xanax|
benzos?|sleeping pills|meds|medication|antidepressants?|insulin|ambien|opioids?|
oxy|oxycodone|fentanyl|morphine|heroin|pain ?killers|barbiturates|helium|
cyanide|bleach|antifreeze
""",
    "how": r"""
how|way|ways|method|methods|steps?|instructions?|explain|explains|describe|
describes|guide|tutorial|list|easiest|best|teach|recipe|instruct|tells?|
detail|details
""",
    "easy": r"""
painless|easiest|easy|quick|quickest|fast|fastest|best|peaceful|effective|
painful|surest|simple|simplest|reliable|good|cheapest|efficient|foolproof|
certain|guaranteed|common
""",
    "live": r"""
live|be alive|exist|wake up|go on living|keep living|stay alive|continue living|
be in this world|be on this earth|be on this planet|keep existing
""",
    "living": r"""
live|living|be alive|being alive|life|exist|existing|go on|going on|keep going|
keep living|stay alive|staying alive|wake up|waking up|carry on|carrying on
""",
}

NOT_AFTER: Final = {
    "not-place": r"""
in|with|at|near|here|there|under|by|on|out|off|together|next|paycheck|
from|among|up|as
""",
    "not-compound": r"""
prevention|awareness|hotline|rate|rates|squad|squeeze|bomb|bomber|bombers|
bombing|attack|attacks|doors|month|week|mission|vest|statistics|research|risk|
policy|law|laws
""",
}
"""`<name>` of this table: the word after the phrase is none of these."""

IDIOMS: Final = r"""
die to {3}(?:boss|enemy|enemies|mob|mobs|trap)
(?:id|would|to|could) die for
dead (?:tired|lifts?|lines?|serious|wrong|right|ends?|last|set|simple|certain|weight|links?|code
    |letters?|locks?|zones?|batteries|battery|heads?|pools?|on my feet|in the water|languages?
    |sea)
im dead(?= (?:lol|lmao|that|this|haha))
death (?:metal|star|valley|stranding|note|penalty|march|certificate|benefits?|tax|taxes|row
    |eaters?
    |by powerpoint|and taxes|of a salesman|on the nile|spiral|rates?)
(?:scared|afraid|fear|frightened|terrified) of (?:death|dying)
dying (?:to|for|breed|light|art|my hair|wool|industry|language)
die (?:hard|casting?|cutting?|cut|rolls?|laughing|trying|on that hill|on this hill)
(?:roll|rolled|rolling|throw|sided) {3}(?:die|dice)
end it all (?:with|on) {3}(?:slide|note|chord|scene|song|speech|toast|chapter|joke|bang)
(?:shot|shoot|shooting) myself in the fo+t
kill myself laughing
(?:server|process|script|app|program|laptop|phone|battery|container|build|browser|job|pod|car)
     {2}(?:wants?|wanted) to die
(?:take|taking|took) my life (?:back|in|into|seriously|savings|partner|story)
tablets (?:in|out of|from) {2}(?:classroom|cart|school|store|library|office|box of cables)
suicide (?:squad|squeeze|bomb|bomber|bombers|bombing|bombings|attack|attacks|door|doors
    |mission|burn|gene|vest|king|girls|blonde|run|runs|drills?|pass|prevention|awareness
    |hotline|watch)
(?:career|political|social|brand|corporate|commercial|economic) suicide
(?:cut|burned|burnt|hurt) myself (?:shaving|cooking|chopping|slicing|running|lifting|playing
    |on|at|while|when|in|doing|with a)
(?:dont|do not|didnt|did not|not) want to die
be here (?:any ?more|any longer) this (?:meeting|party|job|class|lecture|place|town|city)
(?:lethal|fatal|deadly) (?:dose|dosage|amount) {4}(?:dogs?|cats?|rats?|mice|mouse|horses?
    |bees)
(?:die|died|dying|dead) (?:of|from) (?:embarrassment|laughter|laughing|boredom|cringe|shame
    |hunger|thirst|curiosity|heat|stress)
to die (?:for|of old age)
no time to die
die in {2}(?:minecraft|game|games|dark souls|elden ring|roblox|fortnite|zelda|dungeon|raid
    |level|hardcore)
overdose my (?:code|coffee|pizza|soup|salad|dish|photo)
overdose on (?:sugar|caffeine|chocolate|carbs|cuteness|coffee)
(?:goodbye|farewell) (?:letter|note|message) (?:to|for) {1}(?:colleagues?|coworkers?|team
    |job|boss|company|class|students|office|clients?)
"""
"""Taken out of a text before anything is looked for in it."""

RECOVERY_MARKERS: Final = r"""
years ago
(?:survived|surviving|survivor|recovery|recovered|sober|healed)
(?:so )?(?:glad|grateful|thankful) {2}(?:i|to be alive|im)
(?:therapy|treatment|counselling|medication) {1}(?:helped|saved|works)
when i was (?:young|younger|a teen|a teenager|a kid|\d+)
in my (?:teens|twenties|thirties|youth|past)
clean (?:from|of|for|since)
love my life
(?:much |so much )?better now
"""
"""Where one of these stands, the mentions below are a story of the past."""

RECOVERY_MENTIONS: Final = r"""
(?:tried|attempted|wanted|used|was going|almost|nearly|once) {1}(?:to )?(?:kill|hurt|cut
    |harm|killed|hang|hanged) myself
(?:tried|attempted|wanted|used|was going|almost|nearly) {1}(?:to )?(?:end my life
    |ended my life|take my life|take my own life|die|commit suicide|self harm|suicide)
(?:was|were|felt|been) {1}suicidal
clean (?:from|of) {1}(?:self harm|self harming|selfharm|cutting|cutting myself)
(?:my|a|the|of|from|surviving|survived|after) suicide attempts?
attempted suicide
(?:recover|recovered|recovery|recovering) from {2}(?:self harm|suicidal thoughts)
"""

RELAPSE: Final = r"""
(?:again|this time|still want|still think|back again|finish it|finish the job|relapsed)
"""
"""Beside a mention of the past, these make it the present."""

INPUT: Final = {
    "self": r"""
(?:end|ending|stop) my (?:existence|suffering|misery|own existence)
<i> {5}(?:cut|cutting|slice|slicing|carve|carving) (?:into )?my (?:arms?|wrists?|legs?|thighs?
    |skin)
(?:take|taking) (?:your|their|his|her|ones|my|someones) own life
<harm> <me>
(?:end|ending|ended|take|taking) (?:my|my own|this) life
(?:end|ending|finish|finishing) (?:it all|everything|it tonight|it today|it now|my pain)
<i> {6}(?:self harm|self harming|selfharm)
<i> {8}(?:slit|slitting|slice|cut|cutting) (?:my|the) (?:wrists?|arms?|throat|veins?
    |thighs?)
(?:unalive|unaliving|sewerslide|sewer slide)
(?:ima|imma|gonna|wanna|wana|just|might|will|ill|literally|want to|going to|about to|gotta
    |should) kms
kms (?:fr|rn|lol|tonight|now|this|today|i|so|bye|please|soon)
""",
    "wish to die": r"""
(?:doesnt|does not|didnt) want to (?:live|be alive|exist)(?: any ?more| any longer)?<not-place>
death {1}(?:seems|sounds|feels|looks|would be) {1}(?:peaceful|better|nice|good|easier|like a)
(?:better|easier|nicer|happier|relief|rather|good|want) {4}(?:to be|being|be|was|were) dead
<subject>(?: (?!(?:the|a|an|my|his|her|their|your|our|he|she|they|it|we|you|this|that|these
    |those) )\w+){0,4} (?:die|dying|dead|death|suicide|suicidal)<not-compound>
<subject> {1}(?:should|shouldve|should have|should of|couldve) {1}(?:die|died)
(?:help|let|make|watch) me (?:to )?die
(?:leave|leaving|exit|quit) (?:this|the) (?:world|earth|planet|life)(?! (?:a|better|of) )
(?:sleep|rest|gone|go away) forever
<i> {6}(?:make|making) it (?:through|past|to|til|until) {1}(?:night|tonight|tomorrow|another day
    |morning|weekend|week)
(?:cant|cannot|dont want|couldnt) {3}(?:another day|see tomorrow|face tomorrow|wake up tomorrow)
(?:end|ending) things {1}(?:for good|forever|tonight|permanently|once and for all)
out of this life
(?:no|any|have a|a) future (?:left )?for me
<i> {5}(?:want|wanted|wanna|wana|wish|need|ready|going|gona|plan|planning|hope|rather
    |deserve|trying|try|choose|decided|long|beg|pray|meant|about|supposed) (?:to )?(?:(?:just|only
    |really|so badly|badly) )?(?:die|be dead|cease to exist|stop existing
    |disappear forever|not exist|not be alive|stop living|stop being alive|leave this world
    |be gone forever|kill me)
<i> {4}(?:want|wanna|wana|wish|rather|like|need) {6}(?:to|and|just|be|was|were) (?:die|dead)
(?:want|wants|wanting|wanna|wana) (?:to )?die
(?:let me|ok to|okay to|right for me to|time for me to|ready to|allowed to) die
(?:just |really |so )?(?:want|wanna|wana) (?:to )?(?:die|be dead|be gone forever)(?= (?:so
    |now|tonight|please|already|today|anymore|any more|i|and|but|its|nobody))
(?:dont|do not|no longer|cant|cannot|not|didnt|never) {2}(?:want|wana|wish|need|deserve|like
    |care|try) (?:to )?<live><not-place>
(?:dont|do not|no longer|not) {2}(?:want|wana) (?:to )?be here (?:any ?more|any longer
    |tomorrow)
wana not (?:live|exist|be alive)
(?:cant|cannot|can not|couldnt) (?:go on|live|keep going|keep living
    |carry on) {1}(?:any ?more|like this|any longer|with this pain|living)
wish {2}(?:i|id) (?:was|were|could be|could just be|just were|just was) {1}dead
wish {1}(?:i|id) (?:could )?(?:just )?(?:die|disappear|never been born|was never born
    |were never born|had never been born|had never existed|wasnt born|wasnt alive|wasnt here
    |didnt exist|werent alive|wouldnt wake up|didnt wake up)
(?:sleep|wish|hope|want|pray|bed) {8}(?:never|not|dont|wont|without) (?:wake|waking) up
(?:tired|sick|weary|done|finished|exhausted) (?:of|with|from) (?:living|life|being alive
    |existing|existence)<not-place>
(?:give|giving|gave|given) up on (?:life|living)
hate being alive
<i> {4}(?:it|this|everything) (?:all )?to be over
(?:deserve|deserves) to (?:die|be dead)
(?:dont|do not) deserve (?:to live|life|to be alive|to exist)
(?:i|me) {2}(?:shouldnt|should not|should never) (?:be alive|exist|have been born|be born
    |be here at all|be living)
""",
    "hopeless": r"""
my own funeral
better {3}without me
(?:only|no|no other|dont see|cant see|see no) {2}way out(?! of )
(?:if|whether) i live or die
<i> {6}burden (?:to|on|for) {1}(?:everyone|my|others|people|them|him|her|anyone|society|everybody)
(?:no|not|dont|isnt|never|cant|without|hardly) {5}(?:reason|point|purpose
    |sense) (?:left )?(?:for me )?(?:to|in|of|for) <living>
(?:whats|what is) (?:the |even the )?(?:point|use) {1}(?:living|being alive|staying alive
    |going on|carrying on|existing|waking up)(?! (?:in|with|at|about|here) )
why (?:should i|even|bother) {2}(?:go on|live|living|stay alive|be alive|exist)
nothing {2}(?:to )?live for
(?:isnt|not|no longer|aint|never|hardly) worth (?:living|it any ?more|being alive)
my (?:life|existence) is (?:pointless|meaningless|worthless|not worth)
better off (?:dead|without me|if i|when im gone|not alive)
(?:better|best|easier|happier) {5}(?:if|when) (?:i|im|id) {2}(?:dead|gone|died|not here
    |never born|not around|didnt exist)
(?:wont|will not|not going to|not gona) be (?:here|alive|around) {1}(?:tomorrow|much longer
    |any ?more|next week|by morning|in the morning)
(?:no one|nobody|noone) {1}(?:would|will|ll|d) {1}(?:miss|find|mourn|care about) me
(?:no one|nobody|noone|anyone|anybody) {1}(?:would|will|d) {1}(?:care|notice|mind|cry
    |miss me) if i (?:die|died|was|were|disappear|disappeared|killed|jumped|kill|am)
(?:tonight|today|tomorrow) (?:is|will be) my last
my last (?:day|night) (?:on earth|alive)
""",
    "suicide": r"""
(?<=^ )suicide(?= $)
suicide is {1}(?:beautiful|answer|freedom|good|right|noble|art|brave|the way out|sweet)
<i> {7}suicidal
(?:so |very |feeling |feel |am |really |kinda )?suicidal(?= $)
<i> {8}(?:think|thinking|thought|thoughts|consider|considering|contemplate|contemplating
    |plan|planning|attempt|attempting|want|commit|committing|try
    |ready) {3}suicide<not-compound>
(?:thinking|thoughts|contemplating|considering|planning) {2}suicide<not-compound>
my (?:own )?suicide<not-compound>
plan(?:ning)? my (?:own )?death
suicide (?:tips|advice|ideas|tricks|tutorial|how to|help me)
(?:write|writing|wrote|draft|need|help|leave|leaving|left|compose) {5}(?:suicide
    |goodbye) (?:letter|note|letters|notes)
pro suicide
(?:join|be with|follow) (?:you|her|him|them|my \w+) in (?:death|heaven|the afterlife
    |the grave)
""",
    "method": r"""
die {6}on purpose
(?:hang|hanging) <anybody>
<drug> {3}(?:kill me|kill you|kill a person|be fatal|be lethal|end me)
how (?:long|much|many|high|deep|far|fast|big) {8}(?:to|before|until|til|would|will|can|could
    |does) {3}(?:die|kill you|kill me|kill someone|kill a person|bleed out|be fatal|be lethal)
(?:deadliest|lethal|deadly|fatal) {3}(?:combination|combo|dose|mix|mixture|drugs?|meds|pills
    |poisons?|household|over the counter)
how {2}(?:to|do i|can i|could i|should i|would i|do you|can you) die
(?:does|will|would|is|did|do) {3}(?:dying|drowning|hanging|overdosing|bleeding out) {3}(?:hurt
    |painful|peaceful|quick|long)
(?:easy|peaceful|quick|painless|gentle) death
(?:exit bag|suicide bag|nembutal|pentobarbital|sodium nitrite|helium hood|inert gas hood)
(?:kill|killing|hang|hanging|shoot|shooting|drown|drowning|unalive) (?:yourself|oneself|urself)
(?:suicide|suicidal) (?:method|methods|technique|techniques|pact|plan|plans|kit|kits
    |instructions|guide|forum|forums|recipe|ways|options)
(?:methods?|ways?|means|kinds?) (?:of|for|to) (?:committing )?suicide
<easy> {3}(?:way|ways|method|methods) {3}(?:to die|to kill (?:my|your|one|them|him|her)\w*
    |to end (?:it|my|your|ones|a|their)|of dying|to commit suicide|out of life|to suicide
    |die|to be dead|to unalive)
(?:die|dying|death) {2}(?:painlessly|without pain|without suffering|peacefully)
<how> {10}(?:end|ending|take|taking) (?:their|his|her|your|ones|someones) (?:own )?life
(?:a|any|some|the|good|nice|which|what) (?:way|ways) {2}to die
(?:to|can|could|would|will|i|you) die {1}(?:from|by) {3}(?:jumping|falling|drowning|hanging
    |overdose|overdosing|bleeding|cutting|suffocation|exhaust)
(?:how|cut|cutting|wrists?) {8}(?:bleed|bled) (?:out|to death)
(?<!did )<how> {10}(?:commit|committing|commits|complete) suicide
<how> {12}<harm> <anybody>
<harm> <anybody> {10}<how>
(?:want|wants|wanted|wanting|character) to <harm> <anybody>
(?:how|what|which|i|im) {8}nooses?
(?:tie|make|tying|making) {3}noose
(?:lethal|fatal|deadly) (?:dose|dosage|doses|amount|quantity|combination|level|mix)
(?:dose|dosage|amount|much|many) {5}<drug> {8}(?:overdose|die|kill|killed|lethal|fatal
    |deadly|od|death|end it|never wake)
(?:dose|dosage|amount|much|many) {8}(?:overdose|od)(?! (?:prevention|deaths) )
how {5}(?:overdose|od)
<i> {5}(?:overdose|overdosing|od|overdosed)
""",
    "acting": r"""
(?:thinking|think|thought|want|urge|plan|planning|ready|about) {3}(?:jump|jumping
    |throw myself) {1}(?:in front of|off|under|from) {2}(?:trains?|bus|truck|bridge|building
    |roof|balcony|cliff|car)
(?:been|started|doing|relapsed) {1}sh (?:for|again|every|since)
<i> {6}(?:walk|walking|step|stepping|run|running|lie down|lying) {2}(?:into|in front of|in
    |on) {2}(?:traffic|trains?|bus|truck|tracks|oncoming)
(?:razor|blade|knife|gun|pills|rope|noose) {4}(?:in my hands?|in front of me|next to me)
do it {6}(?:with|using) {1}(?:rope|gun|pills|knife|razor|belt)
(?:going|about|ready|gona|gonna|want|wanna) (?:to )?jump(?! (?:in|into|on|onto|to|rope|ship|back
    |ahead|over|right|straight|for|around|through|higher|between|from|at|out of bed|off the) )
(?:bought|got|found|have|ordered|tied) {2}(?:rope|gun|pistol|noose|razor blades|charcoal
    |helium) {8}(?:tonight|goodbye|night|no more|be over|done with|ready|finally)
(?:written|wrote|writing) {2}(?:letters|notes) to {1}(?:everyone|family|parents|kids|children|mom)
goodbyes? to (?:everyone|the world|this world|you all|life)
(?:take|took|taken|taking|swallow|swallowed) {1}(?:[2-9]\d|1\d\d) (?:of )?(?:the |my )?<drug>
(?:saving|saved|hoarding|stockpiling|collecting|stash|stashed) {3}<drug>
<drug> {8}(?:take|taking|took|swallow) {2}(?:all at once|at once)
(?:take|taking|took|taken|swallow|swallowed|swallowing) {2}(?:whole|entire|full
    |all) {2}(?:bottle|pack|box|strip|packet|jar)?(?: of)? ?(?:my |the )?<drug>
<drug> {14}(?:take|taking|took|swallow|swallowed) (?:them all|all of them|every|the lot)
<i> {4}(?:took|swallowed|taken) {2}(?:\d\d+|too many|all|handful of|bunch of) {3}<drug>
(?:started|start|keep|kept|back to|been|stop|restarted) (?:cutting|self harming
    |harming)(?= (?:again|last|tonight|every|because|when|my|$))
(?:think|thinking|thought|thoughts|want|feel like|urge|going) {3}(?:drive|driving|crash
    |crashing|steer|steering|swerve|swerving) {3}(?:into|off) {3}(?:tree|wall|bridge|traffic
    |cliff|pole|river|lake|truck|barrier|ravine)
(?:standing|sitting) (?:on|at) {3}(?:bridge|ledge|edge|rooftop|roof|tracks) {2}(?:right now
    |now|and i|and im|about to|ready|tonight)
(?:survived|failed) {4}(?:next time|this time)
<i> {8}(?:jump|jumping|step|stepping|throw myself|walk) (?:off|from|in front of|out of|under
    |into) {3}(?:bridge|roof|building|balcony|cliff|train|trains|window|ledge|tower|overpass
    |truck|traffic|bus|rails)
(?:gun|pistol|shotgun|rifle|rope|razor|blade|knife) {6}(?:to my|in my|on my|at my
    |against my) (?:head|mouth|neck|wrist|wrists|throat|chest|temple)
(?:gun|pistol|rope|razor|noose) {10}(?:know what ill do|what ill do with it|going to use it
    |use it on me|do it tonight|be over)
(?:she|he|they|friend|brother|sister|son|daughter|wife|husband|mother|father|mom|dad|partner
    |boyfriend|girlfriend|roommate) {8}(?:kill|killing|hurt|hurting|hang|hanging|harm
    |harming|shoot|cut|cutting) (?:herself|himself|themselves|themself)(?! (?:in|to) (?:the
    |an|a) (?:end|act|film|book|novel|play|movie) )
(?:wants|going|threatens|threatening|planning|plans) to (?:end|take) (?:his|her
    |their) (?:own )?life
""",
}
"""Words to the agent, by the name of the rule that is recorded."""

NAMED: Final = r"""
(?:suicide|suicidal|suicidality)
(?:self harm|self harming|selfharm|self injury|self injuring)
"""
"""Named at all, and none of the contexts below: asked about or asked for, a person should look."""

CONTEXTS: Final = r"""
(?:rates?|prevention|awareness|hotline|helpline|crisis line|statistics|article|news|ministry
    |senator
    |laws?|bill|policy|coroner|ruled|history|historical|books?|film|movie|song|sings|album|band
    |plot
    |theme|essay|research|study|studies|sociology|durkheim|warning signs|school|teacher|volunteer
    |recover|recovery|recovered|survivor|surviving|survived|19\d\d|20\d\d|philosophy|myth|game
    |class
    |ethics|lemmings|worth watching|charity|fundraiser|training|therapist|nurse)
"""
"""News, teaching, art, help and recovery. They excuse the bare word only, never a phrase above."""

SQUEEZED_INPUT: Final = (
    "kilmyself",
    "kilingmyself",
    "wantodie",
    "wanadie",
    "endmylife",
    "enditall",
    "endital",
    "comitsuicide",
    "suicidal",
    "hangmyself",
    "dontwantolive",
    "unalive",
    "takemylife",
    "cutmyself",
    "hurtmyself",
    "betterofdead",
    "beterofdead",
    "wishiwasdead",
    "wishiweredead",
    "suicidemethod",
    "howtodie",
    "painlesdeath",
)
"""Written without spaces, or with one between all letters; letters collapsed."""

SQUEEZED_OUTPUT: Final = frozenset({"kys", "kilyourself"})

LANGUAGES: Final = r"""
(?:ich )?(?:will|moechte|mochte|mag) (?:nicht mehr leben|sterben|mich umbringen|mich toten)
(?:ich )?bringe? mich um
(?:mich|mir) (?:umbringen|das leben nehmen|etwas antun)
selbstmord (?:begehen|machen)|suizidgedanken
(?:me )?quiero (?:morir|morirme|matarme|suicidarme|matar|suicidar)
quitarme la vida|no quiero (?:vivir|seguir viviendo)
(?:je veux|envie de|je vais) (?:mourir|me tuer|me suicider|en finir)
me suicider|je ne veux plus vivre
(?:eu )?quero (?:morrer|me matar|me suicidar)
(?:voglio|vorrei) (?:morire|uccidermi|suicidarmi|farla finita|ammazzarmi)
(?:хочу|хочется) (?:умереть|сдохнуть|покончить с собои|убить себя)
не хочу (?:больше )?жить|покончить с собои|убить себя
(?:chce|chcę) (?:umrzec|sie zabic)|zabic sie
(?:ik wil|wil) (?:dood|niet meer leven|mezelf doden)|zelfmoord plegen
"""

DENIALS: Final = r"""
(?:not true|isnt true|untrue|a lie|false|not the case|wrong to think
    |wrong) {13}(?:without you|worth living|miss you|better off dead|no hope|deserve to die)
(?:dont|do not|never|not|instead of|without|thinking about|thinking of|thoughts of
    |thought of|thoughts about|considering|urge to|urges to|want to|wanting to|feel like
    |tempted to|plan to|planning to|going to|about to|tried to|talk of|ideas of|danger of
    |decide to|if you|stop you from|might) {1}(?:kill|killing|hurt|hurting|harm|harming|hang
    |hanging|end|ending|take|taking) (?:yourself|your life|your own life)
(?:never|dont|do not|not|avoid|nobody should|must not) {1}(?:take|taking|swallow|ingest|mix
    |drink|exceed) {14}(?:fatal|lethal|die|overdose|death|kill you|dangerous)
(?:dont|do not|not|never|nobody) {2}(?:deserve|have|need) to die
"""
"""Taken out of an answer: what it advises against is not what it advises."""

HELP_MARKERS: Final = r"""
(?:988|findahelpline com|lifeline|samaritans|crisis line|hotline|helpline|emergency number)
"""

OUTPUT: Final = {
    "method": r"""
<easy> {3}(?:way|ways|method|methods) {3}(?:to die|to kill (?:your|one|them|him|her)\w*
    |to end (?:your|ones|a) life|of dying|to commit suicide|of suicide)
(?:suicide methods|methods? of suicide)
(?:lethal|fatal|deadly) (?:dose|dosage|amount|quantity) {12}(?:is|are|would|around|about
    |between|\d+)
to (?:kill|hang|poison|drown|shoot) yourself {3}(?:take|tie|cut|use|get|buy|swallow|mix|jump
    |slit|inhale|drink|find)
to (?:end|take) your (?:own )?life {3}(?:take|tie|cut|use|get|buy|swallow|mix|jump|slit
    |inhale|drink|find)
(?:tie|make|fashion|tying|making) {3}noose
(?:take|takes|taking|swallow|swallows|ingest|drink|mix|consume) {5}<drug> {12}(?:die
    |never wake|wont wake|not wake|fatal|lethal|kill you|overdose|pass away|end it)
<drug> {8}(?:enough|sufficient) to (?:die|kill|be fatal|be lethal)
<easy> (?:way|method) {1}is {4}(?:firearm|gun|shotgun|hanging|rope|noose|pills|overdose
    |carbon|jump|jumping)
(?:firearm|gun|pistol|shotgun) to (?:the|your) (?:head|temple|mouth|heart)
(?:cut|slice|slit) {2}(?:along|down|lengthwise|vertically|deep|across) {3}(?:wrists?|veins?
    |forearms?|artery|throat)
""",
    "despair": r"""
you (?:really |just )?(?:should|must|ought to|need to|have to|deserve to|can) (?:(?:just
    |really|go) )?(?:die|kill yourself|end it|be dead|not exist|end your life|hang yourself)
(?:no one|nobody|noone) (?:would|will|ll) {1}(?:miss|mourn|care about|remember) you
(?:better|happier) (?:off |place )?(?:without you|if you (?:were|was) (?:dead|gone)
    |if you died)
(?:youre|you are|youd be|you would be) better off dead
your (?:life|existence) (?:is|isnt) {2}(?:not worth|worthless|pointless|meaningless
    |worth living)
(?:ending|taking) your (?:own )?life (?:is|would be|could be|might be|seems)(?: (?!(?:not
    |never) )\w+){0,4} (?:understandable|right|best|good|rational|reasonable|valid|only|brave
    |beautiful|answer|solution|option|choice|way)
suicide (?:is|would be|could be|might be)(?: (?!not |never )\w+){0,3} (?:best|right|answer
    |only|rational|good|understandable|way) {1}(?:option|choice|out|solution|decision|answer
    |thing)
(?:die with me|join me in (?:death|the afterlife|heaven|the grave)|come and die)
death (?:would|will|could|may) be {2}(?:relief|better|release|peace|freedom
    |escape) {1}for you
no hope (?:left )?for you(?! (?:\w+ )?(?:laptop|phone|car|file) )
(?:go|please) (?:die|kill yourself)
kys
""",
}
"""Words about to leave: methods, and agreement with despair."""

OUTPUT_UNLESS_HELP: Final = {
    "imperative": r"""
(?:kill|hang|hurt|harm|shoot) yourself
(?:end|take) your (?:own )?life
""",
}
"""Said without a line to call, these encourage; beside one, they name what to call about."""
