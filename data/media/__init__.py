"""Reading and writing pictures and video, and pictures of motion."""
