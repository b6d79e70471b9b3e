"""What a motion does in time: loops and their seams, pokes and their oscillations, motion files."""
