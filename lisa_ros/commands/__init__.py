"""The subcommands of `lisa-ros`. Heavy imports happen when a command runs, so that --help is quick."""
