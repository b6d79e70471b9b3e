"""What everything else stands on: command lines, files, checkpoints, pictures, pages."""
