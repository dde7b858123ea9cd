"""The pages of a report, one module each: ``make(report)`` gives the page, or None where there is nothing to say."""
