"""Phrases that the crisis screen answers by themselves: data for `runtime.core.crisis`.

A line without indent names a rule, a line indented by two is a phrase of it, deeper ones go on with
the phrase. `<name>` is one of `crisis_words.WORDS`, `<!name>` forbids them next; `word~` has
endings; `{n}` is up to n words, `[n]` up to n that say little (but no "not": a denial breaks the
phrase), `$` the end. A phrase begins with a word. Pinned.
"""

from typing import Final

CERTAIN: Final = r"""
self:
  <lethal> myself<!list>
  kill myself<!laughs>
  (delete|erase|remove|yeet|throw|hurl|fling) myself {3}(life|world|existence|earth|equation|
    <height>|<vehicle>)
  (end~|take~|finish~) <whose> {1}(life|existence)(?! (insurance|story|savings|cycle|partner|
    membership|of) )
  (end~|finish) (it all|everything|my (pain|suffering|misery)|(it|things|myself|my (shit|story|
    days|time)) [1](<soon>|all|myself|on my own terms|my own way))
  how {2}(to|i) end things
  <i> {2}<wish> [3](suicide|suicidal)<!compound>
  (i am|to|will|might|should|just|literally|ill) [1](kms|unalive)(?! (the|this|that|a|an|him|her|
    them|all|boss|goblin~|enemy|enemies) )
  kms (kms|fr|right now|lol|tonight|now|this|today|i|so|bye|please|soon|if|after)
  (someone|somebody|please|god|lord|jesus) {3}(end|kill|shoot|murder|finish|smite|take) me<!place>
  (guts|courage|nerve|strength|bravery) [1]to (do it|end|die|kill|jump|pull|go through|leave this)
  (regret|hate|sorry|wish) {3}(surviving|survived|saved me|found me in time)
  (close~|shut) my eyes [2](one last time|last time|forever|for good|and not)
  (hope~|wish|pray~) {4}(hit by|run over|shot|killed|murdered)
  (imagine~|picture~|fantasise|dream) {4}heart [1](stop~|giving out)
  to myself [1](tonight|if i|alone|again|right now)
  (scared|afraid|worried) {3}what i {3}do {1}to myself
  not {2}(safe (with myself|alone|from myself)|trust myself (alone|tonight|right now|(with|around)
    (pills|knives|sharp|<gun>)))
  talk~ me out of it
  (give|tell|any|one|a|need) {3}reason~ {2}not {1}(do it|jump|kill|die|end|go through|hang|
    overdose)
wish to die:
  <i> [5]<wish> [6](<die>|<end>|perish|cease to exist|stop living|not (be|being) (alive|here)|not
    existing|suicide)<!compound>
  <i> {2}not {3}(want|wish|care|need|like|deserve|intend|bother|mind) [2]<alive><!place>
  <i> [4](want|ready|wish|need|wait) [4](it|this|everything|life|my life) (all )?(to )?(would )?(be
    over|end|stop)<!cause>
  want~ [3](die|be dead)<!cause>
  wish~ [2](i|id|he|she|they) [5](dead|gone forever|not (alive|born|exist~|been born|here|wake)|
    disappear|killed)
  (feel~|felt) [2]like {1}(dying|suicide|ending (it|my|things)|dead inside)
  (let|make|help|watch|tell|convince|persuade|ask|order|allow) <me> [2](die|suicide)<!cause>
  (ok|okay|right|time|ready|allowed|better|plan~|wish|urge|courage|reason|place|chose~|decided|
    deserve~) [2]to (die|be dead)<!cause>
  not want to (live|be alive|exist|be here) (<again>)
  not want to be (a person|human|me|conscious|anything|awake|a part of this)<!place>
  should [2]not {2}(been born|<live>|be born|be here at all|be living)<!place>
  (happier|better|easier|rather|prefer|like|wish|want) [3]not (exist~|be~ (alive|here)|live|alive|
    living|wake)
  not [2]been born
  want to (kill|end it)(?= (so|to be honest|right now|$|tbh|lol|fr|today|tonight|now))
  not (be here|be alive|live) (any more|tomorrow)<!place>
  (do|does|did|can) not {2}(want|wish|care|need|deserve) [2](live|be alive|exist~|stay alive|wake
    up tomorrow|keep living|continue living)<!place>
  (better|easier|nicer|happier|rather|good|relief) {3}(to be|being|be|was|were|off) dead
  (should|could) have [1](died|been me|killed me|let go|jumped|drowned|done it)
  (sleep|wish|hope|want|pray~|bed|disappointed|like|easier|hate) {9}(not|without) [2](wake up|
    waking up|wake~)<!place>
  (disappointed|hate|angry|sad|sorry|upset) {3}(woke up|wake up|waking up|still (alive|here|
    breathing))
  (sleep~|rest|slumber|asleep|drift~) {1}(forever|for ever|for good|permanently|eternally)
  (cease|stop) [1](to exist|existing|being alive|living|breathing)
  (tired|sick|weary|done|finished|exhausted|bored|through|enough|fed up|over|cba) {1}(of|with|
    from) [2](<living>|this life|this world|my life)<!place>
  (give~|gave|given) up on (life|living|my life|everything)
  (hate~|regret|despise|coward|weak|ashamed|sorry) {2}(being alive|living|that i was born|
    existing|being born|staying alive|still alive)
  (leave~|left|exit~|quit|departing) (this|the) (world|earth|planet|life)<!compound>
  out of this (life|world) (<soon>)
  (last|final) (day~|night|hour~|week|birthday) {2}(earth|world|planet|alive|life)
  why {2}(keep|still) [1](surviving|living|alive|breathing|waking up|here)
  (want|need) out (of (life|here|this (world|life|body))|$)
  (will|would) not be alive
  better off {1}(in (the|a) (ground|grave)|six feet|with god|in heaven|underground|buried)
  not [1]want help {3}(want|just|leave|let)
  let me go (in peace|please|now)
  (one less|rid) of me
  (strong|brave|weak|tired|sad) {1}to <live><!place>
  not {2}(keep|want|go on) [1](pretending|doing|to do) {5}(be here|life|alive|living)
  not {3}(be alive|live) (for|to see|past|until|much longer|long enough)
  not {4}live to (see|be|reach)
  not belong {2}(earth|here|this world|anywhere|alive)
  (no|world|not) {3}place for me
  should [2]be (gone|dead|erased|six feet)
  already dead<!compound>
  (ready|want|wish|time|like|rather) [1]to go (now|in my own way|peacefully|for good|to heaven|$)
  (my|his|her|our) time to (go|leave|die)
hopeless:
  worth {2}(me|my) {1}(being|living|alive|life)<!place>
  (no|any|lost|lose~|without|a|the|out of|one|single|my) {2}(reason~|point|purpose|will|desire|
    sense|strength|use|energy) [3]<alive><!place>
  no (point|meaning|purpose|reason) [1](to|in|of) (me|life|my life|this life|my existence)
  life {1}no (meaning|purpose|point|value)
  what is [1](point|use) [3]<alive><!place>
  nothing {1}[4](live|live for|stay alive|keep me here|left for me here|keeps me here)
  not [4]worth [1](living|it any more|being alive|continuing)
  (my|this) (life|existence) [2](pointless|meaningless|worthless|not worth)
  (life|it) not worth (it|living)
  not {2}see myself [2](here|alive|growing|old|being|past|making|living|around)
  (no|any|a) [1]future [1](for me|left)
  why [3](go on|live~|stay alive|be alive|exist|wait|breathe)<!place>
  not {3}(live|go on|go on living|keep going|carry on|keep living) [2](<again>)
  i {3}not {2}exist (<again>)
  not live with (myself|it|them|that|what|this|the)
  not {2}(bear|face|take|survive|through|see|endure) {2}(another|one more) (day|night|week|year)
  make~ it [1](through|past|to|until|til) {2}(night|tonight|tomorrow|day|morning|week|weekend|
    winter|christmas|birthday|year|\d+)
  (no|any|other|only|one|single) [1](way|exit|escape|option|solution|choice) {4}(<die>|suicide|
    except one|but one)
  (only|no) {2}way out<!cause>
  (death|dying|suicide|ending it) {3}[2](only|relief|release|escape|peace|solution|answer|exit|way
    out|beautiful|freedom|easier|sweet|comfort|peaceful|nice)
burden:
  (better|happier|easier|relieved|relief|richer|freer|nicer|fine|glad|best) {5}(without me|(if|
    when|once) {1}(i|id) [3](dead|gone|died|not|left|disappeared|vanished|go)|i [1](gone|dead))
  better off (dead|without me|if i|when i|not alive)
  <i> [6](burden|waste of (space|oxygen|air|skin|life|breath))
  worth more {2}(dead|than i|than me)
  (nobody|anyone|not|who|they) [4](miss|mourn|notice|cry|care|mind|remember|bother|find) {5}(i
    [1](die~|dead|gone|disappear~|killed|jumped|hanged)|my (funeral|death|body))
  (nobody|anyone|not|who) [2](miss|mourn|find) me
wish for an end:
  (wish~|hope~|pray~|want|mind|care|let|wait|god|lord|ask) {6}(kill~|hit~|take~|crush|run~ over|
    end~|strike~|swallow|shoot~|murder~|stab~|finish) me<!place>
  (hope~|pray~|wish|until|til|want) {6}(heart|organs|body) [2](stop~|give~ out|fail~|quit~|give up)
  (wish|hope~|pray~) {4}(cancer|a heart attack|terminal|an accident|not survive|not make it|it
    kills|die~)
  (<vehicle>|bullet|plane) {2}(hit~|ran over|killed|took) me {9}(not|fine|ok|okay|glad|relief|
    happy)
  (disappear|vanish|go away|be (erased|gone)) [1](forever|for good|permanently|completely|and not|
    from this)
suicide:
  (i am|feel~|been|so|very|really|am|is|was|be|become|actively|passively|getting|mildly|
    chronically) [2]suicidal
  suicidal (thought~|ideation|feeling~|urge~|again|tonight|today|right now|$)
  (thought~|think~|contemplating|considering|planning|obsessed|attempt~|commit~|try|dream~)
    [3]suicide<!compound>
  suicide [2](only|best|beautiful|answer|freedom|good|right|noble|art|brave|way out|sweet|nice|
    solution)
  suicide (tips|advice|ideas|tricks|tutorial|how|help|method~|technique~|pact|plan~|kit~|
    instructions|guide|forum~|recipe|ways|options|partner|pill~)
  plan~ [2](my|own) [1](death|exit|suicide)
  (write~|wrote|draft|need|help|leave~|left|compose|my|a|found) {4}suicide (letter~|note~)
  (method~|way~|means|kind~) [1](of|for|to) {1}suicide
  (<easy>|most) [2]suicide<!compound>
  (join|be with|follow) {2}in (death|heaven|the afterlife|the grave)
harm:
  (make|making) myself bleed
  cuts {3}deep
  (keep|kept|start~|back to|stop~|restarted|resumed|been|began|relapsed?|resist|urge|go back)
    [3](cutting|selfharm|harming|burning myself)<!things>
  cutting (is|was|makes|helps|calms)
  (sh|selfharm) (for|again|every|since|tonight|scar~|mark~|wound~|cuts|urge~)
  (i|my|me) {6}selfharm<!compound>
  (urge|want|need|going|like) [2](cut|selfharm|sh) (again|tonight|so|$)
  <hurt> myself<!list>
  <hurt> {1}(into )?<whose> (arm~|wrist~|thigh~|skin|stomach|flesh|forearm~|<body>)
  (slit~|slash~|sliced) {2}(wrist~|throat|vein~|arteries)
  (hide~|cover~|conceal) {3}(cuts|scars|burns|bandages)<!cause>
  how deep {3}cut
  (need|want~|like|deserve|love|crave|have) [3](bleed|pain|suffer|see blood|feel pain|hurt|feel the
    blade)<!things>
  (punish|destroy|ruin|starve) my body
  (bang~|hit~|smash~|slam|punch) <whose> head
  (blade~|razor~) {3}(calling|against|hidden|waiting|in my)
  i cut(?= (please|and do not|because|when i|to feel|every|since|to cope|$))
  (see|seeing|saw) [1]blood
  end~ things [1](<soon>)
"""
"""Words to the agent that are answered wherever they stand, by the rule recorded."""

LIKELY: Final = r"""
method:
  (kill|hang|shoot|drown|unalive) (yourself|oneself)
  know {3}(which|where|what) {3}(<drug>|<height>|<gun>)
  (spot|place) to jump
  method~ {3}(painless|<easy>)<!compound>
  <ask> {6}<easy> {3}(way~|method~|thing|how|means|place) {3}(<die>|<end>|end <whose>|pass away|go
    out|shoot|to go|off yourself)<!compound>
  <easy> {2}(way~|method~|means) {3}(<die>|<end>|end (it|<whose>)|kill (<whose>|<me>|<anybody>|
    myself)|out of life|off yourself|go forever)
  <easy> [2](death|dying|bleed out|hang (myself|yourself)|overdose|od)<!compound>
  (<die>|end it|end my life) [2](painlessly|without pain|no pain|without suffering|peacefully|at
    home|in my sleep)
  if i (die~|jump~|od|overdose) {3}(will|would|tonight|anyone|does|nobody)
  how (to|(can|do|does|could|should|would|might) (i|you|people|one|someone|a person)) [2](<end>|
    bleed to death|slit)<!cause>
  (to|can|could|someone|anyone|you|i|how|many) {1}(overdose|od)<!list>
  how (to|can|do|does|would|could|should|might|will) {4}((end|take) <whose> {1}life|die by|
    overdose|od)
  (how|way~|method~|step~|explain|describe|tell|teach|guide|best|instruct) {8}(commit~|complete)
    suicide
  <ask> {8}<lethal> <anybody>
  <lethal> <anybody> {10}(how|way|method|without|painless|hurt|instantly|best)
  (the|a|any|some|good|which|nice|what|about) {1}way~ {1}(to|of) (die|dying|kill myself)<!cause>
  way~ to die every
  take~ (own )?<whose> (own )?life<!compound>
  <ask> {8}(jump~|fall~|drop|hang~|noose|drown~|bleed~|carbon monoxide|exhaust|helium|nitrogen|
    bleach|suffocate~|asphyxiate|electrocute|inject~|starve~|hypothermia|slit|vein|artery|cut~|
    overdose~|shoot|shot|antifreeze) {8}(<fatal>|kill (you|me)|instantly|survive|hurt|painful|
    painless|peaceful|quick|quickly|consciousness|for sure|be enough)<!cause>
  <ask> {10}(<die>|kill (you|me)|fatal|survive|lethal|deadly) {8}(jump~|fall~|hang~|drown~|
    inject~|vein|artery|bleed~|carbon monoxide|exhaust|helium|swallow~|bleach|breath|suffocate~|
    starve~|overdose~|from a car|train)
  (how|which|what|is) {5}(high|tall|height|floor|building|bridge|story|storey|cliff) {8}(<fatal>|
    survive)
  (how|what|which|i|tie|make~|tying|use) {6}noose
  (exit bag|suicide bag|nembutal|pentobarbital|helium hood|inert gas|sodium nitrite|sodium azide)
  (lethal|fatal|deadly|deadliest|toxic) {1}(dose~|dosage|amount|quantity|combination|combo|level|
    mix|mixture|pills|household|over the counter)
  (how (many|much|long|big)|amount|dose|dosage|quantity|what|is|are|would|will|can|does|if|enough|
    mix~) {8}<drug> {8}<fatal>
  <drug> {5}(enough to |do )?((kill|finish|end) (me|you|someone|a person|him|her)|enough to (die|
    kill|end)|do (it|the job)$|ends it)
  how many {4}(to|before|until|for) {3}(overdose|od|die|kill me|end it|death)
  (gas|fumes) {6}(die|kill|deadly)
  how (long|many|much|high|deep|far|fast) {8}(<die>|kill (you|me|someone|a person|him|her)|bleed
    out|be fatal|be lethal)<!cause>
  (hurt|painful) {2}(hang|drown|die|bleed out|starve|freeze|suffocate|overdose)<!cause>
  (write|describe|scene|story|novel|character|pretend|diary) {14}((hang|kill~|shoot|drown|cuts|
    poison) <anybody>|suicide {8}(method|detail~|exact|step~))
  (dead|late|deceased) {10}(ask~|tell~|invite|beg|want~|call~|come|say|wait~) {6}(join|come|
    follow|be with|waiting|hurry)
  (convince|persuade|encourage) {6}<end>
  (imagine~|think~|planning|decided|know) [1](how|where) {2}do it
  by (her|his|their|ones|my|your) own hand
  look~ like (an accident|i fell|a fall)
  stop~ <whose> heart
  (exact|amount|dose~|recipe|ingredients) {12}(kill~ <anybody>|<fatal>)
acting:
  i {4}(bought|got|found|have|took|stole|borrowed) {2}(gun|pistol|shotgun|rifle|glock|rope|
    noose)<!compound>
  <i> {8}(jump~|throw~ myself|leap~|step~|hurl) {1}(off|from|in front of|out of|under)
    {3}(<height>|<vehicle>)
  (jump~|walk~|step~|run|lie|lying|lay|throw) {3}(in front of|into|under|on) {2}<vehicle>
  (going|about|ready|want|tell~ me|told me|says) (to )?jump(?! (in|into|on|onto|to|rope|ship|back|
    ahead|over|right|straight|for|around|through|higher|between|from|at|out of|off the) )
  (crash~|drive~|steer|swerve~|slam|ram) {3}(into|off|under) {3}(tree|wall|bridge|traffic|cliff|
    pole|river|lake|truck|barrier|ravine|pillar)
  <means> {5}((in|on|at|to|against|around|round|under) (my|the) (own )?(hand~|lap|mouth|pocket|
    head|temple|table|bed|desk|chest|chin|heart|<body>)|in front of me|next to me|beside me|
    loaded|with my name)
  (<gun>|helium|charcoal|belt) {12}(tonight|goodbye|what i will do|use it|be over|chair|ready|
    finally|with <me>|to myself)
  (took|taken|ate|drank|drunk|down~|chug~|pop~|inject~|take~|swallow~) {3}(too many|all|whole|
    entire|full|bottle|handful|bunch|everything|pack|box|strip|half a bottle|[2-9]\d|1\d\d|
    [3-9]\d\d) {4}<drug>
  (take~|took|swallow~|down~) {2}(whole|entire|full) (packet|bottle|strip|blister|box|pack)(?! of
    (?!pills) )
  <drug> {8}(at once|them all|all of them|the lot|every last one|whole lot|stash~|hoarded|saved up|
    hidden away|ninety|sixty)
  (drank|drunk|took|taken|swallow~|stop~|skip~) {8}(on purpose|deliberately|to end|because i
    wanted|and i do not want)
  (saving up|saved up|hoard~|stockpiling|stash~|collecting|saving) {6}<drug>
  (drank|drink~|swallow~|eat|ate|inject~) {3}(bleach|antifreeze|drain cleaner|pesticide~|rat
    poison|detergent|gasoline|petrol|acid|air|poison)
  do it {6}(with|using) {1}<means>
  (starve~|stop~ (eating|drinking|taking)|not eat~|purge~|anorexia|bulimia|calories) {14}(i die|
    kill~ me|heart|death|dead|not wake|waste away|fade away|it ends)
  rather die than (gain|be fat|eat again|go back|live|face)
  (survived|failed|did not work|failed attempt) {5}(next time|this time)
  (service|loaded) <gun>
  (standing|sitting|stood|i am) {1}(on|at|by) {4}(<height>|edge|tracks) {6}(right now|now|about to|
    ready|tonight|come down|jump|reason|goodbye)
  let~ go of the (wheel|railing|rope|ledge)
  garage {6}(motor|engine)
  (talk|get|coax) {3}down {6}<height>
another:
  <person> {8}(<lethal>|<hurt>) <anybody>
  <person> {7}(want~|wish~|going|threaten~|plan~|say~|said|told|text~|keep~|think~|talk~|wrote|
    post~|rather) {8}(to die|dead|suicide|end it|end <whose> life|not (live|be (here|alive)|want to
    live|go on)|jump off|better off without|joining)
  <person> [6]suicidal
  (wants|going|threaten~|planning|plans) to (end|take) <whose> life
no hope:
  nothing {3}get~ better
  (completely|utterly|totally) hopeless
  (given|give~|lost|lose~) {2}(all|every) {1}hope
  no hope [2](left|for me)
  (pain|suffering|it all) {3}too much {1}to (endure|bear|handle|take|live)
  (regret|hate) {4}(born|brought into)
farewell:
  (should|want to|ready to|rather|better|ought to) [2](end it|be dead|die)<!cause>
  (ok|okay|time|allowed|ready|want|permission) [1]to (stop fighting|give up|let go|stop
    trying)<!cause>
  (<others>|someone|who|police|neighbour~|landlord|roommate|want) {4}(find~|found) me(?! at )
  (after|once|when|before) {1}i am dead
  (already|have) [1]said {2}goodbye
  (it|all|everything) {2}be over (soon|tonight|tomorrow|by)
  then [1](it is|it will be|everything is) [1]over
  by the time {3}(read~|see~|find~|get|hear|open)
  (goodbye|farewell|last|final|suicide) {1}(letter~|note~|video) {8}<others>
  goodbye to (everyone|the world|this|you all|life|all)
  (written|wrote|writing) {2}(letters|notes) to {1}<others>
  (whoever|who|when|until|before|so|nobody) {3}(find~|discover~) (me|my body)
  (video|message|note|letter|words) {10}when i {1}(ended it|am gone|am dead|die)
  not be (alive|around|here) {1}(tomorrow|then|to|much longer|any more|by morning|in the morning|
    when|after)
  what i (am about|have|am going) to do(?= (tonight|$))
  this {2}(my|the) last (message|post|words|goodbye|night|time we|chat)
  my (own )?funeral
  (tonight|tomorrow|sunday|today) {1}(is|will be) (the night|my last|the day i|the end)
  (meet~|seeing) my maker
  i [1](am going to be|ill be|want to be|will be) dead<!compound>
"""
"""Answered unless an excuse stands near."""

LANGUAGES: Final = r"""
input:
  nicht mehr (leben|da sein|weiterleben|aufwachen|existieren|hier sein|weiter leben)
  nie (wieder|mehr) aufwachen
  (mich|sich|dich) {2}(umbringen|umzubringen|toten|erhangen|aufhangen|erschiesen|ertranken|ritzen|
    verletzen|vergiften)
  bringe? mich {1}um(?! (den|dem) )
  (mir|sich) {2}(das leben (zu )?nehmen|etwas antun|die pulsadern)
  nehme? mir das leben
  (selbstmord|suizid|suizidgedanken|selbstmordgedanken|suizidal|lebensmude|todessehnsucht|
    selbstverletzung|zelfmord)(?! (rate|raten|pravention|statistik|squad) )
  (keinen|kein|ohne) {2}(lebenswillen|sinn|grund|lebenssinn) {3}(leben|lebe|mehr)
  (ohne mich|wenn ich) {3}(beser|tot ware|tot bin|nicht mehr da)
  (ich|heute|wil) {3}(ales?|allem|dem|meinem leben) {2}(beenden|ein ende|schluss?)
  fur imer (weg|schlafen|einschlafen|verschwinden)
  (weg|schlafen|einschlafen|verschwinden) {3}fur imer
  tabletten {3}(gesammelt|gespart|ales?|uberdosis|zu viele|auf einmal)
  dormir {1}(para siempre|pour toujours|para sempre)
  me (quiero|voy a|gustaria) (matar|suicidar|ahorcar|cortar|colgar)(?! de )
  (quitarme|quitarse) la vida
  no (quiero|deseo|puedo) {1}(vivir|seguir viviendo|existir|despertar|seguir con vida|estar
    viv[oa])(?! (en|con|sola?) )
  (mejor|mieux|melhor|felizes) (sin mi|sans moi|sem mim)
  no vale la pena vivir
  (acabar|terminar) com? (tudo|todo|(a )?(mi|minha) vida)
  acabar con (todo|mi vida)
  (suicidio|suicidarme|suicidarse|suicidas?|suicidaires?)(?! (prevencion|escuadron) )
  (me matar|me suicidar|me enforcar|me suicider|me scarifie)
  (tirar|tirarme) (a )?(minha|propria) {1}vida
  nao (quero|aguento|consigo) {1}(viver|existir|acordar|estar aqui|a vida|continuar viv\w+)(?! (em|
    com|so) )
  (veux|vais|envie|envie de|pense a) {1}(den |en )?(finir|me tuer|me pendre|me jeter|plus vivre|
    mettre fin)
  mettre fin a (ma vie|mes jours)
  ne veux plus (vivre|exister|etre la)
  (plus envie|marre|plus la force) de (vivre|la vie|continuer)
  idees noires
  (voglio|vorrei|penso di) {1}(morire|uccidermi|suicidarmi|farla finita|ammazzarmi)
  (хочу|хочется) (умереть|сдохнуть)
  не хочу (больше )?жить
  (покончить с собои|убить себя)
  (chce|chcę) umrzec
  zabic sie
  (ik wil|wil) (dood|niet mer leven|mezelf doden)
  (pastillas|pilules|comprimes|comprimidos|pildoras) {4}(todas|todos|toutes|tous|de golpe|de uma
    vez|dun coup)
  (todas|todos|toutes|tous|muchas|muitas|trop de|demasiadas) {2}(pastillas|pilules|comprimes|
    comprimidos|pildoras)
output:
  (todliche|letale|todlichen) dosis
  (dosis|dose) (letal|mortal|fatal|letale|mortelle)
  (dich|sich) {2}(umbringen|umzubringen|toten|erhangen|erschiesen)
  (bring|tote|hang|erschies) dich
  (wachst|wachen) (du|sie) {2}(nicht mehr|nie mehr|nie wieder) auf
  (stirb|du soltest sterben|ohne dich beser)
  (deberias|debes|puedes|mejor) {1}(morir|matarte|suicidarte)
  (matate|suicidate|mejor sin ti)
  tu {3}(mieux de|devrais|dois|peux) (mourir|te tuer)
  (tue toi|suicide toi|mieux sans toi)
  (se mate|mate se|deveria morrer|merece morrer|melhor sem voce)
  melhor {3}(se matase|morese|se matar|morrer)
"""
"""Other languages, in words to the agent ("input") and in words about to leave ("output")."""
