"""`ros2 launch lisa_ros evaluation.launch.py bag:=BAG queries:=FILE model:=...`; all arguments: `--show-args`.

The evaluation starts the perception node itself, in a ROS domain of its own: more than once, with the truth and with
the model, and without disturbing a robot in the network.
"""

from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import DeclareLaunchArgument, ExecuteProcess, OpaqueFunction
from launch_ros.substitutions import ExecutableInPackage

from lisa_ros.replay.arguments import ARGUMENTS


def generate_launch_description() -> LaunchDescription:
    # Declared at top level, where --show-args and an including launch file see them.
    arguments = [
        DeclareLaunchArgument(argument.name, default_value=argument.default, description=argument.about)
        for argument in ARGUMENTS
    ]
    return LaunchDescription([*arguments, OpaqueFunction(function=start)])


def start(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    # Not with the python that runs `ros2 launch`: that is the system's, and torch may lie in a virtual environment.
    words = [ExecutableInPackage("lisa-ros", "lisa_ros"), "eval", "bag"]
    for argument in ARGUMENTS:
        value = context.launch_configurations[argument.name]
        if value:
            words += [value] if argument.name == "bag" else [f"--{argument.name.replace('_', '-')}={value}"]
    return [ExecuteProcess(cmd=words, name="evaluation", output="screen", emulate_tty=True)]
