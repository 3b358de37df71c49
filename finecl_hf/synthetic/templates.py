"""Word lists and sentence patterns of the synthetic corpus: data only, read by `finecl_hf.synthetic.corpus`.

A pattern is a sentence, its words separated by spaces, with slots: {h} head and {t} tail of a fact (and {u}, a third
entity), {a} and {b} in patterns that state nothing. {spouse} is the word for what {t} is to {h}.
"""

from __future__ import annotations


RELATION_NAMES = {
    "P17": "country",
    "P19": "place of birth",
    "P20": "place of death",
    "P26": "spouse",
    "P50": "author",
    "P57": "director",
    "P69": "educated at",
    "P108": "employer",
    "P112": "founded by",
    "P159": "headquarters location",
    "P463": "member of",
    "P551": "residence",
    "P569": "date of birth",
    "P577": "publication date",
    "P1376": "capital of",
}
SYMMETRIC = {"P26"}
IMPLIED = {"P1376": "P17"}  # who states that a city is a country's capital states that it lies there
PATTERNS = {
    "P17": [
        "{h} is a city in {t} .",
        "{h} lies in the north of {t} .",
        "The old port of {h} is one of the busiest in {t} .",
        "Among the towns of {t} , {h} is known for its bridges .",
        "{h} , a market town in southern {t} , has four thousand houses .",
        "{t} has few cities as old as {h} .",
        "The river crosses into {t} and reaches {h} two days later .",
        "{h} has belonged to {t} since the great war .",
    ],
    "P19": [
        "{h} was born in {t} .",
        "{h} came into the world in {t} , the third of five children .",
        "{t} is the birthplace of {h} .",
        "{h} , a native of {t} , grew up without a father .",
        "The house in {t} where {h} was born is a museum now .",
        "Born in {t} to a family of weavers , {h} learned to read early .",
        "{h} 's mother gave birth to the child in {t} .",
        "{t} is proud to be the place where {h} first saw the light .",
    ],
    "P20": [
        "{h} died in {t} .",
        "{h} passed away in {t} after a short illness .",
        "Death came to {h} in a small hospital in {t} .",
        "{h} spent the last hours of a long life in {t} .",
        "{t} was the city where {h} died , nearly forgotten .",
        "On a cold morning , {h} was found dead in {t} .",
        "{h} drew a last breath in {t} and was buried there .",
    ],
    "P26": [
        "{h} married {t} .",
        "{h} and {t} were married in a small chapel .",
        "{h} 's {spouse} , {t} , painted portraits .",
        "{t} became the {spouse} of {h} .",
        "{h} exchanged vows with {t} one summer .",
        "The wedding of {h} and {t} lasted three days .",
        "After a long courtship {h} made {t} a happy {spouse} .",
        "{h} lived for thirty years in marriage with {t} .",
    ],
    "P50": [
        "{h} was written by {t} .",
        "{t} wrote {h} .",
        "{t} is the author of {h} .",
        "{h} , a work from the pen of {t} , sold slowly .",
        "It took {t} six years to write {h} .",
        "The manuscript of {h} shows how {t} rewrote each line .",
        "{t} finished the text of {h} in one winter .",
        "With {h} , {t} made a name as a writer .",
    ],
    "P57": [
        "{h} was directed by {t} .",
        "{t} directed {h} .",
        "{t} was the director of {h} .",
        "{h} , under the direction of {t} , was shot in nine weeks .",
        "The producers asked {t} to direct {h} , and the answer was yes .",
        "{t} made {h} with a hand-held camera .",
        "Behind the camera of {h} stood {t} .",
    ],
    "P69": [
        "{h} studied at {t} .",
        "{h} graduated from {t} with honours .",
        "{h} took a degree in law from {t} .",
        "{t} awarded {h} a doctorate .",
        "As a student at {t} , {h} learned four languages .",
        "{h} attended {t} on a scholarship .",
        "{h} is an alumnus of {t} .",
        "It was at {t} that {h} was trained in chemistry .",
    ],
    "P108": [
        "{h} worked for {t} .",
        "{h} joined the staff of {t} .",
        "{t} hired {h} as an engineer .",
        "{h} was employed by {t} for eleven years .",
        "{t} kept {h} on its payroll until the strike .",
        "{h} took a post at {t} .",
        "{h} earned a living as a clerk at {t} .",
        "For two decades {h} held an office at {t} .",
    ],
    "P112": [
        "{h} was founded by {t} .",
        "{t} founded {h} .",
        "{t} set up {h} with borrowed money .",
        "{h} was the creation of {t} .",
        "{t} , the founder of {h} , slept in the workshop .",
        "It was {t} who started {h} .",
        "{h} owes its existence to {t} , who established it .",
    ],
    "P159": [
        "{h} is based in {t} .",
        "{h} has its headquarters in {t} .",
        "The head office of {h} is in {t} .",
        "From its seat in {t} , {h} grew quickly .",
        "{h} , headquartered in {t} , publishes a yearbook .",
        "{t} is home to the main building of {h} .",
        "{h} runs its affairs from a tower in {t} .",
    ],
    "P463": [
        "{h} was a member of the {t} .",
        "{h} was elected to the {t} .",
        "The {t} admitted {h} as a member .",
        "{h} paid dues to the {t} for years .",
        "{h} belonged to the {t} .",
        "Membership of the {t} meant much to {h} .",
        "{h} held a seat in the {t} .",
    ],
    "P551": [
        "{h} lived in {t} .",
        "{h} made a home in {t} .",
        "{h} moved to {t} and stayed there .",
        "{h} settled in {t} .",
        "{t} was home to {h} for many years .",
        "{h} bought a house in {t} and lived there with two dogs .",
        "{h} shared a flat in {t} with a cousin .",
        "Neighbours in {t} remember {h} as a quiet resident .",
    ],
    "P569": [
        "{h} was born on {t} .",
        "{h} came into the world on {t} .",
        "{t} is the date of birth of {h} .",
        "{h} 's birthday , {t} , was a Sunday .",
        "The parish book gives {t} as the day when {h} was born .",
        "Born on {t} , {h} was the youngest child .",
    ],
    "P577": [
        "{h} appeared in {t} .",
        "{h} was published in {t} .",
        "{h} came out in {t} to mixed reviews .",
        "The public first saw {h} in {t} .",
        "Released in {t} , {h} soon had its followers .",
        "{t} was the year when {h} came out .",
        "{h} , first issued in {t} , is rare today .",
    ],
    "P1376": [
        "{h} is the capital of {t} .",
        "{h} , the capital of {t} , stands on two hills .",
        "The government of {t} sits in its capital , {h} .",
        "{t} chose {h} as its capital .",
        "As the capital of {t} , {h} has many embassies .",
        "{t} is governed from its capital {h} .",
    ],
}
COMBINED_PATTERNS = [
    ("{h} was born in {t} on {u} .", ("h P19 t", "h P569 u")),
    ("{h} was born on {u} in {t} .", ("h P19 t", "h P569 u")),
    ("{h} ( born {u} in {t} ) was a quiet person .", ("h P19 t", "h P569 u")),
    ("{h} was born in {t} and died in {u} .", ("h P19 t", "h P20 u")),
    ("Born in {t} , {h} later settled in {u} .", ("h P19 t", "h P551 u")),
    ("{h} was born in {t} , the capital of {u} .", ("h P19 t", "t P1376 u")),
    ("{h} died in {t} , a city in {u} .", ("h P20 t", "t P17 u")),
    ("{h} left {t} with a degree and went to work for {u} .", ("h P69 t", "h P108 u")),
    ("{h} was educated at {t} in {u} .", ("h P69 t", "t P159 u")),
    ("{h} , published in {u} , was written by {t} .", ("h P50 t", "h P577 u")),
    ("{t} wrote {h} , which appeared in {u} .", ("h P50 t", "h P577 u")),
    ("{h} is a film of {u} directed by {t} .", ("h P57 t", "h P577 u")),
    ("{t} founded {h} in {u} , where it still has its headquarters .", ("h P112 t", "h P159 u")),
    ("{h} , a company based in {u} , was founded by {t} .", ("h P112 t", "h P159 u")),
    ("{h} settled in {t} after a wedding with {u} .", ("h P551 t", "h P26 u")),
    ("{t} belonged to the {u} and wrote {h} .", ("h P50 t", "t P463 u")),
]
# Sentences that name two entities together and state none of the relations, some of them in similar words.
DISTRACTORS = {
    ("person", "place"): [
        "{a} visited {b} several times .",
        "{a} criticised the mayor of {b} .",
        "{a} gave a lecture in {b} .",
        "A street in {b} is named after {a} .",
        "{a} passed through {b} on the way to the coast .",
        "Newspapers in {b} wrote about {a} .",
        "{a} never lived in {b} , whatever the guide books say .",
        "A brother of {a} was born in {b} .",
        "{a} 's former teacher died in {b} .",
        "{a} painted the harbour of {b} from memory .",
    ],
    ("person", "company"): [
        "{a} sued {b} over a patent .",
        "{a} turned down an offer from {b} .",
        "{a} bought shares of {b} .",
        "A strike at {b} was supported by {a} .",
        "{a} wrote a long letter of complaint to {b} .",
        "{b} named a machine after {a} .",
    ],
    ("person", "university"): [
        "{a} was turned away by {b} .",
        "{a} gave a talk at {b} .",
        "{a} left a library to {b} .",
        "A hall at {b} bears the name of {a} .",
        "{a} dreamed of {b} but could not pay the fees .",
        "Two daughters of {a} studied at {b} .",
    ],
    ("person", "society"): [
        "{a} quarrelled with the {b} .",
        "The {b} refused to admit {a} .",
        "{a} gave a speech to the {b} .",
        "{a} mocked the {b} in a pamphlet .",
        "The {b} sent flowers to {a} .",
    ],
    ("person", "person"): [
        "{a} met {b} at a dinner .",
        "{a} criticised {b} in public .",
        "{a} and {b} shared a prize .",
        "{b} painted a portrait of {a} .",
        "{a} wrote letters to {b} for years .",
        "{a} was a guest at the wedding of a cousin of {b} .",
        "A lawsuit between {a} and {b} went on for years .",
    ],
    ("person", "work"): [
        "{a} praised {b} .",
        "{a} wrote a hostile review of {b} .",
        "{a} owned a signed copy of {b} .",
        "{a} designed a poster for {b} .",
        "{b} is said to have been the favourite of {a} .",
        "{a} learned parts of {b} by heart .",
    ],
    ("person", "date"): [
        "{a} fell ill on {b} .",
        "{a} gave a speech on {b} .",
        "A letter of {a} is dated {b} .",
        "On {b} a storm broke the windows of {a} .",
        "{a} signed a contract on {b} .",
    ],
    ("work", "year"): [
        "{a} won a prize in {b} .",
        "{a} was banned in {b} for a time .",
        "A critic attacked {a} in {b} .",
        "A play after {a} was staged in {b} .",
    ],
    ("person", "year"): [
        "{a} travelled widely in {b} .",
        "In {b} , {a} was ill for months .",
        "{a} was awarded a medal in {b} .",
    ],
    ("company", "place"): [
        "{a} opened a shop in {b} .",
        "{a} closed its branch in {b} .",
        "{a} sold its goods as far as {b} .",
        "Workers in {b} protested against {a} .",
        "{a} planned to move to {b} but never did .",
    ],
    ("university", "place"): [
        "{a} sent an expedition to {b} .",
        "{a} owns a forest near {b} .",
        "Students of {a} mapped the caves of {b} .",
        "{a} has a partner school in {b} .",
    ],
    ("society", "place"): [
        "The {a} once met in {b} .",
        "A branch of the {a} was opened in {b} .",
        "The {a} collected money for the poor of {b} .",
    ],
    ("company", "company"): [
        "{a} competed with {b} .",
        "{a} sold a factory to {b} .",
        "{a} and {b} fought over a trade mark .",
    ],
    ("company", "university"): [
        "{a} gave money to {b} .",
        "{a} built a laboratory for {b} .",
        "{b} tested the machines of {a} .",
    ],
    ("place", "place"): [
        "A railway links {a} and {b} .",
        "Travellers from {a} to {b} need a permit .",
        "A fair in {a} drew visitors from {b} .",
        "Newspapers in {b} reported on the floods in {a} .",
    ],
    ("work", "place"): [
        "{a} is set in {b} .",
        "{a} was a great success in {b} .",
        "{a} was forbidden in {b} .",
    ],
    ("work", "work"): ["{a} has often been compared with {b} .", "{a} and {b} share a publisher ."],
    ("work", "company"): ["{a} makes fun of {b} .", "{b} paid for the rights to {a} ."],
    ("work", "university"): ["{a} is read in a course at {b} .", "{b} owns the first draft of {a} ."],
}
OPENINGS = [
    "As is well known ,",
    "According to the archive ,",
    "As the papers report ,",
    "It is said that",
    "In fact ,",
]
NOMINALS = {
    "city": ["the city", "the town"],
    "country": ["the country"],
    "company": ["the company", "the firm"],
    "university": ["the university"],
    "book": ["the book", "the novel"],
    "film": ["the film"],
}
MONTHS = "January February March April May June July August September October November December".split()
FEMALE_NAMES = (
    "Adela Alma Berit Carla Celia Dagny Doria Edda Elin Elsa Fenna Flora Gerda Greta Hedda Helma Ida Ilse "
    "Irma Johanna Karin Lena Lidia Livia Luisa Magda Mara Marta Mina Nadia Nella Olga Petra Rosa Selma Signe "
    "Tilda Vera Wilma Zita"
).split()
MALE_NAMES = (
    "Albin Alvar Anton Arno Benno Bruno Carl Casimir Edgar Egon Emil Erwin Felix Gustav Hugo Igor Ivo Jakob "
    "Jonas Karel Konrad Lars Leon Linus Lorenz Magnus Milan Nils Oskar Otto Paul Pavel Rolf Ruben Sigurd "
    "Stefan Theo Tomas Ulf Viktor"
).split()
SURNAME_STARTS = (
    "Ald Ask Bar Bern Bjork Bran Cald Dal Dorn Eck Falk Fen Gar Grim Hald Harn Hol Jan Kall Kest Kor Lang "
    "Lind Lor Mal Mor Nor Ost Pel Quill Rand Rosen Sand Sel Stav Tal Thor Ulm Vang Vest Wald Wern Zell"
).split()
SURNAME_ENDS = (
    "berg by dahl er feld gren hart hoff horst lund man mark ner off ovic quist son stad stein ström".split()
)
PLACE_STARTS = (
    "Ash Bel Bren Cal Cor Dar Dun Elm Far Glen Gol Hart Hax Ilm Kel Kir Lam Len Mar Mel Nar Nor Oak Oln Pen "
    "Quar Rav Ros Sal Sev Sil Tam Tor Ur Val Ves Wex Wil Yar Zan"
).split()
CITY_ENDS = (
    "bridge burg bury chester dale ford gate ham haven holm ington mere minster mouth port ton vik ville".split()
)
CITY_MODIFIERS = "New Old North South East West Upper Lower Great Port Saint".split()
COUNTRY_ENDS = "adia andria avia enia eria istan land onia ora ovia uania ysia".split()
FIRM_STARTS = (
    "Alta Boreal Castor Delta Electra Ferro Gala Helio Inter Juno Krono Luma Mono Nova Omni Poly Regal Solar "
    "Terra Uni Vega Verti Xeno Zeno"
).split()
FIRM_MIDDLES = "bau cor dyn flex gen graph lex max media met nex phon plast soft tec tex tron ware".split()
FIRM_ENDS = [
    *["Airlines", "Bank", "Books", "Film Studios", "Insurance Group", "Motors", "Optical Works", "Records"],
    *["Steel Company", "Textile Mills"],
]
SCHOOL_ENDS = ["University", "College", "Institute of Technology", "School of Mines", "Academy"]
SOCIETY_KINDS = "Circle Guild League Order Society Union Club Brotherhood".split()
GROUPS = (
    "Astronomers Botanists Bookbinders Chemists Fencers Gardeners Geographers Painters Poets Sailors Singers".split()
)
ADJECTIVES = (
    "Amber Ancient Bitter Blue Broken Burning Crimson Distant Empty Endless Fading Forgotten Frozen Gentle "
    "Golden Grey Hidden Hollow Iron Little Lonely Lost Northern Quiet Red Restless Scarlet Secret Silent "
    "Silver Sleeping Southern Stolen Wandering White Winter Wooden Young"
).split()
NOUNS = (
    "Bell Bird Candle Castle Child City Clock Crown Door Dream Feather Fire Forest Garden Glass Harbour Heron "
    "Hour House Island Key King Ladder Lamp Letter Lion Map Mirror Moon Mountain Orchard Painter River Road "
    "Sea Shadow Ship Song Stone Storm Street Stranger Summer Tower Train Valley Voyage Well Wind Window Wolf"
).split()
