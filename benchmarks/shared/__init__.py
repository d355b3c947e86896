"""What the scripts share: clocks, reports, data."""
