"""`ros2 launch lisa_ros perception.launch.py camera:=realsense model:=...`; all arguments: `--show-args`."""

from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import DeclareLaunchArgument, OpaqueFunction, SetEnvironmentVariable
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from lisa_ros import cpu_threads, graph


def generate_launch_description() -> LaunchDescription:
    # Declared at top level, where --show-args and an including launch file see them.
    arguments = [
        DeclareLaunchArgument(argument.name, default_value=argument.default, description=argument.about)
        for argument in graph.ARGUMENTS
    ]
    return LaunchDescription([*arguments, OpaqueFunction(function=start)])


def start(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    values = {argument.name: context.launch_configurations[argument.name] for argument in graph.ARGUMENTS}
    variables = [SetEnvironmentVariable(name, value) for name, value in graph.environment().items()]
    return variables + [node(process) for process in graph.processes(values)]


def node(process: graph.Process) -> Node:
    parameters = [str(path) for path in process.parameter_files]
    if process.parameters:  # typed, or launch_ros would read `model:=7` as a number
        parameters.append(
            {name: ParameterValue(value, value_type=type(value)) for name, value in process.parameters.items()}
        )
    return Node(
        package="lisa_ros",
        executable=process.executable,
        name=process.name,
        namespace=process.namespace,
        remappings=list(process.remappings),
        parameters=parameters,
        ros_arguments=["--log-level", process.log_level],
        output="screen",
        # Of this node alone: what other nodes of the same launch do while they wait is not ours to say.
        additional_env=cpu_threads.environment(),
        emulate_tty=True,
    )
