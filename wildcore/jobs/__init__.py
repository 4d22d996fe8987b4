"""The work of each command, without the command line; each module has the name of its command."""
