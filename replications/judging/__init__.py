"""Claims, the values measured for them, and the verdicts. Nothing is trained here."""
