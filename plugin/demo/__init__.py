"""Shapes data set, contact sheet, comparisons. Imports swap and the rooms below."""
