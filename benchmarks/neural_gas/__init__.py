"""The growing neural gas."""
