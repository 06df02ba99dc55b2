"""Configs as text, as files and as dicts. Imports measure and the rooms below."""
