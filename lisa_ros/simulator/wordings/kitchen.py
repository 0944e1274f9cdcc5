"""What is known about kitchen ware."""

from lisa_ros.simulator.wordings.facts import fact

FACTS = (
    fact(
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
    fact(
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
    fact(
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
    fact(
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
    fact(
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
    fact(
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
    fact(
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
    fact(
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
    fact(
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
)  # fmt: skip
