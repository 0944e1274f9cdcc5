"""What is known about tools and other things."""

from lisa_ros.simulator.wordings.facts import fact

FACTS = (
    fact(
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
    fact(
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
    fact(
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
    fact(
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
    fact(
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
    fact(
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
    fact(
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
    fact(
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
