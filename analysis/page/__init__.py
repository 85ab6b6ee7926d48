"""The certificate as one page that needs nothing else: plots, sheets, tables."""
