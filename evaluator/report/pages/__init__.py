"""The pages of a report, one module each: ``make(report)`` returns the page, or None."""
