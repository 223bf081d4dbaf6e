"""The concepts and phrases of the crisis screen: data for `runtime.core.crisis`, which reads them.

Entries are "name: text", parted by ";", phrases by " / ". Texts come in normal words: lower case,
no apostrophes, "cant" is "can not", "never" is "not". `<name>` is one of those WORDS, `<!name>`
forbids them next; `word~` has endings; `{n}` is up to n words, `[n]` up to n that say little (but
no "not": a denial breaks the phrase), `$` the end. A phrase begins with a word. Pinned.
"""

from typing import Final

WORDS: Final = r"""
i: i|id|ill; whose: my|your|his|her|their|ones|someones|our|my own|your own|his own|her own|their
 own; me: me|him|her|them; die: die~|dead|dying|death; fatal: die~|dead|dying|death|kill~|fatal|
 lethal|deadly|overdose|od|finish me|not wake|not survive|unconscious|pass away|end it|end me; end:
 end it|be dead|die|suicide|not wake|not survive|disappear forever|stop existing|not exist|bleed
 out; live: live|exist|be alive|stay alive|stay|wake up|get up|go on|carry on|keep going|keep
 living|keep fighting|keep trying|continue|survive|breathe; living: living|life|existing|existence|
 being alive|staying alive|waking up|getting up|breathing|going on|carrying on|surviving|keeping
 going; alive: <live>|<living>|alive; soon: tonight|today|tomorrow|now|right now|soon|forever|for
 good|for ever|this time|once and for all|permanently|for real|$; again: any more|tomorrow|at all|
 like this|another (day|night|week|year)|$; wish: want~|wish~|hope~|need~|rather|prefer|long~|yearn|
 crave~|beg~|pray~|ready|prepared|plan~|intend|decided|determined|going|try~|tried|choose|chose|
 deserve|tempted|urge~|think~|thought~|consider~|contemplate~|fantasize~|fantasise~|dream~|imagine~|
 daydream|obsessed|meant|must|should|supposed|desire|willing|close; lethal: kill~|hang~|shoot~|
 drown~|stab~|starve~|poison~|off~|end~|neck~|rope~|unalive|suicide|asphyxiate|suffocate~|
 electrocute|murder~|strangle~|overdose~; hurt: hurt~|harm~|cut~|burn~|burnt|scratch~|hit~|punch~|
 bite~|biting|bruise~|punish~|injure~|slap|choke~|destroy~|carve~|slit~|slice~|slash~; anybody:
 themselves|himself|herself|oneself|ones self|yourself; drug: drug~|pill~|tylenol|paracetamol|
 acetaminophen|ibuprofen|aspirin|advil|xanax|benzos?|medicine~|medication|antidepressant~|insulin|
 ambien|opioid~|oxy|oxycodone|fentanyl|morphine|heroin|painkiller~|barbiturate~|cyanide|bleach|
 antifreeze|benadryl|codeine|propranolol|amitriptyline|sertraline|zoloft|prozac|lithium|tramadol|
 vicodin|percocet|valium|diazepam|lorazepam|seroquel|warfarin|methadone|melatonin|vodka|unisom|
 nyquil|dxm|cough syrup|rat poison|pesticide~|drain cleaner|arsenic|ricin|beta blocker~|sedative~|
 sleeper~|gabapentin|mg|poison~; easy: painless|painlessly|easy|easiest|quick|quickest|quickly|fast|
 fastest|best|peaceful|effective|least|less|painful|sure|surest|simple|simplest|reliable|good|
 cheapest|efficient|foolproof|certain|guaranteed|common|gentle|nicest; ask: how|what|which|where|is|
 are|does|do|will|would|can|could|did|if|whether|when; gun: gun|guns|weapon|pistol|shotgun|rifle|
 glock|revolver|handgun|barrel|noose|razor~|blade~|razorblade~|rope|scalpel|bullet~|sidearm; means:
 <gun>|bleach|pill~|knife|belt|insulin|helium|charcoal|poison; height: bridge~|roof~|rooftop|
 building|balcony|cliff~|ledge~|tower|overpass|window|car park|parking garage|viaduct|railing|
 parapet|floor|highrise|skyscraper; vehicle: train~|bus|truck~|lorry|car|cars|traffic|tram|subway|
 metro|rails|tracks|oncoming; person: friend~|mate|buddy|brother|sister|son|daughter|kid|child|wife|
 husband|partner|boyfriend|girlfriend|bestie|mother|father|mum|dad|roommate|flatmate|coworker|
 colleague|neighbour|neighbor|student|pupil|patient|client|guy|girl|boy|someone|cousin|uncle|aunt|
 nephew|niece|grandpa|grandma|grandfather|grandmother|granddad|nan|teen|teenager|ex|he|she|they|him|
 her; others: everyone|family|kids|children|parents|wife|husband|mum|dad|mother|father|son|daughter|
 friends|they|them|him|her|world|people|he|she|you|anyone|others|brother|sister|loved ones; body:
 arm~|wrist~|thigh~|leg~|skin|stomach|flesh|hip~|ankle~|forearm~|body|throat|vein~|belly|neck;
 place: in|with|at|near|here|there|under|by|on|out|off|together|next|paycheck|from|among|up|as|
 without|to|the|a|an|early|late|for|this|through|monday|tuesday|wednesday|thursday|friday|saturday|
 sunday|before|abroad|alone|hungry; things: the|a|an|my|your|his|her|our|their|some|any|rabbit|
 chicken|fish|brake~|radiator~|down|out|back|off|board|carbs|sugar|costs|edge|corners|up|tree~|
 grass|hair|vegetables|into|through|class|from; compound: prevention|awareness|hotline|rate~|squad|
 squeeze|bomb~|bomber~|attack~|door~|month|week|mission|vest|statistics|research|risk|policy|law~|
 zone|line~|end|metal|star|valley|stranding|note|penalty|march|serious|tired|battery|weight|pool|
 lift~|sea|pixel|leaves|leaf|tree|link|code|people|poets|man|body|language|silence|calm|set|sure|of;
 cause: of|in|during|at|while|on|every|with|like|when|laughing|before|trying|hard|again; list: from|
 off|out|up|as|laughing|shaving; self: <i>|me|my|myself|mine; dying: die|dying|dead|death|suicide|
 heaven|grave|afterlife|coffin|noose|corpse|hang|hanging|drown|drowning|overdose|overdosing; killed:
 die~|death|dead|kill~|suicide|fatal|lethal|deadly|noose|hang|hanging|lethality|overdose; life:
 life|live|living|alive|exist|existing|existence|earth; torment: curse|hurt|trapped|torture|
 unbearable|agony|hopeless|pointless|worthless|meaningless|suffering|pain|painful|hurts|hell|
 nightmare|misery|miserable|empty|emptiness|numb|broken|ashamed|shame|guilt|despair|useless|
 darkness|hollow; stop: end~|over|stop|out|gone|finish|finished; final: forever|permanently|goodbye|
 farewell|tonight|soon|finally|last|final|ever|date|letter~|note; trouble: note|cuts|locked|crying|
 cried|drunk|screaming|veteran|upset|threaten~|says|said|told|sent|texted|posted|promised|picture|
 photo|ask~|keeps|alone|bathroom|goodbye|sad|depressed|answering|plan|teeth|mouth|head|temple|
 bridge; strong: enough|fastest|quickest|painless|painlessly|easiest|lethal|fatal|deadly|dangerous|
 friendly|sure|effective|strongest|combine|combination|survive|saved|hoarded|purpose|forever|trace;
 heights: <height>|platform|train~|tracks|height~|storey~|story|stories; jump: jump~|leap~|falling|
 fall|step; cut: cut~|carve~|slit~|slice~|burn~|lighter|cigarette~|razor|blade|compass|bleed~|blood;
 way: way~|how|method~|what|which|list|easiest|best|does|is|would|will|can; peace: painless|
 painlessly|painful|hurt|peaceful|peacefully|quick|quickly|fast|easiest|pain|gentle|sleep; demise:
 die|dying|death|hang~|drown~|starve~|freeze~|suffocate|bleeding|jump|go|overdose; drawn: keep~|
 google~|staring|stare|drawn|pull~|calling|calls|visiting|visit|watching|looking; edge: bridge~|
 roof~|rooftop|ledge~|balcony|cliff~|tracks|rails|parapet|noose|blades|rafters|beam~; release: see|
 real|feel|felt|calm~|relief|relieved|helps|relapsed|deserve~|numb|punish; planned: plan~|note|
 goodbye|waking|breathing|responding|unconscious|swallowed; ask_x: wie|wieviele|viele|como|comment|
 combien|cuanto~|cuanta~|quanto~|quanta~|metodo~|methode|mejor|manera; die_x: sterben|todlich|
 todliche|umbringen|morir|morirme|matarme|suicidarme|ahorcarme|cortarme|letal|mourir|mortel|
 mortelle|suicider|morrer|suicidar|matarse|suicidarse; weary_x: cansado|cansada|harto|harta|lust|
 bock|mude|marre|fatigue|fatiguee|asez|cansei|farto|farta; life_x: vivir|leben|vivre|viver|lebens|
 existir|exister; wish_x: quiero|quisiera|ojala|deseo|voy|pienso|ganas|gustaria|prefiero|quero|
 queria|vou|penso|vontade|prefiro|will|mochte|ware|lieber|wunschte|wunsche|voudrais|veux|envie|vais|
 aimerais|prefere; dead_x: tot|muerto|muerta|morto|morta|mort|morte|desaparecer|disparaitre|
 verschwinden|<die_x>; game: damage|rng|spawn|minecraft|gta|skyrim|fortnite|roblox|zelda|elden|
 respawn|speedrun|npc~|sims?|warzone|valheim|dungeon|quest|dota|fallout|lemmings|assassins creed|
 hades|boss|loot|xp|level|in game|video game|tamagotchi|playthrough|stimpaks|lobby; animal: beef|
 lamb|dog~|cat~|bees|ants|lobster~|fish|goldfish|rat~|mice|mouse|weeds|plant~|toddler|mould|mold;
 study: romeo|juliet|hamlet|ophelia|karenina|javert|plath|socrates|cleopatra|turing|shakespeare|
 century|historian~|symbolise|soliloquy|sequel|titanic|verdun|kamikaze|museum|thelma|playwright;
 machine: worker|shutdown|linux|python|docker|thread|process|daemon|server|script|java|kernel|pid|
 signal|queue|pod|sigterm|goroutine|unity|javascript|compiler|buffer|database|cron|systemd|bash|
 laptop|printer|disk|code; kitchen: oven|cook~|chop~|onion~|carrots|vegetables|bread|stove|pizza|
 kitchen|chef|mandoline|bagel|bake~|bbq|lamb; clinic: nose|gum~|surgeon|surgery|operation|carpal|
 stitches|dermatologist|biopsy|nurse|accidentally|accident; care: naloxone|narcan|treat~|treatment|
 reverse|antidote|symptoms of|first aid|vitamin~|gummy|interact|prescribed|safe|safely|maximum|
 vets?; sport: playing|soccer|football|shop|hunting|range|boat|tent|gym|bungee|parachute|
 paragliding|swim~|dive~|climb~|skate|ski|trampoline|workout; leaving: colleague~|retire~|coworker~|
 job|office|resignation|moving|camp|exchange|boarding|graduation|teacher|holiday|airport|shift|taxi|
 story; story: novel|villain|hero|heroine|chapter|film|movie|show|actor|actress|sings?|song|band|
 character|detective|episode|season|scene|plot|mystery|team|company|cells; grief: passed|funeral|
 eulogy|memorial|lost|loss|grief|grieving|mourning|miss him|miss her|buried|ago|uncle|grandfather|
 grandmother|father|mother|widow|widower|late|dad|mum|wife|husband|sister|brother|son|daughter|
 friend|cat|dog|horse; ailment: chronic|back|knee|tooth|stretches|ankle|shoulder|dentist|traffic|
 tests|bug|series; food: beard|sensitive|shave|shaving|carbs|sugar|meat|dairy|calories|lawn|hair|
 grass|costs|budget|wood|paper; doctor: doctor|pharmacist|prescribed|prescription|insurance|dose|
 nurse
"""

CERTAIN: Final = r"""
self: <lethal> myself<!list> / (delete|erase|remove|yeet|throw|hurl|fling) myself {3}(life|world|
 existence|earth|equation|<height>|<vehicle>) / (end~|take~|finish~) <whose> {1}(life|existence)(?!
 (insurance|story|savings|cycle|partner|membership|of) ) / (end~|finish) (it all|everything|my
 (pain|suffering|misery)|(it|things|myself|my (shit|story|days|time)) [1](<soon>|all|myself|on my
 own terms|my own way)) / how {2}(to|i) end things / <i> {2}<wish> [3](suicide|suicidal)<!compound>
 / (i am|to|will|might|should|just|literally|ill) [1](kms|unalive)(?! (the|this|that|a|an|him|her|
 them|all|boss|goblin~|enemy|enemies) ) / kms (kms|fr|right now|lol|tonight|now|this|today|i|so|bye|
 please|soon|if|after) / (someone|somebody|please|god|lord|jesus) {3}(end|kill|shoot|murder|finish|
 smite|take) me<!place> / (guts|courage|nerve|strength|bravery) [1]to (do it|end|die|kill|jump|pull|
 go through|leave this) / (regret|hate|sorry|wish) {3}(surviving|survived|saved me|found me in time)
 / (close~|shut) my eyes [2](one last time|last time|forever|for good|and not) / (hope~|wish|pray~)
 {4}(hit by|run over|shot|killed|murdered) / (imagine~|picture~|fantasise|dream) {4}heart [1](stop~|
 giving out) / to myself [1](tonight|if i|alone|again|right now) / (scared|afraid|worried) {3}what i
 {3}do {1}to myself / not {2}(safe (with myself|alone|from myself)|trust myself (alone|tonight|right
 now|(with|around) (pills|knives|sharp|<gun>))) / talk~ me out of it / (give|tell|any|one|a|need)
 {3}reason~ {2}not {1}(do it|jump|kill|die|end|go through|hang|overdose); wish to die: <i> [5]<wish>
 [6](<die>|<end>|perish|cease to exist|stop living|not (be|being) (alive|here)|not existing|
 suicide)<!compound> / <i> {2}not {3}(want|wish|care|need|like|deserve|intend|bother|mind)
 [2]<alive><!place> / <i> [4](want|ready|wish|need|wait) [4](it|this|everything|life|my life) (all
 )?(to )?(would )?(be over|end|stop)<!cause> / want~ [3](die|be dead)<!cause> / wish~ [2](i|id|he|
 she|they) [5](dead|gone forever|not (alive|born|exist~|been born|here|wake)|disappear|killed) /
 (feel~|felt) [2]like {1}(dying|suicide|ending (it|my|things)|dead inside) / (let|make|help|watch|
 tell|convince|persuade|ask|order|allow) <me> [2](die|suicide)<!cause> / (ok|okay|right|time|ready|
 allowed|better|plan~|wish|urge|courage|reason|place|chose~|decided|deserve~) [2]to (die|be
 dead)<!cause> / not want to (live|be alive|exist|be here) (<again>) / not want to be (a person|
 human|me|conscious|anything|awake|a part of this)<!place> / should [2]not {2}(been born|<live>|be
 born|be here at all|be living)<!place> / (happier|better|easier|rather|prefer|like|wish|want)
 [3]not (exist~|be~ (alive|here)|live|alive|living|wake) / not [2]been born / want to (kill|end
 it)(?= (so|to be honest|right now|$|tbh|lol|fr|today|tonight|now)) / not (be here|be alive|live)
 (any more|tomorrow)<!place> / (do|does|did|can) not {2}(want|wish|care|need|deserve) [2](live|be
 alive|exist~|stay alive|wake up tomorrow|keep living|continue living)<!place> / (better|easier|
 nicer|happier|rather|good|relief) {3}(to be|being|be|was|were|off) dead / (should|could) have
 [1](died|been me|killed me|let go|jumped|drowned|done it) / (sleep|wish|hope|want|pray~|bed|
 disappointed|like|easier|hate) {9}(not|without) [2](wake up|waking up|wake~)<!place> /
 (disappointed|hate|angry|sad|sorry|upset) {3}(woke up|wake up|waking up|still (alive|here|
 breathing)) / (sleep~|rest|slumber|asleep|drift~) {1}(forever|for ever|for good|permanently|
 eternally) / (cease|stop) [1](to exist|existing|being alive|living|breathing) / (tired|sick|weary|
 done|finished|exhausted|bored|through|enough|fed up|over|cba) {1}(of|with|from) [2](<living>|this
 life|this world|my life)<!place> / (give~|gave|given) up on (life|living|my life|everything) /
 (hate~|regret|despise|coward|weak|ashamed|sorry) {2}(being alive|living|that i was born|existing|
 being born|staying alive|still alive) / (leave~|left|exit~|quit|departing) (this|the) (world|earth|
 planet|life)<!compound> / out of this (life|world) (<soon>) / (last|final) (day~|night|hour~|week|
 birthday) {2}(earth|world|planet|alive|life) / why {2}(keep|still) [1](surviving|living|alive|
 breathing|waking up|here) / (want|need) out (of (life|here|this (world|life|body))|$) / (will|
 would) not be alive / better off {1}(in (the|a) (ground|grave)|six feet|with god|in heaven|
 underground|buried) / not [1]want help {3}(want|just|leave|let) / let me go (in peace|please|now) /
 (one less|rid) of me / (strong|brave|weak|tired|sad) {1}to <live><!place> / not {2}(keep|want|go
 on) [1](pretending|doing|to do) {5}(be here|life|alive|living) / not {3}(be alive|live) (for|to
 see|past|until|much longer|long enough) / not {4}live to (see|be|reach) / not belong {2}(earth|
 here|this world|anywhere|alive) / (no|world|not) {3}place for me / should [2]be (gone|dead|erased|
 six feet) / already dead<!compound> / (ready|want|wish|time|like|rather) [1]to go (now|in my own
 way|peacefully|for good|to heaven|$) / (my|his|her|our) time to (go|leave|die); hopeless: worth
 {2}(me|my) {1}(being|living|alive|life)<!place> / (no|any|lost|lose~|without|a|the|out of|one|
 single|my) {2}(reason~|point|purpose|will|desire|sense|strength|use|energy) [3]<alive><!place> / no
 (point|meaning|purpose|reason) [1](to|in|of) (me|life|my life|this life|my existence) / life {1}no
 (meaning|purpose|point|value) / what is [1](point|use) [3]<alive><!place> / nothing {1}[4](live|
 live for|stay alive|keep me here|left for me here|keeps me here) / not [4]worth [1](living|it any
 more|being alive|continuing) / (my|this) (life|existence) [2](pointless|meaningless|worthless|not
 worth) / (life|it) not worth (it|living) / not {2}see myself [2](here|alive|growing|old|being|past|
 making|living|around) / (no|any|a) [1]future [1](for me|left) / why [3](go on|live~|stay alive|be
 alive|exist|wait|breathe)<!place> / not {3}(live|go on|go on living|keep going|carry on|keep
 living) [2](<again>) / i {3}not {2}exist (<again>) / not live with (myself|it|them|that|what|this|
 the) / not {2}(bear|face|take|survive|through|see|endure) {2}(another|one more) (day|night|week|
 year) / make~ it [1](through|past|to|until|til) {2}(night|tonight|tomorrow|day|morning|week|
 weekend|winter|christmas|birthday|year|\d+) / (no|any|other|only|one|single) [1](way|exit|escape|
 option|solution|choice) {4}(<die>|suicide|except one|but one) / (only|no) {2}way out<!cause> /
 (death|dying|suicide|ending it) {3}[2](only|relief|release|escape|peace|solution|answer|exit|way
 out|beautiful|freedom|easier|sweet|comfort|peaceful|nice); burden: (better|happier|easier|relieved|
 relief|richer|freer|nicer|fine|glad|best) {5}(without me|(if|when|once) {1}(i|id) [3](dead|gone|
 died|not|left|disappeared|vanished|go)|i [1](gone|dead)) / better off (dead|without me|if i|when i|
 not alive) / <i> [6](burden|waste of (space|oxygen|air|skin|life|breath)) / worth more {2}(dead|
 than i|than me) / (nobody|anyone|not|who|they) [4](miss|mourn|notice|cry|care|mind|remember|bother|
 find) {5}(i [1](die~|dead|gone|disappear~|killed|jumped|hanged)|my (funeral|death|body)) / (nobody|
 anyone|not|who) [2](miss|mourn|find) me; wish for an end: (wish~|hope~|pray~|want|mind|care|let|
 wait|god|lord|ask) {6}(kill~|hit~|take~|crush|run~ over|end~|strike~|swallow|shoot~|murder~|stab~|
 finish) me<!place> / (hope~|pray~|wish|until|til|want) {6}(heart|organs|body) [2](stop~|give~ out|
 fail~|quit~|give up) / (wish|hope~|pray~) {4}(cancer|a heart attack|terminal|an accident|not
 survive|not make it|it kills|die~) / (<vehicle>|bullet|plane) {2}(hit~|ran over|killed|took) me
 {9}(not|fine|ok|okay|glad|relief|happy) / (disappear|vanish|go away|be (erased|gone)) [1](forever|
 for good|permanently|completely|and not|from this); suicide: (i am|feel~|been|so|very|really|am|is|
 was|be|become|actively|passively|getting|mildly|chronically) [2]suicidal / suicidal (thought~|
 ideation|feeling~|urge~|again|tonight|today|right now|$) / (thought~|think~|contemplating|
 considering|planning|obsessed|attempt~|commit~|try|dream~) [3]suicide<!compound> / suicide
 [2](only|best|beautiful|answer|freedom|good|right|noble|art|brave|way out|sweet|nice|solution) /
 suicide (tips|advice|ideas|tricks|tutorial|how|help|method~|technique~|pact|plan~|kit~|
 instructions|guide|forum~|recipe|ways|options|partner|pill~) / plan~ [2](my|own) [1](death|exit|
 suicide) / (write~|wrote|draft|need|help|leave~|left|compose|my|a|found) {4}suicide (letter~|note~)
 / (method~|way~|means|kind~) [1](of|for|to) {1}suicide / (<easy>|most) [2]suicide<!compound> /
 (join|be with|follow) {2}in (death|heaven|the afterlife|the grave); harm: (make|making) myself
 bleed / cuts {3}deep / (keep|kept|start~|back to|stop~|restarted|resumed|been|began|relapsed?|
 resist|urge|go back) [3](cutting|selfharm|harming|burning myself)<!things> / cutting (is|was|makes|
 helps|calms) / (sh|selfharm) (for|again|every|since|tonight|scar~|mark~|wound~|cuts|urge~) / (i|my|
 me) {6}selfharm<!compound> / (urge|want|need|going|like) [2](cut|selfharm|sh) (again|tonight|so|$)
 / <hurt> myself<!list> / <hurt> {1}(into )?<whose> (arm~|wrist~|thigh~|skin|stomach|flesh|forearm~|
 <body>) / (slit~|slash~|sliced) {2}(wrist~|throat|vein~|arteries) / (hide~|cover~|conceal)
 {3}(cuts|scars|burns|bandages)<!cause> / how deep {3}cut / (need|want~|like|deserve|love|crave|
 have) [3](bleed|pain|suffer|see blood|feel pain|hurt|feel the blade)<!things> / (punish|destroy|
 ruin|starve) my body / (bang~|hit~|smash~|slam|punch) <whose> head / (blade~|razor~) {3}(calling|
 against|hidden|waiting|in my) / i cut(?= (please|and do not|because|when i|to feel|every|since|to
 cope|$)) / (see|seeing|saw) [1]blood / end~ things [1](<soon>)
"""
"""Words to the agent that are answered wherever they stand, by the rule recorded."""

LIKELY: Final = r"""
method: (kill|hang|shoot|drown|unalive) (yourself|oneself) / know {3}(which|where|what) {3}(<drug>|
 <height>|<gun>) / (spot|place) to jump / method~ {3}(painless|<easy>)<!compound> / <ask> {6}<easy>
 {3}(way~|method~|thing|how|means|place) {3}(<die>|<end>|end <whose>|pass away|go out|shoot|to go|
 off yourself)<!compound> / <easy> {2}(way~|method~|means) {3}(<die>|<end>|end (it|<whose>)|kill
 (<whose>|<me>|<anybody>|myself)|out of life|off yourself|go forever) / <easy> [2](death|dying|bleed
 out|hang (myself|yourself)|overdose|od)<!compound> / (<die>|end it|end my life) [2](painlessly|
 without pain|no pain|without suffering|peacefully|at home|in my sleep) / if i (die~|jump~|od|
 overdose) {3}(will|would|tonight|anyone|does|nobody) / how (to|(can|do|does|could|should|would|
 might) (i|you|people|one|someone|a person)) [2](<end>|bleed to death|slit)<!cause> / (to|can|could|
 someone|anyone|you|i|how|many) {1}(overdose|od)<!list> / how (to|can|do|does|would|could|should|
 might|will) {4}((end|take) <whose> {1}life|die by|overdose|od) / (how|way~|method~|step~|explain|
 describe|tell|teach|guide|best|instruct) {8}(commit~|complete) suicide / <ask> {8}<lethal>
 <anybody> / <lethal> <anybody> {10}(how|way|method|without|painless|hurt|instantly|best) / (the|a|
 any|some|good|which|nice|what|about) {1}way~ {1}(to|of) (die|dying|kill myself)<!cause> / way~ to
 die every / take~ (own )?<whose> (own )?life<!compound> / <ask> {8}(jump~|fall~|drop|hang~|noose|
 drown~|bleed~|carbon monoxide|exhaust|helium|nitrogen|bleach|suffocate~|asphyxiate|electrocute|
 inject~|starve~|hypothermia|slit|vein|artery|cut~|overdose~|shoot|shot|antifreeze) {8}(<fatal>|kill
 (you|me)|instantly|survive|hurt|painful|painless|peaceful|quick|quickly|consciousness|for sure|be
 enough)<!cause> / <ask> {10}(<die>|kill (you|me)|fatal|survive|lethal|deadly) {8}(jump~|fall~|
 hang~|drown~|inject~|vein|artery|bleed~|carbon monoxide|exhaust|helium|swallow~|bleach|breath|
 suffocate~|starve~|overdose~|from a car|train) / (how|which|what|is) {5}(high|tall|height|floor|
 building|bridge|story|storey|cliff) {8}(<fatal>|survive) / (how|what|which|i|tie|make~|tying|use)
 {6}noose / (exit bag|suicide bag|nembutal|pentobarbital|helium hood|inert gas|sodium nitrite|sodium
 azide) / (lethal|fatal|deadly|deadliest|toxic) {1}(dose~|dosage|amount|quantity|combination|combo|
 level|mix|mixture|pills|household|over the counter) / (how (many|much|long|big)|amount|dose|dosage|
 quantity|what|is|are|would|will|can|does|if|enough|mix~) {8}<drug> {8}<fatal> / <drug> {5}(enough
 to |do )?((kill|finish|end) (me|you|someone|a person|him|her)|enough to (die|kill|end)|do (it|the
 job)$|ends it) / how many {4}(to|before|until|for) {3}(overdose|od|die|kill me|end it|death) /
 (gas|fumes) {6}(die|kill|deadly) / how (long|many|much|high|deep|far|fast) {8}(<die>|kill (you|me|
 someone|a person|him|her)|bleed out|be fatal|be lethal)<!cause> / (hurt|painful) {2}(hang|drown|
 die|bleed out|starve|freeze|suffocate|overdose)<!cause> / (write|describe|scene|story|novel|
 character|pretend|diary) {14}((hang|kill~|shoot|drown|cuts|poison) <anybody>|suicide {8}(method|
 detail~|exact|step~)) / (dead|late|deceased) {10}(ask~|tell~|invite|beg|want~|call~|come|say|wait~)
 {6}(join|come|follow|be with|waiting|hurry) / (convince|persuade|encourage) {6}<end> / (imagine~|
 think~|planning|decided|know) [1](how|where) {2}do it / by (her|his|their|ones|my|your) own hand /
 look~ like (an accident|i fell|a fall) / stop~ <whose> heart / (exact|amount|dose~|recipe|
 ingredients) {12}(kill~ <anybody>|<fatal>); acting: i {4}(bought|got|found|have|took|stole|
 borrowed) {2}(gun|pistol|shotgun|rifle|glock|rope|noose)<!compound> / <i> {8}(jump~|throw~ myself|
 leap~|step~|hurl) {1}(off|from|in front of|out of|under) {3}(<height>|<vehicle>) / (jump~|walk~|
 step~|run|lie|lying|lay|throw) {3}(in front of|into|under|on) {2}<vehicle> / (going|about|ready|
 want|tell~ me|told me|says) (to )?jump(?! (in|into|on|onto|to|rope|ship|back|ahead|over|right|
 straight|for|around|through|higher|between|from|at|out of|off the) ) / (crash~|drive~|steer|
 swerve~|slam|ram) {3}(into|off|under) {3}(tree|wall|bridge|traffic|cliff|pole|river|lake|truck|
 barrier|ravine|pillar) / <means> {5}((in|on|at|to|against|around|round|under) (my|the) (own
 )?(hand~|lap|mouth|pocket|head|temple|table|bed|desk|chest|chin|heart|<body>)|in front of me|next
 to me|beside me|loaded|with my name) / (<gun>|helium|charcoal|belt) {12}(tonight|goodbye|what i
 will do|use it|be over|chair|ready|finally|with <me>|to myself) / (took|taken|ate|drank|drunk|
 down~|chug~|pop~|inject~|take~|swallow~) {3}(too many|all|whole|entire|full|bottle|handful|bunch|
 everything|pack|box|strip|half a bottle|[2-9]\d|1\d\d|[3-9]\d\d) {4}<drug> / (take~|took|swallow~|
 down~) {2}(whole|entire|full) (packet|bottle|strip|blister|box|pack)(?! of (?!pills) ) / <drug>
 {8}(at once|them all|all of them|the lot|every last one|whole lot|stash~|hoarded|saved up|hidden
 away|ninety|sixty) / (drank|drunk|took|taken|swallow~|stop~|skip~) {8}(on purpose|deliberately|to
 end|because i wanted|and i do not want) / (saving up|saved up|hoard~|stockpiling|stash~|collecting|
 saving) {6}<drug> / (drank|drink~|swallow~|eat|ate|inject~) {3}(bleach|antifreeze|drain cleaner|
 pesticide~|rat poison|detergent|gasoline|petrol|acid|air|poison) / do it {6}(with|using) {1}<means>
 / (starve~|stop~ (eating|drinking|taking)|not eat~|purge~|anorexia|bulimia|calories) {14}(i die|
 kill~ me|heart|death|dead|not wake|waste away|fade away|it ends) / rather die than (gain|be fat|eat
 again|go back|live|face) / (survived|failed|did not work|failed attempt) {5}(next time|this time) /
 (service|loaded) <gun> / (standing|sitting|stood|i am) {1}(on|at|by) {4}(<height>|edge|tracks)
 {6}(right now|now|about to|ready|tonight|come down|jump|reason|goodbye) / let~ go of the (wheel|
 railing|rope|ledge) / garage {6}(motor|engine) / (talk|get|coax) {3}down {6}<height>; another:
 <person> {8}(<lethal>|<hurt>) <anybody> / <person> {7}(want~|wish~|going|threaten~|plan~|say~|said|
 told|text~|keep~|think~|talk~|wrote|post~|rather) {8}(to die|dead|suicide|end it|end <whose> life|
 not (live|be (here|alive)|want to live|go on)|jump off|better off without|joining) / <person>
 [6]suicidal / (wants|going|threaten~|planning|plans) to (end|take) <whose> life; no hope: nothing
 {3}get~ better / (completely|utterly|totally) hopeless / (given|give~|lost|lose~) {2}(all|every)
 {1}hope / no hope [2](left|for me) / (pain|suffering|it all) {3}too much {1}to (endure|bear|handle|
 take|live) / (regret|hate) {4}(born|brought into); farewell: (should|want to|ready to|rather|
 better|ought to) [2](end it|be dead|die)<!cause> / (ok|okay|time|allowed|ready|want|permission)
 [1]to (stop fighting|give up|let go|stop trying)<!cause> / (<others>|someone|who|police|neighbour~|
 landlord|roommate|want) {4}(find~|found) me(?! at ) / (after|once|when|before) {1}i am dead /
 (already|have) [1]said {2}goodbye / (it|all|everything) {2}be over (soon|tonight|tomorrow|by) /
 then [1](it is|it will be|everything is) [1]over / by the time {3}(read~|see~|find~|get|hear|open)
 / (goodbye|farewell|last|final|suicide) {1}(letter~|note~|video) {8}<others> / goodbye to
 (everyone|the world|this|you all|life|all) / (written|wrote|writing) {2}(letters|notes) to
 {1}<others> / (whoever|who|when|until|before|so|nobody) {3}(find~|discover~) (me|my body) / (video|
 message|note|letter|words) {10}when i {1}(ended it|am gone|am dead|die) / not be (alive|around|
 here) {1}(tomorrow|then|to|much longer|any more|by morning|in the morning|when|after) / what i (am
 about|have|am going) to do(?= (tonight|$)) / this {2}(my|the) last (message|post|words|goodbye|
 night|time we|chat) / my (own )?funeral / (tonight|tomorrow|sunday|today) {1}(is|will be) (the
 night|my last|the day i|the end) / (meet~|seeing) my maker / i [1](am going to be|ill be|want to
 be|will be) dead<!compound>
"""
"""Answered unless an excuse stands near."""

HINTS: Final = r"""
goodbye: (goodbye|farewell|bye) (everyone|all|forever|my|world|guys|cruel|i|and i) / (wrote|posted|
 typed|called|rang|texted|phoned|say~|said) {3}(goodbye|farewell) / take care of (my|each other|
 <others>) / thinking of you all / (thank you|thanks) for everything / (sorry|forgive me) {2}(for
 everything|everyone|to everyone|leaving|behind|mum|dad) / forgive~ (you|me|people) {4}(leave~|go|
 gone|for this|for what) / not {2}(your|her|his|their|anyones|my) fault / not blame (yourself|
 <others>|each other) / tell {3}<others> {2}(i (love~|am sorry)|goodbye) / i love you / want you to
 know / (one|the|a) last (time|wish|goodbye|conversation|chat|message|day) / (last|final) (letter|
 message|words|goodbye|post|note|will) / (left|leave~|wrote) {2}(note~|letter~|behind|for good|
 forever); absence: not be (back|here|around|there|coming back|able to) / (after|when|once|before)
 (i am|i have|i will be|he is|she is) (gone|dead|not here|done it|not around) / (before|when|if|let|
 just) (i go|me go|go)(?! (to|on|for|with|over|back|shopping|home|ahead|through) ) / i am gone(?=
 (by|soon|tonight|tomorrow|when|$)) / not (come~|be coming|be) back / (check~|clock~) out / not be
 around / not {1}(come~|going|returning|be) (home|back) / leave~ {1}(it all|this life|life|everyone|
 them all|her|him|everything) / not stay / be done with (it|this|everything|life) / (exit|disappear|
 vanish|in the ground) / (nothing|nobody) [1](keep~|kept|hold~|left) {1}(me|here) / stay~ {1}alive;
 giving: (gave|give~|given|handed|sold|selling) {8}(away|everything|dog|cat|guitar|records|
 belongings|possessions|stuff) / (found|find~) {3}home for {1}(dog|cat|pet~) / (who|whoever)
 {3}(get~|have|has|take) my (stuff|things|dog|cat|guitar) / affairs in order; means: (bought|buys|
 got|has|have|ordered|holding|my|his|her|own~|keep|dads|moms|mums) {2}(<gun>|weapon|shells) /
 (whole|entire|all the|took|take~) {1}(pill~|packet|bottle) / (cliff~|balcony|freight train|
 oncoming|motorway|platform|tracks|rails|bridge|ledge|rooftop|roof|edge of|railing|train line) /
 (cut~|bleed~|blood|scars) / (stop~|refuse~) {2}(eating|his|her|medication|pills|insulin) / (bottle
 of|stack of|pile of|of my|too many) {1}(pills|vodka|sleeping); act: (to|ill|will|am|before i|just)
 {2}(do|doing|end) (it|this) / (go|going) through with it / how {2}do it / want to end it; time:
 tonight is the night / (picked|set|decided|settled|chosen) [2](date|day) / made (up my mind|my
 (peace|decision)) / decided / everything is ready / (this is it|do~ it now) / (soon|finally) {2}be
 (free|over|at peace|gone|done) / date {1}(circled|set|picked|marked) / (finally|am|feel) {1}ready /
 end~ (it|this|everything) / (after|until|til) {2}(exams|birthday|christmas|sunday|that|holidays|
 anniversary|graduation) / (last|final) (week|day~|hours|one) / one (step|jump|push); weariness:
 (nobody|anyone) {1}help me / stop fighting / no {1}(purpose|point|reason|energy|strength|way
 forward|way|future|hope) / (disappointment|failure|ghost|drowning|sink|waste|mess|monster|in peace|
 at peace) / not [1](want help|asking for help|need help|deserve help|see a way) / (may|might) as
 well / (sick|tired) of being / not {1}(do|take|handle|stand|cope|keep doing|fight|go) {3}any more /
 (lost all|lost|without|any) hope / nothing [1](helps|matters|will ever|ever gets|gets better|works|
 left) / (no more|end the|stop the|so much|too much|the) (pain|suffering) / (stop|over|end|quiet)
 (permanently|forever|for good|finally) / hate (my life|myself|being me|everything about me) / (end
 of my rope|no way out|rock bottom|hopeless|pointless|worthless|useless|broken|numb) / give~ up /
 what is the point$ / <i> [2](done|finished|through) (fighting|trying|with everything|with everyone|
 with it all) / (think|believe|know|maybe|guess|fear) {2}(they|he|she|everyone) {1}right / (already|
 feel~) [1](dead|empty|nothing|numb) / (tried|did) my best / out of reasons; unwanted: nobody
 [1](needs|wants|cares|loves|likes|even|would) {1}(me|about|check|notice|know) / (say~|said|tell~|
 told) {2}(kill yourself|kms|die) / (burden|ruin everything|cost everyone|trouble (anybody|anyone)|
 worth nothing|hate me|in the way) / (better off|happier) without <me> / (lived|had) [1](long
 enough|my time|his time|her time|a good (life|run)) / not [2]be (happy|okay|loved|good enough|
 enough|normal) / everyone {1}(leaves|left|hate~|abandons|forgot) / nobody {3}(remember|look~|come|
 check|call~) / (took|lost|losing) {1}(kids|children|job|house|wife|husband|everything) / hurt my
 <others>; sorry: (i am|so|really) [1]sorry / sorry (mum|dad|for everything|everyone|guys); access:
 just in case / know where / where the; illness: (therapist|psychiatrist|psych ward|depression|
 depressed|bipolar|ptsd|borderline|my meds|mental hospital|relapse~|attempt~); reunion: (be|join~|
 see|meet) [1](with )?(<me>|mum|dad|my \w+) (again|soon|in heaven|at last) / (in heaven|other side|
 meet god|to heaven|to hell|god forgive|forgive me god|afterlife) / (my|the) \w+ (is|are) (dead|
 gone) / (can not forgive myself|want to go|want to go now|like to go now|ready to go)
"""
"""Each says little alone; two of different names are answered."""

OUTPUT: Final = r"""
methods: <easy> {3}(way~|method~|means) {3}(<die>|suicide|kill <anybody>|end <whose> life) / (quick|
 painless|peaceful|easy|best) [2](death|dying|suicide)<!compound> / painlessly / (methods?|way) (of
 suicide|to hang|for hanging) / suicide methods / (lethal|fatal|deadly) (dose|dosage|amount|
 quantity) {12}(is|are|would|around|about|between|\d+) / (would|will|should|could|is|are|be|may)
 [3](fatal|lethal|deadly|enough to (die|kill)|suffice)(?! (error|exception|flaw|blow) ) / (to|can|
 could|would) (<lethal> yourself|end your life|take your life) {3}(take|tie|cut|use|get|buy|swallow|
 mix|jump|slit|inhale|drink|find|with|from|by|in) / to overdose / (tie|make~|tying|slip|around your)
 {3}(noose|neck) / (take~|swallow~|ingest|drink|mix|consume|inject|inhale|use|combine|overdose of)
 {5}<drug> {12}(<fatal>|kill you|stop (breathing|your)|the heart|suffice|all over) / <drug>
 {12}(stops? (your|the) (breathing|heart)|stop you from waking|not wake|enough to (die|kill)|would
 be enough|be (fatal|lethal)|most people use) / (take|swallow) all {3}<drug> / (buy|get|order|use)
 {2}(nembutal|pentobarbital|sodium nitrite|cyanide|poison|helium|fentanyl) / (nembutal|
 pentobarbital) {4}(use|get|buy|order|is|works) / <easy> (way|method) {1}is {4}(<means>|firearm|
 hanging|overdose|carbon|jump~) / (<gun>|firearm) {1}(to|against|at|in) (the|your) (head|temple|
 mouth|heart|chin) / aim {4}(gun|head|temple|heart|brain|skull|ear|foot|mouth|chin) / (cut|slice|
 slit|open|slash) {4}(wrist~|vein~|forearm~|artery|throat) / (artery|vein~|wrist|razor|blade)
 {3}bleeds? / bleeds? out / (hide|conceal) {3}(cuts|scars|bruises|wounds) / (exhaust|carbon
 monoxide|charcoal|bleach|helium|nitrogen|plastic bag|chemicals|cleaners|bag over) {10}(unconscious|
 to kill|you die|dead|painless|asleep|not wake|kills you|closed room|is work) / (jump~|jumpers|fall|
 drop) {8}(not survive|fatal|deadly|lethal|certain death|kill you|high enough) / (jumpers|suicide
 (bridge|spot)) / (step|jump|lie|walk|throw yourself) {2}(in front of|under|before) {2}<vehicle> /
 (not find you|finds? you) {3}(in time|until|before) / (drown~|hang yourself|hanging) {5}(near you|
 deep|minutes|pockets|stones|door|belt|easy|quick) / (suicide|goodbye|farewell) (note|letter)
 {8}(family|for you|your|leave) / by the time {2}(find|read|get) {10}(dead|gone|not be here) / (not
 eat|stop eating|skip all meals|starve~|without food) {12}(heart will stop|<die>|organs); despair:
 you [3](should|must|ought|need|have|deserve|can|may|could|better|are free|are ready) [3](die|
 <lethal> yourself|<end>|end your life|not be alive|give up on life) / nobody [2](would|will|ll|can|
 could) {1}(miss|mourn|care about|remember|blame|stop|notice) (you|if you|when you) / (better|
 happier|relieved|glad|easier|richer|best) {3}(without you|(if|when|once) you [2](dead|gone|not|
 killed|die~|vanished)) / better off dead / you [2](worthless|a burden|a waste|useless|not alive|
 nothing to live) / you [3](nothing|no reason|no future|no one|nobody) {2}(to live|left to live|for
 you) / your (life|existence) (is|not) {2}(over|not worth|worthless|pointless|meaningless|worth
 living|finished|nothing) / your pain will not (end|stop|go away|ease) / (ending your life|taking
 your life|suicide|dying|ending it|death) (is|would be|could be|might be|seems|would|will|may)(?:
 (?!not )\w+){0,4} (best|right|answer|only|rational|good|understandable|valid|way|reasonable|
 logical|brave|beautiful|solution|solve|relief|release|peace|freedom|escape|choice|option|
 free)<!compound> / (i agree|you are right|makes sense|i understand|of course|reasonable|natural)
 {7}(die|no point|nothing left|life over|your life|better off|worthless|be dead|end it|suicide)(?!
 (call|line|hotline) ) / (right|ready|help <me>) {2}to (want to )?die / no point [2](in )?(living|
 going on living|go on living|being alive) / (ready|time|ok|okay|fine|allowed|free|let) [2](to
 )?(go|die|let go|leave this world) {6}(not {2}stop you|blame|peace|dying|for dying) / not [2](try
 to )?stop you / (die with me|(join|follow) me {2}(in|on) {2}(death|the afterlife|heaven|the grave|
 other side)|come and die|come {3}join me) / no hope [1](left )?for you(?! (\w+ )?(laptop|phone|car|
 file) ) / (go|please|just|now|then|ahead and) [1](die|jump)(?! (to|in|into|over|on|ahead|back|cast|
 from|roll) ) / die now / (then|so|yes|tonight) do it (tonight|now|already|today)(?! \w+ the ) /
 kill yourself(?= $); imperative: <lethal> yourself / (hurt|harm) yourself / (end|take) your (own
 )?life
"""
"""Words about to leave; an "imperative" beside a line to call names what to call about."""

ASIDE: Final = r"""
idioms: die to {3}(boss|enemy|enemies|mob~|trap) / (to|would|id|could) die for / dead (tired|right
 about|lift~|line~|serious|wrong|end~|set|simple|certain|weight|letter~|lock~|zone~|batteries|
 battery|head~|pool~|language~|sea|gorgeous|last|on my feet|in the water) / dying (to {1}(see|know|
 hear|try|meet|get|go|find)|for|breed|light|art|my hair|wool|industry) / die (hard|casting?|
 cutting?|cut|rolls?|laughing|on (that|this) hill) / do or die / death (metal|star|valley|stranding|
 note|penalty|march|certificate|by (powerpoint|chocolate)|of a salesman|on the nile|spiral|rates?|
 eaters?|row|tax|taxes|benefits?) / (scared|afraid|fear|frightened|terrified) of (death|dying) /
 (not want to|not wish to|do not want him to|do not want her to) die / not (suicidal|thinking (of|
 about) suicide) / (roll~|throw|sided) {3}(die|dice) / end it all with {3}(slide|note|chord|scene|
 song|speech|toast|chapter|joke|bang) / (shot|shoot~) myself in the (foot|fot) / (server|process|
 script|app|program|laptop|phone|battery|container|build|browser|job|pod|car){2}(want~|wanted) to
 die / (take~|took) my life (back|in|into|seriously|savings|partner|story) / pills (in|out of|from)
 {2}(classroom|cart|school|store|library|office) / (run~|ran) suicide / suicide (squad|squeeze|
 bomb~|bomber~|attack~|door~|mission|burn|gene|vest|king|girls|blonde|run~|drill~|pass|prevention|
 awareness|hotline|snail|soda|hill) / (career|political|social|brand|corporate|economic) suicide /
 assisted suicide / (cut~|burn~|burnt|hurt|hit|bit|scratched) myself (shaving|cooking|on|at|while|
 when|in|doing|with a) / be here any more this (meeting|party|job|class|lecture|place|town|city) /
 (lethal|fatal|deadly) (dose|dosage|amount) {4}(dog~|cat~|rat~|mice|mouse|horse~|bees|nutmeg) /
 (die~|dying|dead|died nearly) (of|from) {1}(embarrassment|laughter|laughing|boredom|cringe|shame|
 hunger|thirst|curiosity|heat|stress|old age) / rather die than (eat|drink|wear|watch|use|listen|
 cook|support|buy|sing|dance|miss|write|work with) / overdose (my|on) (cake|tv|news|code|coffee|
 pizza|soup|salad|dish|photo|sugar|caffeine|chocolate|carbs|cuteness) / (died|lost|lose~|death|loss|
 dead|gone|passed) {5}(by|to|from|after) {3}suicide / (took|taken) (his|her|their) own life / going
 to kill me / kill~ (it|time|the (process|lights|job|thread|server)) / hang (in there|out|up|on);
 recovered: years ago / (survived|surviving|survivor|recovery|recovered|sober|healed) / (glad|
 grateful|thankful) {2}(i|to be alive) / (therapy|treatment|counselling|medication) {1}(helped|
 saved|works) / when i was (young|younger|a teen|a teenager|a kid|\d+) / in my (teens|twenties|
 thirties|youth|past) / clean (from|of|for|since) / love my life / better now; once: (tried|
 attempted|wanted|used|was going|almost|nearly|once) {1}(to )?(kill~|hurt|cut|harm|hang~) myself /
 (tried|attempted|wanted|used|was going|almost|nearly) {1}(to )?(end my life|ended my life|take my
 life|take my own life|die|commit suicide|selfharm|suicide) / (was|were|felt|been) {1}suicidal /
 clean (from|of) {1}(selfharm|cutting|cutting myself) / (my|a|the|of|from|surviving|survived|after)
 suicide attempts? / attempted suicide / (recover~|recovery) from {2}(selfharm|suicidal thoughts);
 relapse: (again|this time|still (want|think)|back again|finish (it|the job)|relapsed|will|tonight|
 did not work); named: (suicide|suicidal|suicidality) / (self harm|self harming|selfharm|self
 injury|self injuring); context: (theory|theories|prevent\w*|praventions?\w*|barriers?|memorial|
 lease|server|rates?|awareness|hotline|helpline|crisis line|statistics|article|news|laws?|bill|
 ministry|policy|coroner|ruled|history|books?|film|movie|song|sings|album|band|plot|theme|essay|
 research|study|studies|sociology|durkheim|warning signs|school|teacher|volunteer|recover~|recovery|
 survivor|surviving|survived|19\d\d|20\d\d|philosophy|myth|game|class|ethics|lemmings|charity|
 fundraiser|training|therapist|nurse); denials: (not true|untrue|a lie|false|not the case|wrong to
 think|wrong) {13}(without you|worth living|miss you|better off dead|no hope|deserve to die|burden)
 / (not|instead of|without|thinking about|thinking of|thoughts of|thought of|thoughts about|
 considering|urge to|urges to|want to|wanting to|feel like|tempted to|plan to|planning to|going to|
 about to|tried to|talk of|ideas of|danger of|decide to|if you|stop you from|might|help you|risk of)
 {2}(kill~|hurt~|harm~|hang~|end~|take~|cut~|drown|shoot) (yourself|your life|your own life) / (not|
 avoid|nobody should|must not) {1}(take~|swallow|ingest|mix|drink|exceed|step|jump|walk|leave|
 run){14}(fatal|lethal|die|overdose|death|kill you|dangerous|bus|train|traffic|truck|asleep) / not
 {2}(deserve|have|need|want you) to die / (not|nobody) (a|the|your only|the only) {1}(burden|answer|
 choice|solution|way out) / not {2}(help|tell|assist|give|talk|explain|show|share|discuss|provide)
 {8}(die|suicide|kill yourself|death|method~) / suicide is not / (not|no) (worthless|alone|hopeless)
 / (call|seek|get|emergency|poison control) {10}(overdose|too many pills|fatal|lethal|dangerous) /
 (overdose|too many pills|fatal|lethal|dangerous) {10}(call|seek|emergency|hospital|doctor|poison
 control|naloxone|treated) / (opioid|paracetamol|drug|acetaminophen|reverse~|treat~) {2}overdose;
 help: (988|findahelpline com|lifeline|samaritans|crisis line|hotline|helpline|emergency number)
"""
"""Taken out of texts before the search, or weighed beside it."""

LANGUAGES: Final = r"""
input: nicht mehr (leben|da sein|weiterleben|aufwachen|existieren|hier sein|weiter leben) / nie
 (wieder|mehr) aufwachen / (mich|sich|dich) {2}(umbringen|umzubringen|toten|erhangen|aufhangen|
 erschiesen|ertranken|ritzen|verletzen|vergiften) / bringe? mich {1}um(?! (den|dem) ) / (mir|sich)
 {2}(das leben (zu )?nehmen|etwas antun|die pulsadern) / nehme? mir das leben / (selbstmord|suizid|
 suizidgedanken|selbstmordgedanken|suizidal|lebensmude|todessehnsucht|selbstverletzung|zelfmord)(?!
 (rate|raten|pravention|statistik|squad) ) / (keinen|kein|ohne) {2}(lebenswillen|sinn|grund|
 lebenssinn) {3}(leben|lebe|mehr) / (ohne mich|wenn ich) {3}(beser|tot ware|tot bin|nicht mehr da) /
 (ich|heute|wil) {3}(ales?|allem|dem|meinem leben) {2}(beenden|ein ende|schluss?) / fur imer (weg|
 schlafen|einschlafen|verschwinden) / (weg|schlafen|einschlafen|verschwinden) {3}fur imer /
 tabletten {3}(gesammelt|gespart|ales?|uberdosis|zu viele|auf einmal) / dormir {1}(para siempre|pour
 toujours|para sempre) / me (quiero|voy a|gustaria) (matar|suicidar|ahorcar|cortar|colgar)(?! de ) /
 (quitarme|quitarse) la vida / no (quiero|deseo|puedo) {1}(vivir|seguir viviendo|existir|despertar|
 seguir con vida|estar viv[oa])(?! (en|con|sola?) ) / (mejor|mieux|melhor|felizes) (sin mi|sans moi|
 sem mim) / no vale la pena vivir / (acabar|terminar) com? (tudo|todo|(a )?(mi|minha) vida) / acabar
 con (todo|mi vida) / (suicidio|suicidarme|suicidarse|suicidas?|suicidaires?)(?! (prevencion|
 escuadron) ) / (me matar|me suicidar|me enforcar|me suicider|me scarifie) / (tirar|tirarme) (a
 )?(minha|propria) {1}vida / nao (quero|aguento|consigo) {1}(viver|existir|acordar|estar aqui|a
 vida|continuar viv\w+)(?! (em|com|so) ) / (veux|vais|envie|envie de|pense a) {1}(den |en )?(finir|
 me tuer|me pendre|me jeter|plus vivre|mettre fin) / mettre fin a (ma vie|mes jours) / ne veux plus
 (vivre|exister|etre la) / (plus envie|marre|plus la force) de (vivre|la vie|continuer) / idees
 noires / (voglio|vorrei|penso di) {1}(morire|uccidermi|suicidarmi|farla finita|ammazzarmi) / (хочу|
 хочется) (умереть|сдохнуть) / не хочу (больше )?жить / (покончить с собои|убить себя) / (chce|chcę)
 umrzec / zabic sie / (ik wil|wil) (dood|niet mer leven|mezelf doden) / (pastillas|pilules|
 comprimes|comprimidos|pildoras) {4}(todas|todos|toutes|tous|de golpe|de uma vez|dun coup) / (todas|
 todos|toutes|tous|muchas|muitas|trop de|demasiadas) {2}(pastillas|pilules|comprimes|comprimidos|
 pildoras); output: (todliche|letale|todlichen) dosis / (dosis|dose) (letal|mortal|fatal|letale|
 mortelle) / (dich|sich) {2}(umbringen|umzubringen|toten|erhangen|erschiesen) / (bring|tote|hang|
 erschies) dich / (wachst|wachen) (du|sie) {2}(nicht mehr|nie mehr|nie wieder) auf / (stirb|du
 soltest sterben|ohne dich beser) / (deberias|debes|puedes|mejor) {1}(morir|matarte|suicidarte) /
 (matate|suicidate|mejor sin ti) / tu {3}(mieux de|devrais|dois|peux) (mourir|te tuer) / (tue toi|
 suicide toi|mieux sans toi) / (se mate|mate se|deveria morrer|merece morrer|melhor sem voce) /
 melhor {3}(se matase|morese|se matar|morrer)
"""
