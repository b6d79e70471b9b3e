"""Damaged, odd and hostile input, made at random and tried on every door of the project."""
