"""The samplers that are tables: each a few lines that write its rows, with what it claims."""
