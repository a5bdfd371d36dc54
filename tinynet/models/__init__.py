"""The decks' networks, put together from blocks; nothing is derived here."""
