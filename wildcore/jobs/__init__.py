"""What each command does, without the command line; a module has the name of its command."""
