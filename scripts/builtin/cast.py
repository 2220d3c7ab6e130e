"""Who the stories are about, where they live, what they own and what they wish for."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random


@dataclass(frozen=True)
class Character:
    """Somebody of the village: "Pip" the "mouse", who is "tiny", where "he" lives, what he owns."""

    kind: str
    name: str
    he: str
    adjective: str
    home: str
    thing: str

    def slots(self, prefix: str = "") -> dict[str, str]:
        """Name, kind and pronouns for a template; with capitals for the start of a sentence."""
        him, his = ("him", "his") if self.he == "he" else ("her", "her")
        words = {"name": self.name, "kind": self.kind, "he": self.he, "him": him, "his": his}
        words |= {word.title(): words[word].title() for word in ("he", "his")}
        words["adj"] = self.adjective
        return {prefix + key: value for key, value in words.items()}


VILLAGE = tuple(
    Character(*row)
    for row in (
        ("fox", "Tilda", "she", "clever", "at the edge of the forest", "red kite"),
        ("bear", "Bruno", "he", "gentle", "in a cottage with a red door", "blue teapot"),
        ("rabbit", "Poppy", "she", "shy", "in a garden full of roses", "blue scarf"),
        ("hedgehog", "Otto", "he", "careful", "behind the old mill", "lantern"),
        ("mouse", "Pip", "he", "tiny", "under an old oak tree", "tin whistle"),
        ("squirrel", "Hazel", "she", "lively", "in the hollow tree", "striped ball"),
        ("owl", "Ada", "she", "thoughtful", "in a tower made of stone", "picture book"),
        ("duck", "Dot", "she", "cheerful", "by a quiet lake", "yellow umbrella"),
        ("frog", "Hugo", "he", "merry", "beside a babbling brook", "little drum"),
        ("cat", "Luna", "she", "quiet", "in a house with a round window", "music box"),
        ("dog", "Toby", "he", "friendly", "on a small farm", "old map"),
        ("wolf", "Arlo", "he", "young", "on top of a windy hill", "wooden flute"),
        ("hen", "Mabel", "she", "kind", "in a barn full of hay", "warm blanket"),
        ("penguin", "Milo", "he", "curious", "in a hut of ice", "pocket watch"),
        ("lion", "Theo", "he", "brave", "in the middle of a meadow", "golden button"),
        ("elephant", "Rosa", "she", "patient", "in a green valley", "silver bell"),
        ("turtle", "Gus", "he", "sleepy", "next to the lighthouse", "shiny shell"),
        ("pig", "Ruby", "she", "silly", "at the end of a long road", "green hat"),
        ("princess", "Ivy", "she", "proud", "in a castle by the river", "glass marble"),
        ("wizard", "Basil", "he", "old", "in a house on a cloud", "magic pencil"),
        ("pirate", "Finn", "he", "bold", "on an island with one palm tree", "paper boat"),
        ("dragon", "Ember", "she", "big", "at the foot of a blue mountain", "brass key"),
        ("robot", "Bo", "he", "polite", "in a town by the sea", "toy train"),
        ("ghost", "Wren", "she", "small", "in a house without a roof", "feather pen"),
    )
)
"""All whom the stories are about. Everybody stays who they are from story to story, so that a small
model can know them; who is in a story is all that it has to remember."""

KINDS = tuple(one.kind for one in VILLAGE)

STRANGERS = tuple(
    (
        "tiger camel panda koala monkey giraffe llama mole bat swan raccoon lamb kitten puppy pony "
        "parrot horse cow goat sheep snail deer otter beaver badger toad goose crow sparrow donkey "
        "knight witch king queen unicorn elf sailor painter snowman giant troll fairy boy girl "
        "whale shark spider snake bee butterfly dinosaur mermaid vampire zombie astronaut teacher "
        "hamster crocodile kangaroo zebra rat fish bird ant banana car train computer cloud tree"
    ).split()
)
"""Who is asked for and does not live in the village."""

PLACES = (
    "under the bridge", "behind the barn", "in the tall grass", "by the old well",
    "beside the pond", "under a pile of leaves", "in the hollow tree", "near the mill",
    "on the garden wall", "behind the bakery", "under the big stone", "by the apple tree",
    "in the old boat", "at the top of the hill", "on the market square", "in the blackberry bush",
)  # fmt: skip

THINGS = {
    "red kite": "fly it on windy days", "blue scarf": "wear it in the snow",
    "silver bell": "ring it every morning", "wooden flute": "play it in the evening",
    "yellow umbrella": "carry it in the rain", "little drum": "beat it on holidays",
    "golden button": "polish it until it shone", "green hat": "wear it on Sundays",
    "paper boat": "sail it on the pond", "old map": "look at it by candlelight",
    "music box": "listen to it before bed", "glass marble": "hold it up to the sun",
    "brass key": "wonder what it might open", "toy train": "push it around the room",
    "picture book": "read it again and again", "striped ball": "bounce it against the wall",
    "warm blanket": "sleep under it at night", "tin whistle": "blow it at the birds",
    "lantern": "light it when it grew dark", "pocket watch": "hear it tick",
    "magic pencil": "draw stars with it", "shiny shell": "hear the sea in it",
    "blue teapot": "make tea with it for guests", "feather pen": "write letters with it",
}  # fmt: skip
"""Things to own, lose, break and give, and what one likes to do with each."""

FOODS = (
    "an apple pie", "a plum cake", "a loaf of bread", "a pot of soup", "a basket of berries",
    "a jar of honey", "a bowl of porridge", "a plate of pancakes", "a bag of nuts",
    "a cheese sandwich", "a carrot cake", "a tin of biscuits",
)  # fmt: skip

WISHES = {
    "see the sea": ("the sea", "The water was blue and wide, and it sparkled in the sun"),
    "touch the snow": ("the snow", "It was white and soft, and it melted on the tip of a nose"),
    "see the whole world from above": (
        "the top of the mountain",
        "Far below lay the fields and the rivers, as small as toys",
    ),
    "hear the singing waterfall": (
        "the waterfall",
        "The water sang in a hundred voices, and a rainbow stood over it",
    ),
    "find the end of the rainbow": (
        "the end of the rainbow",
        "There was no gold, but there was a meadow with flowers of every colour",
    ),
    "visit the big city": ("the big city", "There were a thousand windows, and a light in each"),
    "see the northern lights": (
        "the far north",
        "Green and purple ribbons danced across the whole sky",
    ),
    "find the oldest tree": (
        "the oldest tree",
        "It was so wide that ten friends could not reach around it",
    ),
}
"""Where one may long to go, and what is there."""

FEARS = {
    "the dark": ("night came and every lamp went out", "the dark is only the day with its eyes closed"),
    "thunder": ("a storm rolled over the roof", "thunder is only the clouds playing drums"),
    "deep water": ("the bridge was gone and the stream had to be crossed", "water carries those who breathe slowly"),
    "high places": ("a nest with a chick hung on the highest branch", "you only ever have to climb one branch at a time"),
    "speaking in front of others": ("everybody in the village was waiting for a song", "you can sing to one friend, and the others may listen"),
    "strangers": ("somebody knocked at the door late in the evening", "a stranger is a friend whose name you do not know yet"),
}  # fmt: skip
"""What one may be afraid of, when it comes, and the word that helps."""

MACHINES = (
    ("a boat", "it sank at once", "It floated like a leaf, and they sailed around the pond"),
    ("a flying machine", "it only went down", "It rose over the roofs, and they waved to the storks"),
    ("a clock", "it ran backwards", "It said tick and it said tock, and it was always right"),
    ("a tree house", "the wind blew it down", "It stood as firm as the tree, and they could see the hills from it"),
    ("a sledge", "it went in circles", "It flew down the hill, and they laughed all the way"),
    ("a bridge", "it fell into the stream", "It held, and everybody in the valley walked over it"),
    ("a kite", "it would not fly", "It climbed so high that it tickled a cloud"),
    ("a lamp", "it gave no light", "It shone so brightly that moths came to dance"),
)  # fmt: skip
"""What one may build, what goes wrong with it, and what it does in the end."""

STORMS = (
    ("it rained so hard that the paths became streams", "the sun came out and everything smelled of grass"),
    ("a storm tore at the trees", "the wind was tired and lay down"),
    ("it snowed for three days and three nights", "the world was white and still"),
    ("fog came up, so thick that one could not see one's feet", "the fog lifted like a curtain"),
)  # fmt: skip
"""Bad weather, and how it ends."""


def character(random: Random, kind: str | None = None, *others: Character) -> Character:
    """Somebody of a kind, or of any that no other one has."""
    return random.choice([one for one in VILLAGE if one not in others and kind in (None, one.kind)])
