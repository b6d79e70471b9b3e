"""Clips, photos and files that tests are given, and what reads them back."""
