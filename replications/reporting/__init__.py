"""Reports from results.json: tables, pages of the documentation, one HTML page, a W&B report."""
