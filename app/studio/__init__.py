"""The studio: the page that animates photos in the visitor's own browser, and the command that builds it."""
