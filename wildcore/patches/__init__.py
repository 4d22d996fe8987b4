"""What an edit is: changes of weights, of a module, of a prompt; many in one batch; as files."""
