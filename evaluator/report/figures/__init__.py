"""The figures of the report: each module draws one kind from tidy data."""
