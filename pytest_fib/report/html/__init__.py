"""The run as one HTML page that needs nothing else: ``page.render`` turns a report document into its text."""
