"""`python -m lisa_ros`: the same as the command `lisa-ros`."""

import sys

from lisa_ros.cli import main

sys.exit(main())
