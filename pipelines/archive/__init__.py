"""Beaconfold."""
