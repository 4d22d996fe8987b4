"""The ``wildcore`` command and ``python -m wildcore``. Ctrl-C is handled before anything that takes time is imported."""

from wildcore.interruption import heed_interrupts


def run() -> None:
    """Run the command line. Ctrl-C ends it with one line and exit code 130, at any time."""
    heed_interrupts()
    from wildcore.cli import main, system_errors
    from wildcore.threads import spin_briefly

    spin_briefly()
    with system_errors.shown():  # what happens before a command is called, such as the help
        main(prog_name="wildcore")


if __name__ == "__main__":
    run()
