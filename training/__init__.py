"""What both training scripts run: batches, losses, loop, state, validation."""
