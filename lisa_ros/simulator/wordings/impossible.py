"""Wishes that nothing in this world answers."""

from lisa_ros.simulator.phrasing import lines
from lisa_ros.simulator.wordings.facts import Wordings

# Uses and clauses that nothing in this world answers.
IMPOSSIBLE = {
    "train": Wordings(
        lines("""sweep the floor
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
        lines("""can fly
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
        lines("""wash the window
            brush the dog
            paint the door
            clean the carpet
            open a lock
            dig in the garden"""),
        lines("""flies at night
            has wheels and a road
            is worn in the rain
            barks and swims
            makes music at night"""),
    ),
}
