"""What the household categories are good for and known for. Training and held-out wordings are kept apart.

`uses` are verb phrases ("cut the bread": something to ... with), `clauses` finish "the thing that ...". `close`:
categories that a person might also accept, so that their presence forbids the claim that nothing fits.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Wordings:
    uses: tuple[str, ...]
    clauses: tuple[str, ...]


@dataclass(frozen=True)
class Fact:
    categories: frozenset[str]
    close: frozenset[str]
    train: Wordings
    heldout: Wordings


def _lines(text):
    return tuple(line.strip() for line in text.strip().splitlines() if line.strip())


def _fact(categories, uses="", clauses="", heldout_uses="", heldout_clauses="", close=""):
    return Fact(
        frozenset(categories.split()), frozenset(close.split()),
        Wordings(_lines(uses), _lines(clauses)), Wordings(_lines(heldout_uses), _lines(heldout_clauses)),
    )  # fmt: skip


FACTS = (
    _fact(
        "knife", close="scissors fork spoon screwdriver",
        uses="""cut the bread
            cut bread
            slice a tomato
            chop the onions
            cut the meat
            slice some cheese
            spread butter on bread
            cut a piece of cake
            chop vegetables
            cut the food into pieces""",
        clauses="""has a sharp blade
            cuts bread and meat
            is used to slice food
            has a blade with a point
            a cook uses to chop vegetables
            is sharp and cuts food
            a butcher works with
            belongs to the right of the plate and cuts""",
        heldout_uses="""slice the bread
            chop the meat
            cut some cheese
            cut vegetables into slices""",
        heldout_clauses="""a cook cuts food with
            has a blade for bread
            slices cheese and tomato""",
    ),
    _fact(
        "scissors", close="knife",
        uses="""cut paper
            cut out a picture
            cut my hair
            trim the paper
            cut a thread
            cut a piece of string
            cut the fabric
            trim my hair""",
        clauses="""has two blades
            cuts paper and hair
            a tailor uses to cut fabric
            has two loops for the fingers
            opens and closes to cut paper
            a barber cuts hair with
            trims paper and string
            is made of two blades and two loops""",
        heldout_uses="""cut some string
            trim the fabric
            cut a sheet of paper""",
        heldout_clauses="""a barber trims hair with
            cuts string with two blades
            has loops for two fingers""",
    ),
    _fact(
        "hammer", close="book bottle pan screwdriver",
        uses="""hit a nail
            drive a nail into the wall
            pound nails
            hammer a nail into the wood
            put a nail in the wall
            knock in the nail
            beat the nails into a board
            break a stone""",
        clauses="""drives nails into wood
            has a heavy metal head
            hits nails
            a carpenter hits nails with
            is heavy and pounds nails
            knocks nails into a wall
            has a handle and a heavy head
            beats metal into shape""",
        heldout_uses="""knock a nail into the wall
            pound a nail into the board
            hit the nails""",
        heldout_clauses="""a carpenter drives nails with
            has a heavy head for nails
            knocks nails into wood""",
    ),
    _fact(
        "screwdriver", close="knife",
        uses="""turn a screw
            tighten the screws
            loosen a screw
            screw the shelf to the wall
            take out the screws
            drive a screw into the wood
            fasten the loose screws
            open the case that has screws""",
        clauses="""turns screws
            tightens a loose screw
            has a metal shaft with a flat tip
            fits into the head of a screw
            is used for screws
            an electrician turns screws with
            loosens screws
            takes screws out of a case""",
        heldout_uses="""tighten a loose screw
            turn the screws
            take a screw out of the wall""",
        heldout_clauses="""loosens a tight screw
            is made to turn a screw
            an electrician uses for screws""",
    ),
    _fact(
        "mug", close="bottle bowl",
        uses="""drink coffee from
            drink hot tea from
            drink my coffee
            have a cup of tea
            pour the coffee into
            drink hot chocolate from
            serve the coffee in
            warm my hands with hot tea""",
        clauses="""holds hot coffee
            tea is served in
            has a handle for a hot drink
            people drink coffee from
            a hot drink goes into
            keeps my tea while I drink it
            stands next to the coffee machine
            holds hot chocolate""",
        heldout_uses="""drink tea from
            pour hot coffee into
            have some hot chocolate""",
        heldout_clauses="""coffee is served in
            people drink hot tea from
            has a handle and holds coffee""",
    ),
    _fact(
        "bottle", close="mug",
        uses="""carry water on a hike
            store the wine
            take water along
            keep the juice closed
            pour wine from
            carry a drink in my bag
            fill with water and close with a cap
            send a message over the sea""",
        clauses="""has a neck and a cap
            wine is sold in
            has a cap to close it
            holds wine or juice
            has a label and a long neck
            keeps water for a hike
            beer comes in
            a ship can be built inside""",
        heldout_uses="""carry juice in my bag
            keep water for a hike
            pour the juice from""",
        heldout_clauses="""has a cap and holds water
            juice is sold in
            has a long neck and holds wine""",
    ),
    _fact(
        "bowl", close="plate pan mug",
        uses="""eat soup from
            eat cereal from
            mix the salad in
            serve the soup in
            put the cereal and milk in
            toss a salad in
            beat the eggs in
            eat a portion of ice cream from""",
        clauses="""holds soup
            cereal with milk is eaten from
            is round and deep for a salad
            soup is served in
            salad is mixed in
            is deep and round
            holds cereal and milk
            ice cream is served in""",
        heldout_uses="""mix cereal with milk in
            serve the salad in
            eat salad from""",
        heldout_clauses="""soup is eaten from
            is round and holds a salad
            holds milk and cereal""",
    ),
    _fact(
        "plate", close="bowl pan",
        uses="""serve dinner on
            put a slice of cake on
            put my sandwich on
            eat a steak from
            serve the pizza on
            serve a piece of cake on
            lay the sandwich on
            put the food on for dinner""",
        clauses="""is flat and round for dinner
            dinner is served on
            a sandwich is put on
            is a flat dish
            cake is served on
            is round and flat and holds a meal
            lies between the knife and the fork
            pizza is eaten from""",
        heldout_uses="""serve a sandwich on
            put the steak on
            put dinner on""",
        heldout_clauses="""pizza is served on
            is flat and holds dinner
            is a round flat dish for cake""",
    ),
    _fact(
        "pan", close="bowl",
        uses="""fry an egg
            fry the eggs
            make an omelette
            cook pancakes
            fry the fish
            fry some bacon
            make pancakes on the stove
            roast the mushrooms on the stove""",
        clauses="""goes on the stove
            eggs are fried in
            gets hot on the stove
            bacon is fried in
            pancakes are made in
            has a long handle and goes on the stove
            an omelette is cooked in
            fries fish""",
        heldout_uses="""fry some eggs
            cook an omelette on the stove
            make some bacon""",
        heldout_clauses="""pancakes are fried in
            has a handle for the stove
            an egg is cooked in""",
    ),
    _fact(
        "fork", close="spoon knife",
        uses="""eat spaghetti
            eat noodles
            pick up a piece of meat
            twirl the spaghetti
            eat my pasta
            stab a potato
            eat the salad leaves
            hold the steak while I cut it""",
        clauses="""has tines
            has four prongs
            picks up noodles
            pasta is eaten with
            lies to the left of the plate
            has prongs to pick up meat
            people twirl spaghetti with
            has four tines""",
        heldout_uses="""twirl noodles
            eat some pasta
            stab a piece of meat""",
        heldout_clauses="""has four prongs for pasta
            spaghetti is eaten with
            has tines to pick up meat""",
    ),
    _fact(
        "spoon", close="fork knife",
        uses="""stir the coffee
            stir my tea
            eat yoghurt
            scoop some sugar
            stir the soup
            scoop ice cream
            taste the sauce
            eat pudding""",
        clauses="""stirs tea
            scoops sugar
            soup is eaten with
            yoghurt is eaten with
            is used to stir coffee
            brings soup to the mouth
            scoops up pudding
            measures sugar and stirs""",
        heldout_uses="""stir the sauce
            scoop some pudding
            stir sugar into the tea""",
        heldout_clauses="""pudding is eaten with
            is used to scoop sugar
            stirs coffee""",
    ),
    _fact(
        "banana",
        clauses="""monkeys love to eat
            is long, yellow and curved
            is a curved fruit
            has to be peeled and is curved
            is a tropical fruit with a yellow peel
            people slip on when they step on the peel
            is rich in potassium
            a monkey would choose
            makes a good split with ice cream""",
        heldout_clauses="""a monkey loves
            is a long curved fruit
            is a yellow fruit with potassium""",
    ),
    _fact(
        "apple", close="pear",
        clauses="""keeps the doctor away
            fell on the head of Newton
            goes into a strudel
            snow white took a bite of
            is a round and crunchy fruit
            cider is made from
            grows on a tree and is round and crunchy
            a teacher gets from a good pupil""",
        heldout_clauses="""keeps doctors away
            cider and strudel are made from
            is crunchy and round and grows on a tree""",
    ),
    _fact(
        "pear", close="apple",
        clauses="""is a fruit with a narrow top
            is round at the bottom and narrow at the top
            is a fruit shaped like a bell
            has the shape of a light bulb and is sweet
            is a fruit with a slim neck
            is a sweet fruit with the shape of a drop
            is thick at the bottom and is a sweet fruit
            grows on a tree and has a narrow neck""",
        heldout_clauses="""is a sweet fruit with a narrow neck
            is a fruit that is thick at the bottom
            has the shape of a bell and is sweet""",
    ),
    _fact(
        "lemon",
        uses="""make lemonade
            make the tea sour
            get vitamin C
            squeeze juice on the fish
            fight a cold with vitamin C
            make a sour drink
            give the salad a sour taste
            treat a lack of vitamin C""",
        clauses="""has the most vitamin C
            is a sour fruit
            tastes very sour
            is full of vitamin C
            lemonade is made from
            is a citrus fruit
            is yellow and sour
            is squeezed for its sour juice
            helps a sailor against scurvy""",
        heldout_uses="""make a sour juice
            get some vitamin C against a cold
            squeeze juice for lemonade""",
        heldout_clauses="""is the fruit with the most vitamin C
            is sour and yellow
            is a citrus fruit full of juice
            gives the most vitamin C""",
    ),
    _fact(
        "carrot",
        uses="""feed a rabbit
            make a nose for the snowman
            feed the horse
            get vitamin A for my eyes
            cook a vegetable soup
            feed my rabbits
            give the snowman a nose
            add a vegetable to the stew""",
        clauses="""rabbits love to eat
            is good for the eyes
            is a snowman's nose
            is an orange vegetable
            grows under the ground
            is a root that people eat
            horses like to eat
            has green leaves and is an orange root
            is a vegetable""",
        heldout_uses="""feed some rabbits
            give a horse some food that grows under the ground
            make the nose of a snowman""",
        heldout_clauses="""a rabbit loves
            is an orange root
            is a vegetable that is good for the eyes""",
    ),
    _fact(
        "book", close="phone",
        uses="""read a story
            read before I go to sleep
            learn about history
            study for the exam
            read a story to the children
            press a flower between pages
            learn new words
            read on the train""",
        clauses="""has many pages
            tells a story
            an author wrote
            people read
            belongs in a library
            has a cover and pages
            is printed on paper
            a student reads""",
        heldout_uses="""read a story on the train
            read to the children
            study history""",
        heldout_clauses="""people read in a library
            has pages with a story
            an author printed""",
    ),
    _fact(
        "ball", close="apple",
        uses="""play catch
            play with the dog
            play at the beach
            throw and catch
            kick around
            play with the children outside
            bounce on the floor
            practise juggling""",
        clauses="""bounces
            children throw and catch
            rolls and bounces
            a dog likes to chase
            is kicked in a game
            is a round toy
            is full of air
            is played with at the beach
            is a toy""",
        heldout_uses="""play catch with the dog
            throw and bounce
            play outside with children""",
        heldout_clauses="""is a toy that bounces
            children kick in a game
            a dog likes to catch""",
    ),
    _fact(
        "candle", close="phone",
        uses="""light the room when the power is out
            make a romantic dinner
            have some light in the dark
            light up the dark room
            burn for warm light
            celebrate a birthday
            decorate the table with a flame
            give light without electricity""",
        clauses="""has a flame
            is made of wax
            burns with a small flame
            has a wick
            gives light in the dark
            melts when it burns
            gives light when the power is out
            stands on a birthday cake""",
        heldout_uses="""light up a dark room
            have light when the power is out
            make warm light for dinner""",
        heldout_clauses="""burns and gives light
            has a wick and wax
            melts in a small flame""",
    ),
    _fact(
        "phone",
        uses="""call my mother
            send a text message
            take a photo
            call a taxi
            make a call
            check my messages
            call for help
            surf the internet""",
        clauses="""has a screen
            rings when somebody calls
            sends messages
            needs a battery
            takes photos
            is an electronic device
            has apps
            has to be charged at night""",
        heldout_uses="""call a friend
            take a picture and send a message
            make a call to my mother""",
        heldout_clauses="""is a device with a screen
            has a battery and apps
            rings for a call""",
    ),
    _fact(
        "banana apple pear lemon", close="carrot",
        clauses="""is a fruit
            belongs into a fruit salad
            grows on a tree and can be eaten
            counts as fruit
            is a piece of fruit
            could go into a fruit basket
            is sold as fruit
            a greengrocer calls fruit""",
        heldout_clauses="""belongs into a fruit basket
            is fruit and grows on a tree
            could go into a fruit salad""",
    ),
    _fact(
        "banana apple pear lemon carrot",
        clauses="""can be eaten
            is food
            is edible
            people can eat
            grew on a plant
            rots when it gets old
            belongs in the fridge and not in the drawer
            comes from a plant and is healthy""",
        heldout_clauses="""is healthy food
            grew on a plant and can be eaten
            is edible and healthy""",
    ),
    _fact(
        "knife fork spoon", close="scissors",
        clauses="""is cutlery
            belongs in the cutlery drawer
            is part of the silverware
            people hold while they eat
            lies beside a plate at dinner
            is a piece of cutlery
            belongs in a set of cutlery
            eats with us at the table""",
        heldout_clauses="""is part of a set of cutlery
            belongs in a drawer with silverware
            people hold at dinner to eat""",
    ),
    _fact(
        "hammer screwdriver", close="knife scissors",
        uses="""repair the chair
            fix a broken shelf
            build a bird house
            repair furniture
            do some repair work
            assemble the shelf
            fix the furniture
            work in the workshop""",
        clauses="""belongs in a toolbox
            is a tool for repairs
            a handyman needs
            is found in a workshop
            belongs in the workshop
            helps to repair furniture
            is sold in a hardware store
            repairs furniture""",
        heldout_uses="""repair a broken shelf
            fix the chair
            build some furniture""",
        heldout_clauses="""is found in a toolbox
            is a tool of a handyman
            helps to fix furniture""",
    ),
)  # fmt: skip

# Uses and clauses that nothing in this world answers.
IMPOSSIBLE = {
    "train": Wordings(
        _lines("""sweep the floor
            dry my hair
            brush my teeth
            iron my shirt
            open the door
            paint the fence
            wash the car
            dig a hole in the garden
            clean the window
            lock my bicycle
            catch a fish
            mow the lawn
            keep the rain off
            measure the temperature
            wrap a present
            sew a button
            water the flowers
            type a letter
            vacuum the carpet
            climb onto the roof"""),
        _lines("""can fly
            drives on the road
            barks at night
            lives in the sea
            tells the time
            keeps the rain off
            is worn on the feet
            cleans the floor
            grows on my head
            makes music
            swims in a pond
            opens the front door
            has wheels
            lays eggs
            is worn in winter"""),
    ),
    "heldout": Wordings(
        _lines("""wash the window
            brush the dog
            paint the door
            clean the carpet
            open a lock
            dig in the garden"""),
        _lines("""flies at night
            has wheels and a road
            is worn in the rain
            barks and swims
            makes music at night"""),
    ),
}

# Words for classes of categories: plural, members, and categories that make the word doubtful.
CLASSES = {
    "fruit": ("fruits", frozenset(("banana", "apple", "pear", "lemon")), frozenset()),
    "tool": ("tools", frozenset(("hammer", "screwdriver")), frozenset(("scissors", "knife", "fork", "spoon"))),
    "piece of cutlery": ("pieces of cutlery", frozenset(("knife", "fork", "spoon")), frozenset(("scissors",))),
    "vegetable": ("vegetables", frozenset(("carrot",)), frozenset()),
    "food item": ("food items", frozenset(("banana", "apple", "pear", "lemon", "carrot")), frozenset()),
}
