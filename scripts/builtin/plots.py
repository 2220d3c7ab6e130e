"""The twelve plots: a wish or a trouble, what was tried, and an end that fits."""

from __future__ import annotations

from collections.abc import Callable

from cast import FEARS, MACHINES, PLACES, STORMS, THINGS, WISHES
from telling import HABITS, TIMES, Story


def lost(story: Story) -> None:
    """Something is lost, looked for, and found."""
    s = story.slots
    story.theme, story.title = "something lost", f"The Lost {s['thing'].title()}"
    wrong = story.random.sample([place for place in PLACES if place != s["place"]], 2)
    s["wrong"], s["wrong2"] = wrong
    story.tell(
        "{He} had a {thing}, and {he} loved to {use}.",
        "The dearest thing {he} owned was a {thing}. {He} liked to {use}.",
    )
    story.tell(
        f"{story.random.choice(TIMES)} the {{thing}} was gone. {{name}} looked {{wrong}}, but it was "
        "not there. {He} looked {wrong2}, but it was not there either.",
        f"{story.random.choice(TIMES)} {{name}} could not find the {{thing}}. It was not {{wrong}}. "
        "It was not {wrong2}. {name} was close to tears.",
    )
    story.tell(
        'Then {fname} the {fkind} came along. "[Why are you so sad|What are you looking for|What is '
        'the matter]?" {fhe} asked. "I have lost my {thing}," said {name}.',
        '"[Have you seen|Did you see] my {thing}?" {name} asked {fname} the {fkind}. "No," said '
        '{fname}, "but four eyes see more than two. I will help you look."',
    )
    story.tell(
        '"Think back," said {fname}. "Where did you have it last?" {name} thought [hard|for a '
        'while]. "{Place}!" {he} cried.',
        "So they searched together, [step by step|slowly and well|until the sun was low].",
    )
    story.tell(
        "And there it was, {place}, [a bit dusty|a little wet|as good as new|shining in the light].",
        "They ran to look {place}, and there lay the {thing}, [safe and sound|just where it had "
        "fallen|with a snail sitting on it].",
    )
    story.tell(
        '"Thank you," said {name}, and let {fname} be the first to {use}.',
        '{name} jumped for joy. "What is mine is yours," {he} told {fname}, and from then on they '
        "took turns to {use}.",
        '{name} hugged {fname}. "Without you I would still be looking," {he} said.',
    )
    story.know(f"What did {story.hero.name} lose?", "{name} lost a {thing}.")
    story.know(f"Where was the {s['thing']}?", "It was {place}.")
    story.know(f"Who helped {story.hero.name}?", "{fname} the {fkind} helped {him}.")


def gift(story: Story) -> None:
    """A present that is hard to find, and turns out to be at hand."""
    s = story.slots
    story.theme, story.title = "a birthday", f"A Present for {s['fname']}"
    story.tell(*HABITS)
    story.tell(
        "[Tomorrow|The next day] was the birthday of {fname} the {fkind}, and {name} had no present.",
        "{fname} the {fkind} was going to have a birthday, and {name} wanted to give {fhim} the best "
        "present in the world.",
    )
    story.tell(
        "{He} went to the market, but everything cost more than the two coins in {his} pocket.",
        "{He} tried to bake a cake, but it came out of the oven as flat as a plate.",
        "{He} tried to paint a picture, but the paint ran, and {fname} looked like a potato.",
    )
    story.tell(
        "Then {name} saw {his} own {thing}. It was the thing {he} liked best of all. {He} thought "
        "about it for a long time.",
        "At home {name} sat down beside {his} {thing}. {He} liked to {use}. And suddenly {he} had "
        "an idea.",
    )
    story.tell(
        "{He} wrapped the {thing} in [blue|yellow|brown] paper and carried it to {fname}.",
        "{He} put a ribbon around the {thing} and set off.",
    )
    story.tell(
        '"But this is your {thing}!" said {fname}. "Now it is yours," said {name}.',
        '{fname} opened {fhis} eyes wide. "A {thing}! It is just what I wished for!"',
    )
    story.tell(
        '"Then we shall share it," said {fname}. And that was the best present for both of them.',
        "They ate {food} together, and afterwards {fname} asked {name} to {use}.",
        "{name} felt warm inside, as if it were {his} own birthday.",
    )
    story.know(
        f"What did {story.hero.name} give {story.friend.name}?", "{name} gave {fhim} a {thing}."
    )
    story.know("Whose birthday was it?", "It was the birthday of {fname} the {fkind}.")


def journey(story: Story) -> None:
    """A wish, a way, somebody who knows it."""
    s = story.slots
    wish = story.random.choice(list(WISHES))
    s["wish"], (s["goal"], s["view"]) = wish, WISHES[wish]
    story.theme, story.title = "a journey", f"How {s['name']} Went to {s['goal'].title()}"
    story.tell(
        "{name} had one great wish: {he} wanted to {wish}.",
        "More than anything, {name} wanted to {wish}.",
        'Every night {name} looked out of the window and said, "One day I will {wish}."',
    )
    story.tell(
        f"{story.random.choice(TIMES)} {{he}} packed {{food}} and a {{thing}} and set out.",
        f"{story.random.choice(TIMES)} {{he}} put on a warm coat, took {{his}} {{thing}} and went.",
    )
    story.tell(
        "{He} walked over [three|seven] hills and through [a dark wood|a wide field|a sleepy town], "
        "until the road split in two.",
        "The road was long and {his} feet hurt. At noon {he} had to sit down on a stone.",
    )
    story.tell(
        'There {he} met {fname}, a {fadj} {fkind}. "I want to {wish}," said {name}. "So do I," said '
        '{fname}, "but I never dared to go alone."',
        'A {fkind} called {fname} sat there. "Which is the way to {goal}?" asked {name}. "I will '
        'show you," said {fname}, "if you share your lunch with me."',
    )
    story.tell(
        "They shared {food}, and then they went on together. [The way was half as long now|When one "
        "was tired, the other told a joke|They sang all the songs they knew].",
    )
    story.tell(
        "[In the evening|On the third day|At last] they came to {goal}. {view}.",
        "And then, [behind the last bend|when they had stopped counting the hours], there was "
        "{goal}. {view}.",
    )
    story.tell(
        '{name} could not speak for a while. "It is even better with a friend," {he} said then.',
        '"Was it worth the walk?" asked {fname}. "Every step," said {name}.',
        "They stayed until the stars came out, and neither of them wanted to go home.",
    )
    story.know(f"What did {story.hero.name} want?", "{He} wanted to {wish}.")
    story.know(f"Whom did {story.hero.name} meet?", "{name} met {fname}, a {fkind}.")


def fear(story: Story) -> None:
    """A fear, the moment it comes, and a word that helps."""
    s = story.slots
    s["fear"] = story.random.choice(list(FEARS))
    s["moment"], s["word"] = FEARS[s["fear"]]
    story.theme, story.title = "being brave", f"{s['name']} Is Brave"
    story.tell(
        "{name} was not afraid of much, but {he} was afraid of {fear}.",
        "There was only one thing that {name} did not like at all, and that was {fear}.",
    )
    story.tell(
        "[Nobody knew|{He} never told anyone], because {he} thought that they would laugh.",
        '"I am the only one in the whole world," {he} thought.',
    )
    story.tell(f"{story.random.choice(TIMES)} {{moment}}.")
    story.tell(
        "{name}'s heart beat like a drum, and {his} knees began to shake.",
        "{name} wanted to run away and hide under {his} bed.",
    )
    story.tell(
        '{fname} the {fkind} saw it and [sat down beside {him}|took {his} hand]. "I used to be '
        'afraid of {fear} too," {fhe} said. "My grandmother told me that {word}."',
        '"Are you afraid?" asked {fname} the {fkind}. {name} nodded. "So am I, a little," said '
        '{fname}. "But remember that {word}."',
    )
    story.tell(
        "{name} took a deep breath, and then another one. {He} counted to three. And then {he} did "
        "it.",
        "{name} said these words to {himself} three times. At the third time {his} knees were still.",
    )
    story.tell(
        "It was not so bad after all. [It was even a little beautiful|{He} even laughed].",
        '"You did it!" cried {fname}. "We did it," said {name}.',
    )
    story.tell(
        "Since then {name} knows: to be brave is to be afraid and to go on.",
        "{He} is still a bit afraid of {fear}, but now {he} knows what to do.",
    )
    story.know(f"What was {story.hero.name} afraid of?", "{name} was afraid of {fear}.")
    story.know(f"Who helped {story.hero.name}?", "{fname} the {fkind} helped {him}.")


def sharing(story: Story) -> None:
    """Little food, a hungry guest, and something in return."""
    s = story.slots
    story.theme, story.title = "sharing", f"{s['name']} and the Hungry Guest"
    story.tell(*HABITS)
    story.tell(
        "It had been a [long winter|dry summer|bad year], and all that {name} had left was {food}.",
        f"{story.random.choice(TIMES)} {{name}} had made {{food}} and was about to sit down and eat.",
    )
    story.tell(
        "Then somebody knocked at the door. It was a {fkind} [with a wet coat|with tired eyes|whom "
        '{he} had never seen]. "I am {fname}," said the {fkind}. "I have not eaten since yesterday."',
    )
    story.tell(
        "{name} looked at the table. There was hardly enough for one. But {he} fetched a second "
        "[plate|spoon|chair].",
        '{name} was hungry too. "Half is better than nothing," {he} thought. "Come in," {he} said.',
    )
    story.tell(
        "They ate slowly, and {fname} told of [far countries|the sea|the way the stars got their "
        "names]. [Never had a supper tasted better|The fire crackled, and the room was warm].",
    )
    story.tell(
        "In the morning the guest was gone. But on the table lay a {thing}, and a note: [Thank you "
        "for the other half|For the one who shares].",
        'When {fname} left, {fhe} took a {thing} out of {fhis} bag. "This is for you," {fhe} said. '
        '"You gave me half of all you had."',
    )
    story.tell(
        "{name} kept it all {his} life, and {he} loved to {use}.",
        "And every time {name} went to {use}, {he} thought of {fname}.",
    )
    story.know(f"What did {story.hero.name} share?", "{name} shared {food}.")
    story.know(f"What did {story.friend.name} leave?", "{fname} left a {thing}.")


def building(story: Story) -> None:
    """Something that does not work, until a friend has a look."""
    s = story.slots
    s["machine"], s["flaw"], s["works"] = story.random.choice(MACHINES)
    story.theme, story.title = "building something", f"{s['name']} Builds {s['machine'].title()}"
    story.tell(
        "{name} liked to make things. {His} pockets were full of [nails|string|wheels|screws].",
        "{name} had [big plans|a new idea every day] and a box full of [boards and nails|odds and ends].",
    )
    story.tell(f"{story.random.choice(TIMES)} {{he}} began to build {{machine}}.")
    story.tell(
        "{He} sawed and hammered all day, but {flaw}. {He} tried again, and again {flaw}.",
        "When it was finished, {flaw}. {name} [scratched {his} head|sighed] and began anew, but {flaw}.",
    )
    story.tell(
        '"I give up," said {name}. Just then {fname} the {fkind} came by. "May I have a look?" {fhe} '
        "asked.",
        '{fname} the {fkind} had watched [from the fence|all the time]. "It is almost right," '
        "{fhe} said.",
    )
    story.tell(
        '"[You put the heavy part on the wrong side|There is one screw too many|It needs a longer '
        'string|This piece is upside down]," said {fname}. They changed it together.',
    )
    story.tell("And this time it worked. {works}.", "They held their breath. {works}!")
    story.tell(
        '"[How did you know|Who taught you that]?" asked {name}. "I have made more mistakes than '
        'you," said {fname}, and winked.',
        "They wrote both their names on it, {name} and {fname}, in [red|blue|golden] letters.",
    )
    story.know(f"What did {story.hero.name} build?", "{name} built {machine}.")
    story.know(f"Who helped {story.hero.name}?", "{fname} the {fkind} helped {him}.")


def sorry(story: Story) -> None:
    """A mistake, the truth, and mending."""
    s = story.slots
    s["thing"], s["use"] = story.friend.thing, THINGS[story.friend.thing]
    story.theme, story.title = "saying sorry", f"{s['name']} Tells the Truth"
    story.tell(
        "Next door lived {fname}, a {fadj} {fkind}, who owned a {thing}. {Fhe} loved to {use}.",
        "{His} best friend was {fname} the {fkind}. {fname} had a {thing} and was very proud of it.",
    )
    story.tell(
        f"{story.random.choice(TIMES)} {{fname}} lent the {{thing}} to {{name}}. {{name}} [ran|danced|jumped] "
        "with joy, and stumbled, and the {thing} broke in two.",
        f"{story.random.choice(TIMES)} {{name}} touched the {{thing}} when nobody was looking. It slipped "
        "out of {his} hands, and it broke.",
    )
    story.tell(
        "{name} hid the pieces {place}. But all day long there was a stone in {his} belly.",
        "What now? {name} could say that it had been the wind. But the wind had done nothing.",
    )
    story.tell(
        'At last {he} went to {fname}. "I broke your {thing}," {he} said very quietly. "I am sorry."',
        'In the evening {he} knocked at the door. "It was me," {he} said. "I broke the {thing}, and '
        'I am sorry."',
    )
    story.tell(
        '{fname} was silent for a moment. [A bird sang outside|The clock ticked]. "Thank you for '
        'telling me," {fhe} said then. "A thing can be mended."',
    )
    story.tell(
        "They fetched glue and string and mended it together. It was a bit crooked now, and both "
        "liked it better than before.",
        "They worked on it until supper. Where it had been broken, {name} painted a little star.",
    )
    story.tell(
        "And the stone in {name}'s belly was gone.",
        "{name} went home [whistling|with a light heart].",
    )
    story.know(f"What did {story.hero.name} break?", "{name} broke a {thing}.")
    story.know(f"Whose {s['thing']} was it?", "It belonged to {fname} the {fkind}.")


def newcomer(story: Story) -> None:
    """Loneliness, and who else was lonely."""
    s = story.slots
    story.theme, story.title = "friendship", f"{s['name']} Finds a Friend"
    story.tell(
        "{name} had everything but a friend. {He} played alone, {he} ate alone, and {he} said good "
        "night to the moon.",
        "Nobody ever came to visit, for the way was too far. {name} talked to {his} {thing} instead.",
    )
    story.tell(
        f'{story.random.choice(TIMES)} {{he}} wrote a letter: "[Is anybody there|Who wants to be my '
        'friend]?" {He} [tied it to a balloon|put it into a bottle|gave it to the wind] and let it go.',
        f"{story.random.choice(TIMES)} {{he}} saw smoke rise from the empty house next door. Somebody "
        "had moved in!",
    )
    story.tell(
        "The days went by. {name} waited at the window. [Nothing happened|It rained].",
        "{name} wanted to say hello, but {he} was too shy. {He} walked past three times.",
    )
    story.tell(
        'Then there was a knock. Outside stood a {fkind}. "I am {fname}," said the {fkind}. "I have '
        'been looking for a friend all year."',
        '"[Hello|Good day]," said a voice {place}. It was a {fadj} {fkind}. "I am {fname}. I am new '
        'here, and I do not know anybody."',
    )
    story.tell(
        '{name} laughed. "Now you know me," {he} said, and brought {food}.',
        '"Would you like to come in?" asked {name}. "There is {food}."',
    )
    story.tell(
        "They talked until it was dark. They both liked [rain|pears|old songs], and neither of them "
        "liked [cabbage|Mondays|loud noises].",
        "{name} showed {fname} {his} {thing}, and they took turns to {use}.",
    )
    story.tell(
        "Since then there are always two cups on the table.",
        "The moon still gets a good night, but from two now.",
    )
    story.know(
        f"Who became the friend of {story.hero.name}?", "{fname} the {fkind} became {his} friend."
    )
    story.know("What did they eat?", "They had {food}.")


def sleepless(story: Story) -> None:
    """Somebody cannot sleep; a small bedtime story."""
    s = story.slots
    story.theme, story.title = "bedtime", f"{s['name']} Cannot Sleep"
    story.tell(
        "It was late, and all the lamps were out, but {name} could not sleep.",
        "One night the moon was so bright that {name} lay awake.",
    )
    story.tell(
        "{He} counted [sheep|stars|clouds], but at [forty|ninety-nine] they began to dance.",
        "{He} turned the pillow over. {He} turned it over again.",
    )
    story.tell(
        "{He} drank [warm milk|a cup of tea] and ate [a biscuit|half an apple]. It did not help.",
        "{He} read a book to the end. {He} was more awake than before.",
    )
    story.tell(
        "So {he} got up, took {his} {thing} and went outside. Behind the house sat {fname} the {fkind}.",
        "Then {he} heard a soft sound {place}. {He} went to see. It was {fname}, a {fadj} {fkind}.",
    )
    story.tell(
        '"Can you not sleep either?" asked {fname}. "No," said {name}. "My head is full of thoughts."',
        '"I am listening to the night," said {fname}. "Sit down. It has a lot to say."',
    )
    story.tell(
        '"Then give me one thought after the other," said {fname}. "I will look after them until '
        'morning." So {name} told {fhim} everything.',
        "They sat side by side. A cricket sang. Far away a train went through the valley.",
    )
    story.tell(
        "When {he} had come to the end, {his} eyes were closed. {fname} covered {him} with leaves.",
        "Soon {name} yawned, and then {fname} yawned, and then the moon seemed to yawn as well.",
    )
    story.tell(
        "Good night, {name}.", "And in the morning nobody could say who had fallen asleep first."
    )
    story.know(f"Why was {story.hero.name} awake?", "{name} could not sleep.")
    story.know(f"Whom did {story.hero.name} meet?", "{name} met {fname} the {fkind}.")


def race(story: Story) -> None:
    """A race, somebody in trouble, and another kind of winning."""
    s = story.slots
    s["prize"] = s["food"]
    story.theme, story.title = "a race", "The Great Race"
    story.tell(
        "Every year there was a race around the lake, and the prize was {prize}. {name} had never won.",
        "{name} was not fast, but {he} loved to run. This year {he} wanted to win the great race.",
    )
    story.tell(
        "{He} practised every day, in the sun and in the rain, with {his} {thing} for luck.",
        '"You?" said {fname} the {fkind}, who had won [three times|every year]. "I could run it '
        'backwards."',
    )
    story.tell(
        'Then the day came. "[One, two, three|Ready, steady], go!" {fname} the {fkind} was far ahead.',
        "On the day of the race the whole village stood along the road. {fname} the {fkind} shot off "
        "like an arrow.",
    )
    story.tell(
        "But {place} {name} heard a cry. {fname} had fallen and could not get up.",
        "Halfway around, {fname} sat {place} and held {fhis} foot.",
    )
    story.tell(
        "{name} could see the finish. {He} could win now! But {he} stopped and turned back.",
        "Everybody else ran past. {name} did not.",
    )
    story.tell(
        '"Lean on me," said {name}. And so they went, one step and another step, to the very end.',
        "{He} carried {fname} on {his} back, all the way to the finish.",
    )
    story.tell(
        "They came in last, but nobody clapped for the first one as they clapped for these two.",
        "They were last. But the prize was cut in two, and each got a half.",
    )
    story.tell(
        '"Next year I will carry you," said {fname}.',
        '"You are the real winner," said {fname}, and {fhe} meant it.',
    )
    story.know("Who fell?", "{fname} the {fkind} fell.")
    story.know("Who won the race?", "Others did. {name} stopped to help {fname}.")


def weather(story: Story) -> None:
    """A storm, a guest without a roof, and room for one more."""
    s = story.slots
    s["storm"], s["calm"] = story.random.choice(STORMS)
    story.theme, story.title = "a storm", f"The Night {s['fname']} Came"
    story.tell(*HABITS)
    story.tell(
        f"{story.random.choice(TIMES)} {{storm}}. {{name}} closed the shutters and lit a fire."
    )
    story.tell(
        "Somebody called outside. {name} took {his} {thing} and went to see. {Place} sat "
        "{fname}, a {fadj} {fkind}, and shivered.",
        'A {fkind} stood before the door. "My roof is gone," said the {fkind}. "My name is {fname}."',
    )
    story.tell(
        '"Come in," said {name}. "It is small, but it is dry."',
        '"There is room for one more," said {name}, and moved a chair to the fire.',
    )
    story.tell(
        "They ate {food} and played [cards|chess|guessing games] while the storm howled.",
        "{fname} dried {fhis} feet and told stories, one better than the other.",
    )
    story.tell("In the morning {calm}.", "At last {calm}.")
    story.tell(
        "They went out together and built a new roof for {fname}. It took all day, and they sang.",
        '"Now I must go home and build a new roof," said {fname}. "Not alone," said {name}, and took '
        "the hammer.",
    )
    story.know("Who came in the storm?", "{fname} the {fkind} came.")
    story.know("What did they eat?", "They ate {food}.")


def tiny_model(story: Story) -> None:
    """About one who is small and learns words: not quite by chance."""
    s = story.slots
    s["word"] = story.random.choice(
        ("hello", "please", "together", "perhaps", "friend", "tomorrow", "home")
    )
    s["Word"] = s["word"].title()
    story.theme, story.title = "learning words", f"{s['name']} Learns a Word"
    story.tell(
        "{name} knew only a few words, and {he} kept them in a [little box|tin|drawer|hat].",
        "{name} collected words as others collect stamps. {He} did not have many yet.",
    )
    story.tell(
        f'{story.random.choice(TIMES)} {{he}} found a new one {{place}}. It was the word "{{word}}". '
        "{He} did not know what it was for.",
    )
    story.tell(
        "{He} said it to a stone, but the stone did not answer. {He} said it to the wind, and the "
        "wind took it away and brought it back.",
        "{He} tried it in the morning and {he} tried it at night. It did not seem to do anything.",
    )
    story.tell(
        'Then {he} met {fname} the {fkind}, who looked sad. "{Word}," said {name}, because {he} '
        "could think of nothing else.",
    )
    story.tell(
        '{fname} looked up and began to smile. "[Nobody has said that to me for a long time|That is '
        'just the word I needed]," {fhe} said.',
    )
    story.tell(
        "Now {name} knew what the word was for. Words are for giving away.",
        "So that is how words work, thought {name}: they only shine when there are two.",
    )
    story.tell(
        "And {fname} gave {him} [two|three] new ones in return.",
        "They went on together and looked for the next one.",
    )
    story.know("Which word was it?", 'It was the word "{word}".')
    story.know("Who looked sad?", "{fname} the {fkind} looked sad.")


Plot = Callable[[Story], None]
"""Tells a story that has its people and things."""

PLOTS: tuple[Plot, ...] = (
    lost, gift, journey, fear, sharing, building, sorry, newcomer, sleepless, race, weather, tiny_model,
)  # fmt: skip
