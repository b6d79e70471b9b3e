"""Clips for training: published datasets in their own layouts, and dataset folders of this project."""
