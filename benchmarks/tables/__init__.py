"""Tables: bounds, conditions, missing values."""
