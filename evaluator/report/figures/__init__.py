"""Every kind of figure in the report: each module makes one from tidy data, and knows nothing of files or pages."""
