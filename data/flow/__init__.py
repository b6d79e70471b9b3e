"""Optical flow: the estimators behind one interface, and what they cost and err."""
