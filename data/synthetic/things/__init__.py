"""What in a photo moves and where it is held, read from its colours and, where there are any, its maps."""
