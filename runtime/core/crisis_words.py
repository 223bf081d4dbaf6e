"""The words of the crisis screen: concepts, short forms, typing errors, and which concepts meet.

Data for `runtime.core.crisis`, which reads it; the phrases made of these words are in
`crisis_rules` and `crisis_context`. A line is one entry, "name: text"; indented lines go on with
the line above. Texts come in normal words: lower case, no apostrophes, "cant" is "can not",
"never" is "not". `word~` has endings. Pinned.
"""

from typing import Final

WORDS: Final = r"""
i: i|id|ill
whose: my|your|his|her|their|ones|someones|our|my own|your own|his own|her own|their own
me: me|him|her|them
die: die~|dead|dying|death
fatal: die~|dead|dying|death|kill~|fatal|lethal|deadly|overdose|od|finish me|not wake|not survive|
    unconscious|pass away|end it|end me
end: end it|be dead|die|suicide|not wake|not survive|disappear forever|stop existing|not exist|
    bleed out
live: live|exist|be alive|stay alive|stay|wake up|get up|go on|carry on|keep going|keep living|
    keep fighting|keep trying|continue|survive|breathe
living: living|life|existing|existence|being alive|staying alive|waking up|getting up|breathing|
    going on|carrying on|surviving|keeping going
alive: <live>|<living>|alive
soon: tonight|today|tomorrow|now|right now|soon|forever|for good|for ever|this time|once and for
    all|permanently|for real|$
again: any more|tomorrow|at all|like this|another (day|night|week|year)|$
wish: want~|wish~|hope~|need~|rather|prefer|long~|yearn|crave~|beg~|pray~|ready|prepared|plan~|
    intend|decided|determined|going|try~|tried|choose|chose|deserve|tempted|urge~|think~|thought~|
    consider~|contemplate~|fantasize~|fantasise~|dream~|imagine~|daydream|obsessed|meant|must|
    should|supposed|desire|willing|close
lethal: kill~|hang~|shoot~|drown~|stab~|starve~|poison~|off~|end~|neck~|rope~|unalive|suicide|
    asphyxiate|suffocate~|electrocute|murder~|strangle~|overdose~
hurt: hurt~|harm~|cut~|burn~|burnt|scratch~|hit~|punch~|bite~|biting|bruise~|punish~|injure~|slap|
    choke~|destroy~|carve~|slit~|slice~|slash~
anybody: themselves|himself|herself|oneself|ones self|yourself
drug: drug~|pill~|tylenol|paracetamol|acetaminophen|ibuprofen|aspirin|advil|xanax|benzos?|
    medicine~|medication|antidepressant~|insulin|ambien|opioid~|oxy|oxycodone|fentanyl|morphine|
    heroin|painkiller~|barbiturate~|cyanide|bleach|antifreeze|benadryl|codeine|propranolol|
    amitriptyline|sertraline|zoloft|prozac|lithium|tramadol|vicodin|percocet|valium|diazepam|
    lorazepam|seroquel|warfarin|methadone|melatonin|vodka|unisom|nyquil|dxm|cough syrup|rat poison|
    pesticide~|drain cleaner|arsenic|ricin|beta blocker~|sedative~|sleeper~|gabapentin|mg|poison~
easy: painless|painlessly|easy|easiest|quick|quickest|quickly|fast|fastest|best|peaceful|
    effective|least|less|painful|sure|surest|simple|simplest|reliable|good|cheapest|efficient|
    foolproof|certain|guaranteed|common|gentle|nicest
ask: how|what|which|where|is|are|does|do|will|would|can|could|did|if|whether|when
gun: gun|guns|weapon|pistol|shotgun|rifle|glock|revolver|handgun|barrel|noose|razor~|blade~|
    razorblade~|rope|scalpel|bullet~|sidearm
means: <gun>|bleach|pill~|knife|belt|insulin|helium|charcoal|poison
height: bridge~|roof~|rooftop|building|balcony|cliff~|ledge~|tower|overpass|window|car park|
    parking garage|viaduct|railing|parapet|floor|highrise|skyscraper
vehicle: train~|bus|truck~|lorry|car|cars|traffic|tram|subway|metro|rails|tracks|oncoming
person: friend~|mate|buddy|brother|sister|son|daughter|kid|child|wife|husband|partner|boyfriend|
    girlfriend|bestie|mother|father|mum|dad|roommate|flatmate|coworker|colleague|neighbour|
    neighbor|student|pupil|patient|client|guy|girl|boy|someone|cousin|uncle|aunt|nephew|niece|
    grandpa|grandma|grandfather|grandmother|granddad|nan|teen|teenager|ex|he|she|they|him|her
others: everyone|family|kids|children|parents|wife|husband|mum|dad|mother|father|son|daughter|
    friends|they|them|him|her|world|people|he|she|you|anyone|others|brother|sister|loved ones
body: arm~|wrist~|thigh~|leg~|skin|stomach|flesh|hip~|ankle~|forearm~|body|throat|vein~|belly|neck
place: in|with|at|near|here|there|under|by|on|out|off|together|next|paycheck|from|among|up|as|
    without|to|the|a|an|early|late|for|this|through|monday|tuesday|wednesday|thursday|friday|
    saturday|sunday|before|abroad|alone|hungry
things: the|a|an|my|your|his|her|our|their|some|any|rabbit|chicken|fish|brake~|radiator~|down|out|
    back|off|board|carbs|sugar|costs|edge|corners|up|tree~|grass|hair|vegetables|into|through|
    class|from
compound: prevention|awareness|hotline|rate~|squad|squeeze|bomb~|bomber~|attack~|door~|month|week|
    mission|vest|statistics|research|risk|policy|law~|zone|line~|end|metal|star|valley|stranding|
    note|penalty|march|serious|tired|battery|weight|pool|lift~|sea|pixel|leaves|leaf|tree|link|
    code|people|poets|man|body|language|silence|calm|set|sure|of
cause: of|in|during|at|while|on|every|with|like|when|laughing|before|trying|hard|again
list: from|off|out|up|as|laughing|shaving
laughs: laughing|shaving
self: <i>|me|my|myself|mine
dying: die|dying|dead|death|suicide|heaven|grave|afterlife|coffin|noose|corpse|hang|hanging|drown|
    drowning|overdose|overdosing
killed: die~|death|dead|kill~|suicide|fatal|lethal|deadly|noose|hang|hanging|lethality|overdose
life: life|live|living|alive|exist|existing|existence|earth
torment: curse|hurt|trapped|torture|unbearable|agony|hopeless|pointless|worthless|meaningless|
    suffering|pain|painful|hurts|hell|nightmare|misery|miserable|empty|emptiness|numb|broken|
    ashamed|shame|guilt|despair|useless|darkness|hollow
stop: end~|over|stop|out|gone|finish|finished
final: forever|permanently|goodbye|farewell|tonight|soon|finally|last|final|ever|date|letter~|note
trouble: note|cuts|locked|crying|cried|drunk|screaming|veteran|upset|threaten~|says|said|told|
    sent|texted|posted|promised|picture|photo|ask~|keeps|alone|bathroom|goodbye|sad|depressed|
    answering|plan|teeth|mouth|head|temple|bridge
strong: enough|fastest|quickest|painless|painlessly|easiest|lethal|fatal|deadly|dangerous|
    friendly|sure|effective|strongest|combine|combination|survive|saved|hoarded|purpose|forever|
    trace
heights: <height>|platform|train~|tracks|height~|storey~|story|stories
jump: jump~|leap~|falling|fall|step
cut: cut~|carve~|slit~|slice~|burn~|lighter|cigarette~|razor|blade|compass|bleed~|blood
way: way~|how|method~|what|which|list|easiest|best|does|is|would|will|can
peace: painless|painlessly|painful|hurt|peaceful|peacefully|quick|quickly|fast|easiest|pain|
    gentle|sleep
demise: die|dying|death|hang~|drown~|starve~|freeze~|suffocate|bleeding|jump|go|overdose
drawn: keep~|google~|staring|stare|drawn|pull~|calling|calls|visiting|visit|watching|looking
edge: bridge~|roof~|rooftop|ledge~|balcony|cliff~|tracks|rails|parapet|noose|blades|rafters|beam~
release: see|real|feel|felt|calm~|relief|relieved|helps|relapsed|deserve~|numb|punish
planned: plan~|note|goodbye|waking|breathing|responding|unconscious|swallowed
ask_x: wie|wieviele|viele|como|comment|combien|cuanto~|cuanta~|quanto~|quanta~|metodo~|methode|
    mejor|manera
die_x: sterben|todlich|todliche|umbringen|morir|morirme|matarme|suicidarme|ahorcarme|cortarme|
    letal|mourir|mortel|mortelle|suicider|morrer|suicidar|matarse|suicidarse
weary_x: cansado|cansada|harto|harta|lust|bock|mude|marre|fatigue|fatiguee|asez|cansei|farto|farta
life_x: vivir|leben|vivre|viver|lebens|existir|exister
wish_x: quiero|quisiera|ojala|deseo|voy|pienso|ganas|gustaria|prefiero|quero|queria|vou|penso|
    vontade|prefiro|will|mochte|ware|lieber|wunschte|wunsche|voudrais|veux|envie|vais|aimerais|
    prefere
dead_x: tot|muerto|muerta|morto|morta|mort|morte|desaparecer|disparaitre|verschwinden|<die_x>
game: damage|rng|spawn|minecraft|gta|skyrim|fortnite|roblox|zelda|elden|respawn|speedrun|npc~|
    sims?|warzone|valheim|dungeon|quest|dota|fallout|lemmings|assassins creed|hades|boss|loot|xp|
    level|in game|video game|tamagotchi|playthrough|stimpaks|lobby
animal: beef|lamb|dog~|cat~|bees|ants|lobster~|fish|goldfish|rat~|mice|mouse|weeds|plant~|toddler|
    mould|mold
study: romeo|juliet|hamlet|ophelia|karenina|javert|plath|socrates|cleopatra|turing|shakespeare|
    century|historian~|symbolise|soliloquy|sequel|titanic|verdun|kamikaze|museum|thelma|playwright
machine: worker|shutdown|linux|python|docker|thread|process|daemon|server|script|java|kernel|pid|
    signal|queue|pod|sigterm|goroutine|unity|javascript|compiler|buffer|database|cron|systemd|
    bash|laptop|printer|disk|code
device: <machine>|node~|agent~|gateway|host~|socket|request~|timeout~|supervisor|watchdog|pipe|
    batch|job (ends?|is|runs?|fails?)|exit (status|code)|branch|fork|repository|repo|commit~|merge~|
    config|configuration|log~|ledger|header~|cache~|api|token~|lease|replica~|segment~|manifest|
    migration|scheduler|module~|function~|parser|verifier|hash~|signature~|checkpoint~|backup~|
    pull request|dependencies|backend|frontend|cluster|container~|deploy~|git|github|pipeline|
    dataset|dashboard|compile~|stack trace
voice: i|id|ill|im|me|my|mine|myself|he|she|him|her|his|mum|dad|mother|father|brother|sister|son|
    daughter|wife|husband|friend~|kids|children|boyfriend|girlfriend
kitchen: oven|cook~|chop~|onion~|carrots|vegetables|bread|stove|pizza|kitchen|chef|mandoline|
    bagel|bake~|bbq|lamb
clinic: nose|gum~|surgeon|surgery|operation|carpal|stitches|dermatologist|biopsy|nurse|
    accidentally|accident
care: naloxone|narcan|treat~|treatment|reverse|antidote|symptoms of|first aid|vitamin~|gummy|
    interact|prescribed|safe|safely|maximum|vets?
sport: playing|soccer|football|shop|hunting|range|boat|tent|gym|bungee|parachute|paragliding|
    swim~|dive~|climb~|skate|ski|trampoline|workout
leaving: colleague~|retire~|coworker~|job|office|resignation|moving|camp|exchange|boarding|
    graduation|teacher|holiday|airport|shift|taxi|story
story: novel|villain|hero|heroine|chapter|film|movie|show|actor|actress|sings?|song|band|
    character|detective|episode|season|scene|plot|mystery|team|company|cells
grief: passed|funeral|eulogy|memorial|lost|loss|grief|grieving|mourning|miss him|miss her|buried|
    ago|uncle|grandfather|grandmother|father|mother|widow|widower|late|dad|mum|wife|husband|
    sister|brother|son|daughter|friend|cat|dog|horse
ailment: chronic|back|knee|tooth|stretches|ankle|shoulder|dentist|traffic|tests|bug|series
food: beard|sensitive|shave|shaving|carbs|sugar|meat|dairy|calories|lawn|hair|grass|costs|budget|
    wood|paper
doctor: doctor|pharmacist|prescribed|prescription|insurance|dose|nurse
"""
"""Concepts by their name: a phrase says `<name>` for one of the words, `<!name>` forbids them."""

NORMAL: Final = r"""
im: i am
ive: i have
ima,imma: i am going to
wanna,wana,wna: want to
gonna,gona,gunna,finna,gon: going to
boutta,bouta: about to
tryna: trying to
gotta,hafta: have to
dont,dnt,dunt,doesnt,didnt: do not
cant,cannot,cnt,couldnt: can not
wont: will not
wouldnt,wudnt: would not
isnt,aint,arent,wasnt,werent: is not
shouldnt: should not
havent,hasnt,hadnt: have not
never,nvr,nevr: not
youre: you are
youd: you would
youll: you will
hes: he is
shes: she is
theyre: they are
theyd: they would
theyll: they will
its: it is
whats: what is
whos: who is
theres: there is
shouldve: should have
couldve: could have
u,ya: you
ur: your
n: and
bc,cuz,cos,coz: because
shuld,shud: should
wuld,wud: would
wan,wnt: want
thx: thanks
tn,tonite,2nite,2night: tonight
tmr,tmrw,tmrow,2moro,2morrow,tomorow: tomorrow
rn: right now
4ever: forever
abt,bout: about
anymore,anylonger,anymor: any more
alot: a lot
noone,no1,nobdy: nobody
everybody,every1,evry1: everyone
anybody: anyone
somebody,some1: someone
meself,mself,miself: myself
urself,yourselves: yourself
themself,themselves: themselves
unalived,unaliveing,unaliving,unalife: unalive
sewerslide,sewercide,suislide,sui,suicides: suicide
selfharm,selfharming,selfharmed: selfharm
kys: kill yourself
ctb: suicide
killin: killing
cuttin: cutting
livin: living
dyin: dying
goin: going
thinkin: thinking
tryin: trying
feelin: feeling
hangin: hanging
mom,mam,mommy,mummy,mama,ma: mum
daddy,papa: dad
bf: boyfriend
gf: girlfriend
meds,tablets,tabs,capsules,caps: pills
pls,plz,plis: please
h8: hate
"""
"""Ways to write a word, and the word that phrases are written in."""

PAIRS: Final = r"""
no one: nobody
any longer: any more
any one: anyone
every one: everyone
my self: myself
me self: myself
your self: yourself
her self: herself
him self: himself
self harm: selfharm
self harming: selfharm
self injury: selfharm
self injure: selfharm
self destruct: selfdestruct
sewer slide: suicide
no longer: not
would like to: want to
would love to: want to
would prefer to: want to
feel like i should: want to
life is not: life not
go to sleep: sleep
"""
"""The same for two words and more, after NORMAL."""

MEND: Final = (
    "suicide suicidal myself anymore overdose goodbye yourself himself herself painless killing "
    "unalive hanging nobody everyone without"
)
"""Words recognised with any one letter wrong, missing or more (but for the first)."""
SWAPS: Final = "want kill life live living alive die dead death dying tired going wanna"
"""Shorter words, near too many others: recognised with two neighbours swapped."""
NOT_ERRORS: Final = "ide edad tried hinging killings within witout alice alike olive lief"

FILL: Final = (
    "to of about on just really so very too all be been being get getting that it i could can "
    "would might may will should am is was were a the bad badly much honestly actually fucking "
    "fukin freaking bloody damn literally seriously simply only even still now always constantly "
    "such everyday almost often sometimes kinda kind sort like lowkey legit more again soon and go "
    "my own finally quietly already today tonight probably maybe have had do did id ill this some "
    "lot lots for me as well if or how in by with fr tbh ngl lol pls please truly desperately"
)
"""Words that a `[n]` of a phrase may pass over: never a "not", for a denial breaks the phrase."""

TOGETHER: Final = r"""
wish to die: self wish dying 40 game study story grief
torment: self torment stop 80 machine ailment
torment: life torment 30 machine study ailment
farewell: self final dying 40 game study story grief leaving
weapon: self gun trouble 70 game study story kitchen
weapon: person gun trouble 70 game study story kitchen
method: drug strong self 60 care animal kitchen study
method: drug killed 60 care animal study game story
edge: self drawn edge 40 game sport study story leaving
harm: self cut release 60 kitchen clinic sport food
harm: cut body 50 food kitchen clinic sport machine animal
another: person drug planned 50 doctor
jump: jump heights self 50 game sport machine story
method: way peace demise 40 game animal machine leaving study
language: ask_x die_x 50
language: weary_x life_x 30
language: wish_x dead_x 30
"""
"""Rule, concepts that meet in any order, within so many characters, what excuses them."""

EXCUSED_BY: Final = r"""
method: game animal study machine care
acting: kitchen study machine care sport
another: study machine sport clinic
farewell: leaving study machine
harm: kitchen clinic sport machine
burden: machine
no hope: machine care
"""
"""Which WORDS, near a rule's phrase, excuse it: an accident in a kitchen is not a wish."""
