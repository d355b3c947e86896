"""What tables lack, lie between, or know only with an error."""
