"""Pictures for the documents, made from the code."""
