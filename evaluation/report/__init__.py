"""Reports as JSON, text and pages, with their plots, sheets and videos."""
