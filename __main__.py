"""``python -m beaconfold`` is ``beacons``."""

from .pipelines.cli import main

if __name__ == "__main__":
    main(prog_name="beacons")
