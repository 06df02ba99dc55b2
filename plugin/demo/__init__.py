"""The shapes data set and the contact sheet. Imports swap and the rooms below."""
