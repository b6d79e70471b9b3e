"""What runs in Blender's own Python: a scene's description in, pictures and passes out. Nothing else imports it."""
