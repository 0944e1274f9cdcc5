"""Wishes, complaints and riddles that mean one category without naming it: training and held-out sentences.

Where a category is in the scene that a person might bring as well ("close"), nobody asks so.
"""

from dataclasses import dataclass

from lisa_ros.simulator.phrasing import lines


@dataclass(frozen=True)
class Wish:
    """Sentences that ask for one category; close: categories whose presence would make them ambiguous."""

    category: str
    close: frozenset[str]
    train: tuple[str, ...]
    heldout: tuple[str, ...]


def wish(category, close="", train="", heldout=""):
    """A Wish of words: close categories between blanks, one sentence in each line."""
    return Wish(category, frozenset(close.split()), lines(train), lines(heldout))


WISHES = (
    wish("mug", "bottle bowl", """my tea has to go somewhere
        I want to warm my hands on a hot drink
        the coffee is ready, but what do I pour it into
        I could kill for a hot coffee
        nobody here drinks tea from the pot
        it has one ear and holds coffee
        it has a handle and is filled with tea in the morning
        time for a hot chocolate
        my coffee is still in the pot
        grandma wants her cocoa
        I need my morning coffee""",
        """what do I pour my coffee into
        grandma wants a hot tea
        it has one handle and holds hot chocolate"""),
    wish("bottle", "mug", """I am going for a run and want to take water along
        it has a neck but no head
        it is full of water and has a cap
        I need to take a drink along on my hike
        the wine is in there
        the juice has to be kept closed
        the hiker wants to carry water
        it has a neck and is closed with a cap
        what do I put my water in for the trip
        the message in it came from the sea""",
        """it has a neck and a cap
        I need water for my hike
        the juice is in there"""),
    wish("bowl", "plate mug pan", """the soup has to go somewhere
        my cereal needs milk and a home
        the salad has to be served in it
        it is round and deep and full of soup
        the dog wants its food in it
        I would like to eat my porridge
        the noodles with broth are done
        it is as deep as half a ball and holds cereal
        what do I mix the dough in
        I am having soup tonight""",
        """my soup has to be served in it
        I would like to have cereal with milk
        what do I mix the salad in"""),
    wish("plate", "bowl pan", """the steak is done, what do I serve it on
        what do I put my sandwich on
        it is flat and round and carries my dinner
        the cake slice needs something flat under it
        we eat our dinner from it
        the waiter carries three of them on his arm
        it is flat and breaks when it falls
        do not let me eat from the bare table
        the pizza has to lie on it""",
        """what do I serve the cake on
        it is flat and carries my sandwich
        the waiter serves dinner on it"""),
    wish("pan", "bowl", """I am going to make pancakes
        the eggs should sizzle
        it goes on the stove and has one long handle
        the bacon has to be fried
        who wants fried eggs
        I would like my steak fried
        it gets hot on the stove
        put it on the fire, we are frying onions
        the cook flips pancakes in it
        the oil gets hot in it""",
        """the pancakes have to be fried
        who fries the bacon
        it is hot on the stove and has a long handle"""),
    wish("knife", "scissors", """the bread is still in one piece
        the onions will not chop themselves
        be careful, it is sharp
        it has one sharp edge
        how shall I cut this steak
        the butcher uses it all day
        I have to slice the tomatoes
        the cake is here, but who cuts it
        the cook chops herbs with it
        the cheese has to be sliced""",
        """the steak has to be sliced
        the cook chops onions with it
        who cuts the bread"""),
    wish("fork", "spoon knife", """my spaghetti will not twirl itself
        it has four teeth but never bites
        it has prongs
        I do not want to eat my noodles with my fingers
        how shall I eat my salad without fingers
        it has tines and no teeth
        the pasta is getting cold and I can not eat it
        I want to poke a piece of meat
        neptune has a big one with three points""",
        """it has four teeth but can not chew
        my pasta will not twirl itself
        I want to poke my salad"""),
    wish("spoon", "fork knife", """my soup is hot and I do not want to drink it
        how shall I eat my soup
        the sugar in my tea has to be stirred
        I want to taste the sauce
        the baby is fed with it
        the yogurt is open, how do I eat it
        I want to eat ice cream from the tub
        take your medicine with it
        it is small and round at the end and stirs the tea
        my pudding is waiting""",
        """how shall I eat my pudding
        the baby eats soup with it
        my tea has to be stirred"""),
    wish("scissors", "knife", """the barber needs them
        the thread is too long
        the wrapping paper is too large
        my hair is too long
        the tailor is looking for his tool
        two blades that dance together
        the coupon has to come out of the newspaper
        I have to cut a paper star
        the tag of my new shirt has to go
        it has two eyes for fingers and two blades""",
        """my hair has to be trimmed
        the paper is too large
        two blades and two holes for fingers"""),
    wish("hammer", "screwdriver", """the nail is sticking out
        I want to hang up a picture and have a nail already
        the carpenter lost it
        it hits the nail on the head
        thor has one
        the nails have to go into the wood
        everything looks like a nail to me
        it has a heavy head and no brain
        I have to beat this nail flat
        somebody has to drive in these nails""",
        """the nail has to go into the wall
        it has a heavy head and hits the nail
        the carpenter has nails but nothing to beat them with"""),
    wish("screwdriver", "hammer knife", """the screw is loose
        this screw has to come out
        the shelf has to be screwed together
        the electrician lost it
        it turns until it is tight
        the toy needs new batteries and its lid is screwed on
        the hinge is loose, somebody has to tighten the screws
        the furniture comes with screws only
        the screw is still sticking out
        my glasses have a loose screw""",
        """the screws of the shelf are loose
        this loose screw has to be tight
        the lid is screwed on"""),
    wish("banana", "", """the monkey is hungry
        what would a monkey like
        it is yellow and bent
        I slipped on its peel
        it has to be peeled and is bent
        a long yellow snack in its own skin
        the gorilla in the zoo wants it
        it grows in bunches and is peeled
        minions love it""",
        """the hungry monkey wants it
        it is bent and has a peel
        a long bent snack"""),
    wish("apple", "pear", """one a day keeps the doctor away
        snow white should not bite it
        newton saw it fall
        it grows on trees and is used for cider
        the teacher gets it from her best pupil
        adam and eve ate it
        I want to bake a strudel with fruit
        I would like to bite into something crisp and round from the orchard
        william tell shot it from his son's head
        we are making cider""",
        """newton saw it fall from the tree
        it keeps the doctor away
        the teacher would like cider fruit"""),
    wish("pear", "apple", """it has a shape like a light bulb
        it is thick below and thin above and grows on trees
        this sweet fruit is narrow at the top
        the fruit with a belly
        it looks like a light bulb you can eat
        the juicy fruit that is thin at the top and thick at the bottom
        a partridge sits in its tree""",
        """the juicy fruit with a belly
        it is thin above and thick below
        it is a fruit like a light bulb"""),
    wish("lemon", "", """it makes a sour face
        my fish needs something sour
        the tea would taste better with something sour
        when life gives you them, make a sour drink
        it is yellow and sour
        I would like something sour for my cake
        my drink should be more sour
        it is full of vitamin c and sour
        the pirate needs it against scurvy""",
        """my tea needs something sour
        it is sour and makes a face
        something sour for my fish"""),
    wish("carrot", "", """the rabbit is hungry
        the bunny would love it
        the snowman has no nose
        it grows under the ground and is good for the eyes
        the horse has earned a crunchy treat
        what's up, doc
        my donkey only walks for this
        it is orange and hides under the ground
        the soup needs an orange root""",
        """the hungry bunny wants it
        the snowman needs a nose
        an orange root for the horse"""),
    wish("book", "phone", """I am bored and want to read
        the library wants it back
        it has a spine but no bones
        it has many leaves but is no tree
        the student has to study
        I would like a bedtime story
        the author signs it
        it is full of words
        what shall I read on the train
        the bookworm is bored""",
        """it has a spine and many leaves
        I am bored and want a story
        the library is asking for it"""),
    wish("ball", "", """the dog wants to play
        the children are bored and want to play outside
        somebody throw it to me
        the goalkeeper catches it
        it is round and rolls away
        kick it over here
        it bounces off the wall
        the puppy wants to fetch
        we want to play catch
        let us score a goal""",
        """the puppy wants to play
        the children want to kick it
        throw it over here"""),
    wish("candle", "phone", """the lights went out
        happy birthday, make a wish
        it is dark and the power is gone
        it gets shorter while it works
        it weeps wax
        I would like a romantic evening
        it is tall when it is young and short when it is old
        the church smells of its wax
        blow it out and make a wish
        who lights it for dinner""",
        """it gets shorter and weeps
        make a wish and blow
        the power went out in the evening"""),
    wish("phone", "book", """somebody should call the doctor
        it is ringing, answer it
        I have to tell mum that I am late
        the battery is empty again
        I have to look that up on the internet
        who has a camera for a selfie
        teenagers look at it all day
        I want to order a pizza
        it is ringing
        I must write a message to my boss""",
        """somebody should call mum
        I have to write a message
        it rings and has an empty battery"""),
)  # fmt: skip
