"""Planted mistakes, and the run that counts how many the tests notice."""
