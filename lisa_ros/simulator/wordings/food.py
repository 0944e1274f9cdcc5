"""What is known about food."""

from lisa_ros.simulator.wordings.facts import fact

FACTS = (
    fact(
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
    fact(
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
    fact(
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
    fact(
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
    fact(
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
    fact(
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
    fact(
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
)  # fmt: skip
