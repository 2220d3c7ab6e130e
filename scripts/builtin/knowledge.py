"""What the model is to know: small facts, riddles, rhymes and jokes, as tables."""

from __future__ import annotations

NUMBERS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
    "fifteen sixteen seventeen eighteen nineteen twenty"
).split()

OPPOSITES = (
    "hot cold|big small|day night|up down|left right|happy sad|fast slow|old new|young old|open closed|light dark|"
    "heavy light|loud quiet|hard soft|wet dry|full empty|rich poor|early late|long short|high low|strong weak|good bad|"
    "clean dirty|near far|inside outside|first last|black white|yes no|love hate|start end|true false|thick thin|"
    "wide narrow|deep shallow|sweet sour|warm cool|alive dead|asleep awake|brave afraid|push pull|give take|come go|"
    "laugh cry|win lose|buy sell|always never|everything nothing|summer winter|north south|east west|front back|"
    "above below|before after|smooth rough|sharp blunt|tall short|question answer|friend enemy|war peace|morning evening|"
    "on off|in out|more less|easy difficult|remember forget|find lose|arrive leave|beautiful ugly|cheap expensive|"
    "polite rude|safe dangerous|simple complicated|same different|right wrong|top bottom"
)  # fmt: skip

COLOURS = {
    "blue": "the sky|the sea|a blueberry|a sapphire|a cornflower",
    "green": "grass|a leaf|a frog|a cucumber|an emerald|a pea|spinach|moss",
    "yellow": "a lemon|the sun|a banana|a canary|butter|a sunflower|a chick",
    "red": "a tomato|blood|a strawberry|a ruby|a cherry|a ladybird|a fire engine",
    "white": "snow|milk|a polar bear|salt|a swan|flour",
    "black": "coal|a raven|the night|ink|a panther",
    "orange": "a carrot|a pumpkin|an orange|a fox",
    "brown": "chocolate|a bear|earth|coffee|a chestnut|bark",
    "grey": "an elephant|a mouse|a rain cloud|ash|a donkey",
    "pink": "a pig|a flamingo|a piglet",
    "purple": "a plum|lavender|an aubergine|a violet",
}

SOUNDS = {
    "cow": "moo", "dog": "woof", "cat": "meow", "duck": "quack", "sheep": "baa", "pig": "oink", "horse": "neigh",
    "frog": "ribbit", "owl": "hoo", "bee": "buzz", "snake": "hiss", "hen": "cluck", "rooster": "cock-a-doodle-doo",
    "mouse": "squeak", "lion": "roar", "crow": "caw", "donkey": "hee-haw", "wolf": "howl", "goat": "bleat", "bird": "tweet",
}  # fmt: skip

YOUNG = {
    "dog": "puppy", "cat": "kitten", "cow": "calf", "sheep": "lamb", "horse": "foal", "pig": "piglet", "hen": "chick",
    "duck": "duckling", "bear": "cub", "lion": "cub", "goat": "kid", "frog": "tadpole", "swan": "cygnet", "deer": "fawn",
    "kangaroo": "joey", "goose": "gosling", "owl": "owlet", "butterfly": "caterpillar",
}  # fmt: skip

FACTS = (
    ("How many days are in a week", "A week has seven days."),
    ("How many hours are in a day", "A day has twenty-four hours."),
    ("How many minutes are in an hour", "An hour has sixty minutes."),
    ("How many seconds are in a minute", "A minute has sixty seconds."),
    ("How many months are in a year", "A year has twelve months."),
    ("How many days are in a year", "A year has 365 days, and a leap year has one more."),
    ("How many legs does a spider have", "A spider has eight legs."),
    ("How many legs does a dog have", "A dog has four legs."),
    ("How many legs does a cat have", "A cat has four legs."),
    ("How many legs does a bird have", "A bird has two legs."),
    ("How many legs does an insect have", "An insect has six legs."),
    ("How many wheels does a car have", "A car has four wheels."),
    ("How many wheels does a bicycle have", "A bicycle has two wheels."),
    ("How many fingers do I have", "Most people have ten fingers."),
    ("How many sides does a triangle have", "A triangle has three sides."),
    ("How many sides does a square have", "A square has four sides."),
    ("How many letters are in the alphabet", "The English alphabet has twenty-six letters."),
    ("How many bits are in a byte", "A byte has eight bits."),
    ("What do bees make", "Bees make honey."),
    ("What do cows eat", "Cows eat grass."),
    ("What do rabbits eat", "Rabbits eat grass and herbs, and they like carrots."),
    ("Where do fish live", "Fish live in water."),
    ("Where do birds live", "Many birds live in nests in trees."),
    ("Where do penguins live", "Penguins live in the south, where it is cold."),
    ("Where do polar bears live", "Polar bears live in the far north, on the ice."),
    ("What is ice made of", "Ice is frozen water."),
    ("What is snow", "Snow is frozen water that falls from the clouds."),
    ("What is rain", "Rain is water that falls from the clouds."),
    ("What is a rainbow", "A rainbow is sunlight that raindrops have sorted by colour."),
    ("What is the moon", "The moon is a ball of rock that goes around the earth."),
    ("What is the sun", "The sun is a star, and it is the one that is nearest to us."),
    ("What is a star", "A star is a far-away sun."),
    ("Which planet do we live on", "We live on the planet Earth."),
    ("What shape is the earth", "The earth is round, like a ball."),
    ("Can penguins fly", "No, penguins cannot fly, but they swim very well."),
    ("Can fish fly", "Most fish cannot fly. They swim."),
    ("Can pigs fly", "No, pigs cannot fly, except in stories."),
    ("Is the sun hot", "Yes, the sun is very hot."),
    ("Is ice cold", "Yes, ice is cold."),
    ("Is fire cold", "No, fire is hot."),
    ("Is water wet", "Yes, I would say that water is wet."),
    ("Do dragons exist", "Only in stories, and I know a few of those."),
    ("Do unicorns exist", "Only in stories. Shall I tell you one?"),
    ("What is bread made of", "Bread is made of flour, water, salt and yeast."),
    ("What is cheese made of", "Cheese is made of milk."),
    ("What is the biggest animal", "The blue whale is the biggest animal."),
    ("What is the tallest animal", "The giraffe is the tallest animal."),
    ("What is the fastest animal on land", "The cheetah is the fastest animal on land."),
    (
        "What is the slowest animal",
        "The snail and the sloth are very slow. I would not bet on either.",
    ),
    ("What is the largest planet", "Jupiter is the largest planet of our sun."),
    ("When do leaves fall", "Leaves fall in autumn."),
    ("When does snow fall", "Snow falls in winter."),
    ("What melts in the sun", "Snow and ice melt in the sun, and so does butter."),
)

UNKNOWN = (
    "What is the capital of [France|Peru|Japan|Kenya|Norway|Canada|Italy|Spain|India|Egypt|Brazil|Germany]",
    "Who [wrote|painted|composed] [Hamlet|the Mona Lisa|Faust|the Odyssey|Don Quixote|the Ninth Symphony|War and Peace]",
    "Who [invented|discovered] [the telephone|America|the light bulb|penicillin|the wheel|radium|gravity]",
    "When [did the war end|was Rome founded|was the telephone invented|did Columbus sail|was the moon landing]",
    "How [high|tall|old] is [the Eiffel Tower|Mount Everest|the Matterhorn|the universe|the pyramid]",
    "Who is [Napoleon|Einstein|Shakespeare|Mozart|Cleopatra|the king of Spain|the pope|Ada Lovelace]",
    "What is the [population|currency|language|flag|anthem] of [Sweden|Chile|Ghana|Poland|Turkey|China]",
    "How do [planes fly|magnets work|engines work|vaccines work|computers work]",
    "Which river is the longest", "What is photosynthesis", "What is DNA", "Explain the French Revolution",
    "What is the distance to Mars", "How many people live in London", "What is the best phone", "Who won the world cup",
)  # fmt: skip

DO_NOT_KNOW = (
    "[I do not know that|That I do not know]. I am [only a tiny model|very small], and [my head is full of stories|I know "
    "few facts]. [A larger model will know.|]",
    "[Sorry, I|I] never learned that. [A larger model would know.|Ask me for a story instead!|I am better at stories.]",
)

JOKES = (
    "Why did the token cross the context? To get to the other side before it was cut off.",
    "Why was the model so calm? It had a low temperature.",
    "Two tokens walk into a bar. The third one was predictable.",
    "What does a snail say on the back of a turtle? Not so fast!",
    "Why do owls never get lost? Because they always ask who.",
    "What did the zero say to the eight? Nice belt!",
    "Why did the robot go to school? It wanted to be a bit smarter.",
    "What is a frog's favourite music? Hip hop.",
    "Why was the book so warm? It had a jacket.",
    "What did the ocean say to the boat? Nothing, it just waved.",
    "Why are small models so polite? They never talk over your head.",
    "What do you call a bear without teeth? A gummy bear.",
    "Why did the clock go to bed? It had worked around the clock.",
    "Why did the weight go on a diet? It wanted to be quantized.",
    "What does a cloud wear under its coat? Thunderwear.",
    "How does a penguin build its house? Igloos it together.",
)  # fmt: skip

RIDDLES = (
    ("What has hands but cannot clap", "a clock"),
    ("What has a neck but no head", "a bottle"),
    ("What gets wetter the more it dries", "a towel"),
    ("What has teeth but cannot bite", "a comb"),
    ("What goes up but never comes down", "your age"),
    ("What has keys but opens no door", "a piano"),
    ("What can you catch but not throw", "a cold"),
    ("What has one eye but cannot see", "a needle"),
    ("What runs but never walks", "a river"),
    ("What is full of holes and still holds water", "a sponge"),
)

RHYMES = (
    "cat hat|mouse house|moon spoon|star far|tree bee|fox box|night light|day play|rain train|bear chair|dog frog|"
    "sky high|sea tea|snow glow|sun fun|cake lake|ring king|book cook|bed red|goat boat|fish dish|nose rose|shoe blue|"
    "bell shell|hill mill|wing spring|clock sock|bread head|mole hole|town brown"
)

DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
MONTHS = (
    "January February March April May June July August September October November December".split()
)
SEASONS = ["spring", "summer", "autumn", "winter"]

POEM_PAIRS = (
    ("light", "night"), ("tree", "sea"), ("day", "way"), ("moon", "tune"), ("hill", "still"), ("rain", "lane"),
    ("sky", "by"), ("bed", "head"), ("snow", "glow"), ("star", "far"), ("spring", "sing"), ("sun", "done"),
)  # fmt: skip

RHYMING_LINES = {
    "light": "It carries home a little light", "night": "and hums a song into the night",
    "tree": "It rests a while beneath a tree", "sea": "and dreams of ships upon the sea",
    "day": "It wakes up early every day", "way": "and wishes all good things on their way",
    "moon": "It says good evening to the moon", "tune": "and whistles to itself a tune",
    "hill": "It walks alone across the hill", "still": "until the wind itself is still",
    "rain": "It likes to wander in the rain", "lane": "and jump the puddles in the lane",
    "sky": "It looks up at the open sky", "by": "and lets the quiet clouds go by",
    "bed": "It puts the tired sun to bed", "head": "with one more rhyme inside its head",
    "snow": "It leaves small footprints in the snow", "glow": "and sees the little windows glow",
    "star": "It asks a question of a star", "far": "that twinkles down from very far",
    "spring": "It waits all winter for the spring", "sing": "to hear the early blackbird sing",
    "sun": "It warms its back against the sun", "done": "and smiles, because the work is done",
}  # fmt: skip
