"""What several test files use and is no test itself."""
