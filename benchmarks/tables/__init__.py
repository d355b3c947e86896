"""Tables: missing values, conditions, bounds, measurement errors."""
